"""DELETE of what was uploaded: file, row and index entry go; what was indexed in place stays."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pyarrow as pa
import pydicom
import pytest
from dicomweb_client import DICOMwebClient

from dbx.pixels.catalog.incoming import Incoming
from dbx.pixels.table import ObjectTable
from stow import encoded, files, instance, rows, store, uids, volume

from conftest import TEST_FILES

if TYPE_CHECKING:
    from web_server import RunningServer

pytest_plugins = ["web_server"]

CT = TEST_FILES / "CT_small.dcm"
STUDY, SERIES, SOP = uids(CT.read_bytes())


def another(series: str = SERIES) -> bytes:
    """Another object of the CT's study."""
    return instance(CT, StudyInstanceUID=STUDY, SeriesInstanceUID=series)


def left(server: RunningServer) -> list[str]:
    """SOP Instance UIDs that are left, which table, volume and index agree about."""
    in_table = sorted(row["SOPInstanceUID"] for row in rows(server, "SOPInstanceUID"))
    response = httpx.get(f"{server.dicomweb}/instances")
    found = response.json() if response.status_code == 200 else []
    assert sorted(dataset["00080018"]["Value"][0] for dataset in found) == in_table
    return in_table


def test_an_instance_is_deleted(empty_server: RunningServer) -> None:
    other = another()
    store(empty_server, CT.read_bytes(), other)
    client = DICOMwebClient(empty_server.dicomweb)
    client.delete_instance(STUDY, SERIES, SOP)
    assert left(empty_server) == [uids(other)[2]]
    assert files(empty_server) == ["uploads/{}/{}/{}.dcm".format(*uids(other))]
    response = httpx.delete(f"{empty_server.dicomweb}/studies/{STUDY}/series/{SERIES}/instances/{SOP}")
    assert response.status_code == 404
    assert store(empty_server, CT.read_bytes()).status_code == 200, "it may come again"


def test_a_series_is_deleted(empty_server: RunningServer) -> None:
    other = another("1.2.3")
    store(empty_server, CT.read_bytes(), another(), other)
    assert httpx.delete(f"{empty_server.dicomweb}/studies/{STUDY}/series/{SERIES}").status_code == 204
    assert left(empty_server) == [uids(other)[2]]
    assert len(files(empty_server)) == 1


def test_a_study_is_deleted_with_its_folders(empty_server: RunningServer) -> None:
    segmentation = instance(TEST_FILES / "liver_1frame.dcm", StudyInstanceUID=STUDY)
    other = instance(CT)
    store(empty_server, CT.read_bytes(), another("1.2.3"), segmentation, other)
    assert httpx.delete(f"{empty_server.dicomweb}/studies/{STUDY}").status_code == 204
    assert left(empty_server) == [uids(other)[2]]
    assert [path.name for path in (volume(empty_server) / "uploads").iterdir()] == [uids(other)[0]]
    assert list((volume(empty_server) / "ohif/exports").iterdir()) == []


@pytest.mark.parametrize("path", ["/studies/1.2.3", f"/studies/{STUDY}/series/1.2.3", "/studies/no-uid"])
def test_what_is_unknown_is_not_found(empty_server: RunningServer, path: str) -> None:
    store(empty_server, CT.read_bytes())
    assert httpx.delete(empty_server.dicomweb + path).status_code == 404
    assert left(empty_server) == [SOP]


def test_what_was_indexed_in_place_is_not_deleted(empty_server: RunningServer, tmp_path: Path) -> None:
    in_place = tmp_path / "ct.dcm"
    shutil.copy(CT, in_place)
    empty_server.ingest(in_place)
    other = another()
    store(empty_server, other)
    kept = sorted((SOP, uids(other)[2]))
    for path in ("", f"/series/{SERIES}", f"/series/{SERIES}/instances/{SOP}"):
        response = httpx.delete(f"{empty_server.dicomweb}/studies/{STUDY}{path}")
        assert response.status_code == 403
        assert "indexed where it lies" in response.json()["error"]
    assert left(empty_server) == kept
    assert in_place.exists()
    assert len(files(empty_server)) == 1


@pytest.mark.parametrize("comes_back", [False, True])
def test_an_upload_that_was_found_missing_is_deleted(empty_server: RunningServer, comes_back: bool) -> None:
    from wado import until  # it imports a plugin of pytest, which is to load that first

    store(empty_server, CT.read_bytes())
    file = Path(rows(empty_server, "local_path")[0]["local_path"])
    file.unlink()
    instance_url = f"{empty_server.dicomweb}/studies/{STUDY}/series/{SERIES}/instances/{SOP}"
    assert httpx.get(f"{instance_url}/frames/1").status_code == 410
    until(lambda: rows(empty_server, "error")[0]["error"] is not None)
    if comes_back:
        file.write_bytes(CT.read_bytes())
    assert httpx.delete(instance_url).status_code == 204
    assert left(empty_server) == []
    assert files(empty_server) == []


def test_what_was_stored_anew_while_a_deletion_waits_goes_as_a_whole(empty_server: RunningServer) -> None:
    from wado import until

    store(empty_server, CT.read_bytes())
    file = Path(rows(empty_server, "local_path")[0]["local_path"])
    table = ObjectTable.open(empty_server.catalog.location())
    with ThreadPoolExecutor(1) as thread, Incoming(volume(empty_server)).locked():
        deleting = thread.submit(httpx.delete, f"{empty_server.dicomweb}/studies/{STUDY}", timeout=60)
        until(lambda: is_waited_for(volume(empty_server) / ".incoming/lock"))
        # What a deletion and a store request of another server do that were faster.
        saved = rows(empty_server)[0]
        os.utime(file, (0, 0))
        table.save(pa.Table.from_pylist([saved | {"modificationTime": datetime.fromtimestamp(0, UTC)}], table.schema))
    assert deleting.result().status_code == 204
    assert left(empty_server) == []
    assert files(empty_server) == []


def is_waited_for(lock: Path) -> bool:
    """Whether somebody waits for a lock that somebody else has."""
    inode = str(lock.stat().st_ino)
    waiting = (line.split() for line in Path("/proc/locks").read_text().splitlines() if "->" in line)
    return any(words[6].rpartition(":")[2] == inode for words in waiting)


def test_a_copy_in_place_shows_again_when_the_upload_goes(empty_server: RunningServer, tmp_path: Path) -> None:
    store(empty_server, CT.read_bytes())
    changed = pydicom.dcmread(CT)
    changed.PatientID = "in place"
    (tmp_path / "ct.dcm").write_bytes(encoded(changed))
    uploaded = Path(rows(empty_server, "local_path")[0]["local_path"])
    older = uploaded.stat().st_mtime - 60
    os.utime(tmp_path / "ct.dcm", (older, older))
    empty_server.ingest(tmp_path / "ct.dcm")
    url = f"{empty_server.dicomweb}/studies/{STUDY}"
    assert httpx.delete(url).status_code == 204
    assert left(empty_server) == [SOP]
    assert httpx.delete(url).status_code == 403
    assert not uploaded.exists()
