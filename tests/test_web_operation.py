"""Running the server: who may ask, what is logged and counted, and how it starts and stops."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from web_server import RunningServer

pytest_plugins = ["web_server"]

PIXELS = Path(sys.executable).with_name("pixels")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost:80@evil.example"])
def test_requests_to_other_names_are_refused(server: RunningServer, host: str) -> None:
    answer = httpx.get(f"{server.dicomweb}/studies", headers={"Host": host})
    assert answer.status_code in (400, 403)


def test_writes_from_pages_of_others_are_refused(server: RunningServer) -> None:
    answer = httpx.post(f"{server.dicomweb}/studies", headers={"Origin": "http://evil.example"}, content=b"")
    assert answer.status_code == 403
    assert "Origin" in answer.json()["error"]


def test_no_other_origin_may_read_answers(server: RunningServer) -> None:
    answer = httpx.get(f"{server.dicomweb}/studies", headers={"Origin": "http://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_the_log_holds_templates_and_no_queries(server: RunningServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "dbx.pixels.web.requests"):
        httpx.get(f"{server.dicomweb}/studies/1.2.3/series", params={"PatientName": "Secret^Name"})
        time.sleep(0.2)  # the line is written when the answer has been sent
    (line,) = [json.loads(record.message) for record in caplog.records if record.name == "dbx.pixels.web.requests"]
    assert line["route"] == "/dicom-web/studies/{study}/series"
    assert (line["method"], line["status"]) == ("GET", 204)
    assert "Secret" not in caplog.text
    assert "1.2.3/" not in caplog.text


def test_metrics_count_by_route_and_know_no_uids(server: RunningServer) -> None:
    httpx.get(f"{server.dicomweb}/studies/1.2.3.4.5/series")
    metrics = httpx.get(f"{server.url}/metrics").text
    assert re.search(r'pixels_http_requests_total\{method="GET",route="/dicom-web/studies/\{study\}/series"', metrics)
    assert "1.2.3.4.5" not in metrics


def test_health_is_told(server: RunningServer) -> None:
    assert httpx.get(f"{server.url}/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize(
    "path", ["dicom-web/nothing", "monai/info", "api/x", "dashboard/x", "sql/x", "metrics/x", "/dicom-web"]
)
def test_reserved_paths_never_show_the_viewer(server: RunningServer, path: str) -> None:
    assert httpx.get(f"{server.url}/{path}").status_code == 404


def test_an_empty_home_is_served(empty_server: RunningServer) -> None:
    assert httpx.get(f"{empty_server.dicomweb}/studies").status_code == 204


def test_what_is_ingested_meanwhile_appears_soon(empty_server: RunningServer, folder: Path) -> None:
    empty_server.ingest(folder)
    deadline = time.monotonic() + 10  # within two seconds, on a machine that is not busy with other tests
    while httpx.get(f"{empty_server.dicomweb}/studies").status_code == 204:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(httpx.get(f"{empty_server.dicomweb}/studies").json()) == 2


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "example.org"])
def test_without_login_only_loopback_is_served(host: str, home: Path) -> None:
    command = [PIXELS, "serve", "--home", home, "--host", host]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no login" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("workers", [1, 2])
def test_the_command_serves_until_it_is_stopped(workers: int, home: Path, folder: Path) -> None:
    subprocess.run([PIXELS, "ingest", folder, "--home", home], check=True, capture_output=True)
    command = [PIXELS, "serve", "--home", home, "--port", "0", "--workers", str(workers)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    address = process.stderr.readline().split()[-1].rstrip("/")
    threading.Thread(target=process.stderr.read, daemon=True).start()
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                studies = httpx.get(f"{address}/dicom-web/studies", timeout=5)
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        assert len(studies.json()) == 2
        assert "pixels_http_requests_total" in httpx.get(f"{address}/metrics").text
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait(30)
