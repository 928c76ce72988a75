"""Running the server: who may ask, and what is logged and counted."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from dbx.pixels import Catalog
from stow import instance, store, volume

from conftest import TEST_FILES

if TYPE_CHECKING:
    from web_server import RunningServer

pytest_plugins = ["web_server"]

NAME = "pixels.example.org"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost:80@evil.example"])
def test_requests_to_other_names_are_refused(server: RunningServer, host: str) -> None:
    answer = httpx.get(f"{server.dicomweb}/studies", headers={"Host": host})
    assert answer.status_code in (400, 403)


def test_writes_from_pages_of_others_are_refused(server: RunningServer) -> None:
    answer = httpx.post(f"{server.dicomweb}/studies", headers={"Origin": "http://evil.example"}, content=b"")
    assert answer.status_code == 403
    assert "Origin" in answer.json()["error"]


@pytest.mark.parametrize(
    "origin",
    ["http://[", "http://", "null", "", "evil", "ftp://{host}", "http://{host}.evil.example", "http://x@{host}"],
)
def test_malformed_origins_are_those_of_others(server: RunningServer, origin: str) -> None:
    origin = origin.format(host=server.url.removeprefix("http://"))
    assert httpx.post(f"{server.dicomweb}/studies", headers={"Origin": origin}).status_code == 403


def test_writes_from_its_own_pages_are_taken(server: RunningServer) -> None:
    answer = httpx.post(f"{server.dicomweb}/studies", headers={"Origin": server.url}, content=b"")
    assert answer.status_code == 415  # which is no longer about who asks


@pytest.fixture(scope="module")
def behind_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with a study, before which stands a proxy with login that is called by a name."""
    from web_server import running  # a plugin of pytest, which is to load it first

    with running(Catalog(home=str(tmp_path_factory.mktemp("behind"))), hosts=[NAME.title()]) as server:
        server.ingest(TEST_FILES / "CT_small.dcm")
        server.wait_until_served()
        yield server


@pytest.mark.parametrize(
    ("host", "status"),
    [(NAME, 200), (f"{NAME}:8443", 200), ("localhost", 200), (f"x.{NAME}", 403), ("evil.example", 403)],
)
def test_the_name_of_a_proxy_is_the_servers(behind_proxy: RunningServer, host: str, status: int) -> None:
    assert httpx.get(f"{behind_proxy.dicomweb}/studies", headers={"Host": host}).status_code == status


@pytest.mark.parametrize("host", [NAME, "127.0.0.1:8042"])  # nginx puts its own there unless it is told not to
@pytest.mark.parametrize(
    ("origin", "status"), [(f"https://{NAME}", 415), (f"https://x.{NAME}", 403), ("https://evil.example", 403)]
)
def test_writes_from_pages_of_a_proxy_are_taken(
    behind_proxy: RunningServer, host: str, origin: str, status: int
) -> None:
    answer = httpx.post(f"{behind_proxy.dicomweb}/studies", headers={"Host": host, "Origin": origin}, content=b"")
    assert answer.status_code == status


def test_addresses_in_answers_lead_to_the_proxy(behind_proxy: RunningServer) -> None:
    headers = {"Host": NAME, "X-Forwarded-Proto": "https"}
    (study,) = httpx.get(f"{behind_proxy.dicomweb}/studies", headers=headers).json()
    assert study["00081190"]["Value"][0].startswith(f"https://{NAME}/dicom-web/studies/")


@pytest.mark.parametrize(("path", "status"), [("/dicom-web/studies", 200), ("/dicom-web/x", 404), ("/healthz", 200)])
def test_answers_are_for_its_own_pages_and_of_the_type_they_say(server: RunningServer, path: str, status: int) -> None:
    answer = httpx.get(f"{server.url}{path}")
    assert answer.status_code == status
    assert answer.headers.get_list("X-Content-Type-Options") == ["nosniff"]
    assert answer.headers.get_list("Cross-Origin-Resource-Policy") == ["same-origin"]


def test_an_error_of_the_server_tells_what_helps(empty_server: RunningServer) -> None:
    folder = volume(empty_server)
    folder.mkdir(parents=True)
    (folder / ".incoming").write_bytes(b"a file where there should be a folder")
    answer = store(empty_server, instance(TEST_FILES / "CT_small.dcm"))
    assert answer.status_code == 500
    assert answer.json()["error"].endswith("Make space on its disk, or check its rights.")


def test_no_other_origin_may_read_answers(server: RunningServer) -> None:
    answer = httpx.get(f"{server.dicomweb}/studies", headers={"Origin": "http://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_the_log_holds_templates_and_no_queries(server: RunningServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "dbx.pixels.web.requests"):
        httpx.get(f"{server.dicomweb}/studies/1.2.3/series", params={"PatientName": "Secret^Name"})
        time.sleep(0.2)  # the line is written when the answer has been sent
    (line,) = logged(caplog)
    assert line["route"] == "/dicom-web/studies/{study}/series"
    assert (line["method"], line["status"]) == ("GET", 204)
    assert "Secret" not in caplog.text
    assert "1.2.3/" not in caplog.text


@pytest.mark.parametrize("path", ["nothing", "studies/1.2/nothing", ""])
def test_what_is_no_route_is_logged_as_where_it_was_looked_for(
    server: RunningServer, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    with caplog.at_level(logging.INFO, "dbx.pixels.web.requests"):
        assert httpx.get(f"{server.dicomweb}/{path}").status_code == 404
        time.sleep(0.2)
    assert [line["route"] for line in logged(caplog)] == ["/dicom-web"]


def logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The lines of the request log."""
    return [record.msg for record in caplog.records if record.name == "dbx.pixels.web.requests"]


def test_metrics_count_by_route_and_know_no_uids(server: RunningServer) -> None:
    httpx.get(f"{server.dicomweb}/studies/1.2.3.4.5/series")
    metrics = httpx.get(f"{server.url}/metrics").text
    assert re.search(r'pixels_http_requests_total\{method="GET",route="/dicom-web/studies/\{study\}/series"', metrics)
    assert "1.2.3.4.5" not in metrics


def test_health_is_told(server: RunningServer) -> None:
    health = httpx.get(f"{server.url}/healthz").json()
    assert health["status"] == "ok"
    assert datetime.now(UTC) - datetime.fromisoformat(health["synced"]) < timedelta(minutes=1)


@pytest.mark.parametrize(
    "path", ["dicom-web/nothing", "monai/nothing", "api/x", "dashboard/x", "sql/x", "metrics/x", "/dicom-web"]
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
