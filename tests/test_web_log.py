"""What `pixels serve` writes while it serves: lines of JSON, and nothing of what requests and objects hold."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from dbx.pixels import Catalog
from served import Served, serving
from volumes import ingested

from conftest import TEST_FILES

SECRET = "SECRETNAME"


@pytest.fixture
def served(home: Path) -> Iterator[Served]:
    """A server of an empty home."""
    with serving(home) as served:
        yield served


def test_every_request_is_a_line(served: Served) -> None:
    httpx.get(f"{served.dicomweb}/studies", params={"PatientName": SECRET})
    (line,) = lines(served, 1)
    assert line["time"].endswith("+00:00")
    assert {"method": "GET", "route": "/dicom-web/studies", "status": 204, "bytes": 0}.items() <= line.items()


def test_an_index_that_is_deleted_quotes_no_search(served: Served, home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for file in (home / "index").iterdir():
                file.unlink(missing_ok=True)
            url = f"{served.dicomweb}/instances?PatientName={SECRET}&fuzzymatching=true"
            list(pool.map(lambda _, url=url: httpx.get(url), range(16)))
    assert lines(served, 80)


def test_an_object_that_cannot_be_read_is_told_without_its_path(served: Served, home: Path, tmp_path: Path) -> None:
    file = tmp_path / SECRET / "ct.dcm"
    file.parent.mkdir()
    shutil.copy(TEST_FILES / "CT_small.dcm", file)
    ingested(Catalog(home=str(home)), file.parent).close()
    (found,) = httpx.get(f"{served.dicomweb}/instances").json()
    file.unlink()
    file.symlink_to(file)
    answer = httpx.get(found["00081190"]["Value"][0])
    assert (answer.status_code, answer.json()["error"]) == (500, "Too many levels of symbolic links.")
    told = "StorageError: Too many levels of symbolic links."
    assert told in [line.get("message") for line in lines(served, 3)]


def test_exceptions_and_libraries_are_told_without_what_they_say() -> None:
    program = f"""
import logging, warnings
from pydicom.dataset import Dataset
from dbx.pixels.web.logs import log_as_json
log_as_json()
try:
    raise ValueError("{SECRET}")
except ValueError:
    logging.getLogger("uvicorn.error").exception("Exception in ASGI application\\n")
    logging.getLogger("sqlalchemy.pool").exception("{SECRET}")
warnings.warn("{SECRET}")
Dataset().PatientAge = "{SECRET}"
logging.getLogger("pydicom").warning("{SECRET}")
logging.getLogger("dbx.pixels.web").warning("a word")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert SECRET not in done.stderr
    served, library, ours = map(json.loads, done.stderr.splitlines())
    assert served["message"] == "Exception in ASGI application"
    assert (served["error"], served["at"]) == ("builtins.ValueError", ["<string>:7 <module>"])
    assert (library["logger"], library["error"]) == ("sqlalchemy.pool", "builtins.ValueError")
    assert (ours["level"], ours["message"]) == ("WARNING", "a word")


def test_what_is_no_request_is_a_line(served: Served) -> None:
    send(served, f"{SECRET} \x00 nonsense\r\n\r\n")
    (line,) = lines(served, 1)
    assert line["logger"] == "uvicorn.error"
    assert line["message"] == "Invalid HTTP request received."


def send(served: Served, text: str) -> None:
    address = urlsplit(served.url)
    assert address.hostname
    assert address.port
    with socket.create_connection((address.hostname, address.port), 10) as connection:
        connection.sendall(text.encode())
        connection.recv(1000)


def lines(served: Served, number: int) -> list[dict[str, Any]]:
    """So many lines of the log, or more."""
    deadline = time.monotonic() + 20
    while len(found := [line for line in served.told().splitlines() if line.startswith("{")]) < number:
        assert time.monotonic() < deadline, served.told()
        time.sleep(0.1)
    assert SECRET not in served.told()
    assert all(line.startswith("{") for line in served.told().splitlines()[len(served.words) :])
    return [json.loads(line) for line in found]
