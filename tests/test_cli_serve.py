"""`pixels serve`: what it says, how it starts and stops, alone and with several workers."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from dbx.pixels import Catalog
from dbx.pixels.cli.serve import run
from dbx.pixels.errors import ArgumentError
from dbx.pixels.table import ObjectTable
from served import PIXELS, Served, serving

if TYPE_CHECKING:
    from postgres import Postgres

pytest_plugins = ["postgres"]


@pytest.mark.parametrize(("by", "workers"), [(signal.SIGTERM, "1"), (signal.SIGINT, "1"), (signal.SIGINT, "2")])
def test_it_answers_from_its_words_on_until_it_is_stopped(
    by: signal.Signals, workers: str, home: Path, folder: Path, tmp_path: Path
) -> None:
    subprocess.run([PIXELS, "ingest", folder, "--home", home], check=True, capture_output=True)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with serving(home, "--workers", workers, temporary=temporary) as served:
        assert len(httpx.get(f"{served.dicomweb}/studies", timeout=30).json()) == 2
        assert "pixels_http_requests_total" in httpx.get(f"{served.url}/metrics").text
        assert "pixels ingest" not in served.told()
        code = served.stop(by)
    told = served.told()
    assert "Traceback" not in told
    assert "interrupted" not in told
    assert told.endswith("Stopped.\n")
    assert code == 0
    assert not list(temporary.iterdir())


def test_workers_that_die_are_replaced_and_taken_out_of_the_metrics(home: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    def workers() -> set[int]:
        files = temporary.glob("pixels-metrics-*/gauge_livesum_*.db")
        return {int(file.stem.rpartition("_")[2]) for file in files}

    with serving(home, "--workers", "2", temporary=temporary) as served:
        deadline = time.monotonic() + 60
        while len(workers()) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        killed = workers().pop()
        os.kill(killed, signal.SIGKILL)
        while killed in workers() or len(workers()) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert httpx.get(f"{served.dicomweb}/studies", timeout=30).status_code == 204


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that a killed server had begun to receive, in an otherwise empty home."""
    left = tmp_path_factory.mktemp("left") / "home/Volumes/main/pixels_solacc/pixels_volume/.incoming/gone/half a file"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    return left


@pytest.fixture(scope="module")
def served(left: Path) -> Iterator[Served]:
    """A server in that home, on another address of loopback, behind proxies."""
    home = left.parents[6]
    with serving(
        home, "--host", "127.0.0.2", "--allowed-host", "pixels.example.org", "--allowed-host", "pacs"
    ) as served:
        yield served


def test_an_empty_home_says_how_to_ingest(served: Served) -> None:
    assert "pixels ingest PATH" in served.told()


def test_any_address_of_loopback_answers(served: Served) -> None:
    assert served.url.startswith("http://127.0.0.2:")
    assert httpx.get(f"{served.dicomweb}/studies").status_code == 204
    assert httpx.post(f"{served.dicomweb}/studies", headers={"Origin": served.url}).status_code == 415


@pytest.mark.parametrize(("host", "status"), [("pixels.example.org", 204), ("pacs", 204), ("evil.example", 403)])
def test_proxies_are_let_in_by_their_names(served: Served, host: str, status: int) -> None:
    assert httpx.get(f"{served.dicomweb}/studies", headers={"Host": host}).status_code == status


def test_what_a_killed_server_had_begun_to_receive_is_deleted(served: Served, left: Path) -> None:
    httpx.get(f"{served.dicomweb}/studies")
    assert not left.parent.exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "example.org"])
def test_without_login_only_loopback_is_served(host: str, catalog: Catalog) -> None:
    with pytest.raises(ArgumentError, match=r"no login.+--allowed-host"):
        run(catalog, host=host, port=0)


@pytest.mark.parametrize("name", ["https://pixels.example.org", "pixels.example.org:8443", "a/b", ""])
def test_what_is_no_name_of_a_host_is_refused(name: str, catalog: Catalog) -> None:
    with pytest.raises(ArgumentError, match="is no name of a host"):
        run(catalog, host="127.0.0.1", port=0, allowed_hosts=[name])


def test_an_index_that_cannot_be_opened_ends_it(home: Path, own_postgres: Postgres) -> None:
    own_postgres.stop()
    said = refused("--home", home, "--index", own_postgres.url, "--workers", "2")
    assert "check the address, and that the server is running" in said


def test_a_table_that_cannot_be_read_ends_it(home: Path, catalog: Catalog) -> None:
    ObjectTable.create_if_missing(catalog.location())
    for file in Path(catalog.location(), "_delta_log").glob("*.json"):
        file.write_text("no log")
    assert catalog.location() in refused("--home", home)


def refused(*arguments: object) -> str:
    """The one line that `pixels serve` says when it refuses to start."""
    command = [PIXELS, "serve", "--port", "0", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    return line
