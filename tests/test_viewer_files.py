"""The viewer's files over HTTP: compressed, cached by their hashes, and nothing else than they."""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dbx.pixels.web import viewer_files
from missing import skip_without


@pytest.fixture
def client() -> Iterator[TestClient]:
    """A client of the viewer's files."""
    if not viewer_files.FOLDER.exists():
        skip_without("the viewer is not built: run `make viewer`")
    with TestClient(Starlette(routes=viewer_files.routes), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def script(client: TestClient) -> str:
    """The name of OHIF's largest script."""
    found = re.search(r'src="(/app\.bundle\.[0-9a-f]+\.js)"', client.get("/").text)
    assert found
    return found[1]


@pytest.mark.parametrize("path", ["/", "/viewer?StudyInstanceUIDs=1.2.3", "/viewer/pixels", "/tmtv"])
def test_the_viewers_own_addresses_are_its_page(client: TestClient, path: str) -> None:
    answer = client.get(path)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "OHIF Viewer" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/dicom-web",
        "/dicom-web/nothing",
        "/monai/info",
        "/api",
        "/dashboard",
        "/sql",
        "/healthz",
        "/metrics",
        "/nothing",
    ],
)
def test_no_other_address_is(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "path", ["/../viewer_files.py", "/%2e%2e/viewer_files.py", "/assets/..%2f..%2fapp.py", "//etc/passwd"]
)
def test_nothing_outside_of_the_folder_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [("br, gzip", "br"), ("gzip", "gzip"), ("gzip;q=0, br", "br"), ("*", "br"), ("identity", None), ("br;q=0.0", None)],
)
def test_scripts_come_compressed_as_the_client_likes(
    client: TestClient, script: str, accepted: str, coding: str | None
) -> None:
    with client.stream("GET", script, headers={"Accept-Encoding": accepted}) as answer:
        size = len(b"".join(answer.iter_raw()))

    assert answer.headers.get("content-encoding") == coding
    assert answer.headers["vary"] == "Accept-Encoding"
    assert (size < 5_000_000) == (coding is not None)


def test_files_with_a_hash_in_their_names_are_kept_for_ever(client: TestClient, script: str) -> None:
    assert "immutable" in client.head(script).headers["cache-control"]


@pytest.mark.parametrize("path", ["/", "/app-config.js", "/extension/extension.js", "/app.bundle.css"])
def test_other_files_are_asked_for_again(client: TestClient, path: str) -> None:
    first = client.get(path)
    again = client.get(path, headers={"If-None-Match": first.headers["etag"]})

    assert first.headers["cache-control"] == "no-cache"
    assert (again.status_code, again.content) == (304, b"")


def test_a_page_may_run_and_load_only_what_the_server_has(client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]

    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]


def test_the_licence_of_ohif_goes_with_it(client: TestClient) -> None:
    assert "Open Health Imaging Foundation" in client.get("/LICENSE.OHIF.txt").text


def test_the_licences_of_what_its_scripts_have_in_them_go_with_it(client: TestClient) -> None:
    scripts = [gzip.decompress(path.read_bytes()).decode() for path in viewer_files.FOLDER.glob("*.js.gz")]
    module = re.compile(r"// (?:CONCATENATED|EXTERNAL) MODULE: \S*node_modules/((?:@[^/\s]+/)?[^/\s]+)")
    packages = {name for script in scripts for name in module.findall(script)}

    notices = client.get("/NOTICES.txt").text

    assert {"react", "@cornerstonejs/core", "dcmjs"} < packages
    assert packages <= set(re.findall(r"^\* (\S+) ", notices, re.MULTILINE))


def test_none_of_it_is_under_a_licence_that_binds_who_runs_or_changes_it() -> None:
    texts = [path.read_bytes() for path in viewer_files.FOLDER.rglob("*") if path.is_file() and path.suffix != ".br"]
    texts = [gzip.decompress(text) if text.startswith(b"\x1f\x8b") else text for text in texts]

    assert any(b"Apache License" in text for text in texts)
    assert not [text for text in texts if re.search(rb"\b[AL]GPL|Affero|shepherd\.js", text)]


def test_without_a_viewer_the_page_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(viewer_files, "FOLDER", tmp_path)

    answer = TestClient(Starlette(routes=viewer_files.routes)).get("/")

    assert answer.status_code == 503
    assert "make viewer" in answer.text


def test_a_viewer_that_is_built_anew_is_served_at_once(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, built = tmp_path / "viewer", tmp_path / "built"
    for path in (folder, built):
        shutil.copytree(viewer_files.FOLDER, path)
    monkeypatch.setattr(viewer_files, "FOLDER", folder)
    before = client.get("/app-config.js")
    (built / "app-config.js.gz").write_bytes(gzip.compress(b"window.config = {};"))
    (built / "app-config.js.br").unlink()

    folder.rename(tmp_path / "before")
    built.rename(folder)

    after = client.get("/app-config.js", headers={"If-None-Match": before.headers["etag"]})
    assert (after.status_code, after.text) == (200, "window.config = {};")


def test_a_file_that_vanishes_is_to_be_asked_for_again(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(viewer_files.FOLDER, tmp_path / "viewer")
    monkeypatch.setattr(viewer_files, "FOLDER", tmp_path / "viewer")
    client.get("/")

    for path in (tmp_path / "viewer" / "extension").glob("extension.js.*"):
        path.unlink()

    answer = client.get("/extension/extension.js")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
