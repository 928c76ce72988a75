"""Objects that are not as they were indexed: 410, and an entry among the issues until the next ingest."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import httpx
import pydicom
import pytest

from wado import copy_with_uids, until
from web_server import RunningServer

from conftest import TEST_FILES

pytest_plugins = ["web_server"]


class Indexed:
    """Slices of a series, in a folder that a server has ingested."""

    def __init__(self, server: RunningServer, folder: Path, slices: int = 2) -> None:
        self.server = server
        self.folder = folder
        folder.mkdir()
        first = pydicom.dcmread(TEST_FILES / "CT_small.dcm")
        uids = {"StudyInstanceUID": first.StudyInstanceUID, "SeriesInstanceUID": first.SeriesInstanceUID}
        self.paths = [copy_with_uids(folder / f"{n}.dcm", TEST_FILES / "CT_small.dcm", **uids) for n in range(slices)]
        self.study = f"{server.dicomweb}/studies/{first.StudyInstanceUID}"
        self.urls = [
            f"{self.study}/series/{first.SeriesInstanceUID}/instances/{pydicom.dcmread(path).SOPInstanceUID}"
            for path in self.paths
        ]
        self.ingest()

    def ingest(self) -> None:
        self.server.ingest(self.folder)
        until(lambda: httpx.get(f"{self.study}/metadata").status_code == 200)

    def issues(self) -> list[tuple[str, str]]:
        rows = self.server.catalog.sql("SELECT path, message FROM issues WHERE kind = 'object'").to_arrow()
        return [(row["path"], row["message"]) for row in rows.to_pylist()]


@pytest.fixture
def indexed(empty_server: RunningServer, tmp_path: Path) -> Indexed:
    return Indexed(empty_server, tmp_path / "data")


def test_a_vanished_file_is_410_and_an_issue(empty_server: RunningServer, tmp_path: Path) -> None:
    resources = ("", "/frames/1", "/rendered", "/thumbnail", "/bulkdata/00420011")
    indexed = Indexed(empty_server, tmp_path / "data", slices=len(resources) + 1)
    *vanishing, left = zip(indexed.paths, indexed.urls, strict=True)
    for resource, (path, url) in zip(resources, vanishing, strict=True):
        path.unlink()
        response = httpx.get(url + resource)
        assert response.status_code == 410, resource
        assert "vanished" in response.json()["error"]
    until(lambda: len(indexed.issues()) == len(resources))
    assert {path for path, _ in indexed.issues()} == {str(path) for path, _ in vanishing}
    assert all("vanished" in message for _, message in indexed.issues())
    assert httpx.get(left[1] + "/frames/1").status_code == 200


def test_metadata_of_a_vanished_file_stay(indexed: Indexed) -> None:
    before = httpx.get(f"{indexed.study}/metadata").json()
    indexed.paths[0].unlink()
    httpx.get(indexed.urls[0])
    until(lambda: bool(indexed.issues()))
    assert indexed.server.catalog.sql("SELECT count(*) FROM instances").to_arrow().to_pylist()[0] == {"count_star()": 2}
    until(lambda: len(httpx.get(f"{indexed.study}/metadata").json()) == len(before))
    assert httpx.get(indexed.urls[0] + "/frames/1").status_code == 410


def test_the_next_ingest_settles_it(indexed: Indexed) -> None:
    away = [path.rename(path.with_suffix(".away")) for path in indexed.paths]
    for url in indexed.urls:
        assert httpx.get(f"{url}/frames/1").status_code == 410
    until(lambda: len(indexed.issues()) == 2)
    away[0].rename(indexed.paths[0])
    away[1].unlink()
    indexed.ingest()
    assert indexed.issues() == []
    until(lambda: httpx.get(f"{indexed.urls[0]}/frames/1").status_code == 200)
    until(lambda: httpx.get(f"{indexed.urls[1]}/frames/1").status_code == 404)


def test_a_study_without_one_of_its_files_is_partial(indexed: Indexed) -> None:
    indexed.paths[0].unlink()
    response = httpx.get(indexed.study)
    assert response.status_code == 206
    assert "1 of 2" in response.headers["warning"]
    indexed.paths[1].unlink()
    assert httpx.get(indexed.study).status_code == 410


def test_a_changed_file_is_not_read_where_the_old_one_had_its_frames(indexed: Indexed) -> None:
    times = indexed.paths[0].stat()
    os.utime(indexed.paths[0], ns=(times.st_atime_ns, times.st_mtime_ns + 1_000_000))
    response = httpx.get(indexed.urls[0] + "/frames/1")
    assert response.status_code == 410
    assert "changed" in response.json()["error"]
    indexed.ingest()
    until(lambda: httpx.get(indexed.urls[0] + "/frames/1").status_code == 200)


def test_an_archive_that_vanished(empty_server: RunningServer, tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(TEST_FILES / "CT_small.dcm", "a.dcm")
    empty_server.ingest(archive, zip_in_place=True)
    image = pydicom.dcmread(TEST_FILES / "CT_small.dcm")
    url = (
        f"{empty_server.dicomweb}/studies/{image.StudyInstanceUID}/series/{image.SeriesInstanceUID}"
        f"/instances/{image.SOPInstanceUID}/frames/1"
    )
    until(lambda: httpx.get(url).status_code == 200)
    archive.unlink()
    assert httpx.get(url).status_code == 410
