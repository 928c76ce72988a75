"""Ingesting: what is new, changed or gone, archives, bad files, and nothing lost on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from dbx.pixels import Catalog
from dbx.pixels.catalog.ingest import Summary, ingest
from dbx.pixels.catalog.selection import Archives
from dbx.pixels.dicom import DicomMetaExtractor
from dbx.pixels.engine.frame import Frame

from conftest import TEST_FILES


def run(catalog: Catalog, *paths: Path, archives: Archives = Archives.SKIP, **options: object) -> Summary:
    options = {"pattern": None, "recurse": True, "extract_to": None, **options}
    return ingest(catalog, catalog.selection([str(path) for path in paths], archives=archives, **options))


def rows(catalog: Catalog, columns: str, where: str = "true") -> list[tuple]:
    answer = catalog.sql(f"SELECT {columns} FROM object_catalog WHERE {where} ORDER BY path").to_arrow().to_pylist()
    return [tuple(row.values()) for row in answer]


def test_first_run_and_second_run(catalog: Catalog, folder: Path) -> None:
    first = run(catalog, folder)
    assert (first.listed, first.new, first.indexed, first.other, first.failed) == (3, 3, 2, 1, 0)
    second = run(catalog, folder)
    assert (second.listed, second.unchanged, second.new, second.indexed) == (3, 3, 0, 0)
    assert second.table_version == first.table_version
    assert rows(catalog, "Modality, file_type") == [
        ("CT", "application/dicom"),
        ("MR", "application/dicom"),
        (None, "text/plain"),
    ]


def test_changed_and_vanished_objects(catalog: Catalog, folder: Path) -> None:
    run(catalog, folder)
    shutil.copy(TEST_FILES / "JPEG2000.dcm", folder / "CT_small.dcm")
    (folder / "notes.txt").unlink()
    summary = run(catalog, folder)
    assert (summary.changed, summary.removed, summary.unchanged, summary.new) == (1, 1, 1, 0)
    assert rows(catalog, "relative_path, Modality") == [("CT_small.dcm", "NM"), ("head mr/MR_small.dcm", "MR")]


def test_thumbnails_and_hashes_are_filled_in_later(catalog: Catalog, folder: Path) -> None:
    run(catalog, folder)
    selection = catalog.selection([str(folder)], pattern=None, recurse=True, archives=Archives.SKIP, extract_to=None)
    filled = ingest(catalog, selection, thumbnails=True, deep=True)
    assert (filled.new, filled.unchanged, filled.indexed) == (0, 3, 2)
    assert rows(catalog, "thumbnail IS NOT NULL, content_hash IS NOT NULL, Modality, len(path_tags) > 0") == [
        (True, True, "CT", True),
        (True, True, "MR", True),
        (False, True, None, True),
    ]
    again = ingest(catalog, selection, thumbnails=True, deep=True)
    assert again.table_version == filled.table_version


def test_only_what_was_asked_for_can_vanish(catalog: Catalog, folder: Path) -> None:
    run(catalog, folder)
    (folder / "CT_small.dcm").unlink()
    assert run(catalog, folder / "head mr").removed == 0
    assert run(catalog, folder, pattern="*.txt").removed == 0
    assert run(catalog, folder).removed == 1
    shutil.rmtree(folder / "head mr")
    assert run(catalog, folder, recurse=False).removed == 0
    assert run(catalog, folder).removed == 1


def test_an_unmounted_disk_empties_nothing(catalog: Catalog, folder: Path) -> None:
    run(catalog, folder)
    shutil.rmtree(folder)
    folder.mkdir()
    summary = run(catalog, folder)
    assert (summary.removed, summary.kept) == (0, 3)
    assert catalog.load().count() == 3


def test_an_unmounted_disk_below_a_root_empties_nothing(catalog: Catalog, folder: Path, tmp_path: Path) -> None:
    mount_point = folder / "head mr"
    (folder / "linked").symlink_to(tmp_path / "other disk")
    shutil.copytree(mount_point, tmp_path / "other disk")
    run(catalog, folder)
    for place in (mount_point, tmp_path / "other disk"):  # as they were before something was mounted there
        shutil.rmtree(place)
        place.mkdir()
        os.utime(place, (1e9, 1e9))
    summary = run(catalog, folder)
    assert (summary.removed, summary.kept) == (0, 2)


def test_a_folder_that_was_emptied_loses_its_rows(catalog: Catalog, folder: Path) -> None:
    run(catalog, folder)
    (folder / "head mr" / "MR_small.dcm").unlink()
    summary = run(catalog, folder)
    assert (summary.removed, summary.kept) == (1, 0)


def test_archives_may_have_times_that_no_calendar_has(catalog: Catalog, folder: Path) -> None:
    archive = folder / "scans.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(folder / "CT_small.dcm", "ct.dcm")
    try:
        os.utime(archive, (1e12, 1e12))
    except OSError:
        pytest.skip("this file system has no such times")
    assert run(catalog, folder, archives=Archives.IN_PLACE).failed == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_what_may_not_be_read_is_not_lost(tmp_path: Path) -> None:
    """A folder that may not be entered keeps its rows; a file that may be read again is read."""
    data, home = tmp_path / "data", tmp_path / "home"
    for name in ("open", "closed"):
        (data / name).mkdir(parents=True)
        shutil.copy(TEST_FILES / "CT_small.dcm", data / name)
    shutil.copy(TEST_FILES / "MR_small.dcm", data / "secret.dcm")
    home.mkdir()
    for path in (home, data, *data.rglob("*")):
        os.chown(path, _NOBODY, _NOBODY)
    for parent in (tmp_path, *tmp_path.parents[:-1]):
        parent.chmod(parent.stat().st_mode | 0o011)
    done = subprocess.run(
        [sys.executable, "-c", _INGEST_AS_NOBODY, str(home), str(data)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second, third, fourth = json.loads(done.stdout)
    assert (first["indexed"], first["failed"]) == (2, 1)
    assert (second["failed"], second["removed"]) == (1, 0)
    assert (third["changed"], third["indexed"], third["removed"]) == (1, 1, 1)
    assert (fourth["new"], fourth["changed"], fourth["removed"]) == (0, 0, 0)


_NOBODY = 65534

_INGEST_AS_NOBODY = f"""
import json, os, sys, tempfile
from dataclasses import asdict
from pathlib import Path
from dbx.pixels import Catalog
from dbx.pixels.catalog.ingest import ingest
from dbx.pixels.catalog.selection import Archives

def run(home, data):
    catalog = Catalog(home=str(home))
    selection = catalog.selection([str(data)], pattern=None, recurse=True, archives=Archives.SKIP, extract_to=None)
    return asdict(ingest(catalog, selection))

home, data = map(Path, sys.argv[1:])
with tempfile.TemporaryDirectory() as elsewhere:
    run(elsewhere, data)  # so that all modules are loaded while they may be
tempfile.tempdir = str(home)
os.seteuid({_NOBODY})
summaries = []
(data / "secret.dcm").chmod(0)
summaries.append(run(home, data))
(data / "closed").chmod(0)
summaries.append(run(home, data))
(data / "closed").chmod(0o755)
(data / "secret.dcm").chmod(0o644)  # which does not touch the file's time
summaries.append(run(home, data))
summaries.append(run(home, data))
print(json.dumps(summaries))
"""

_INGEST = """
import sys
from dataclasses import asdict
from dbx.pixels import Catalog
from dbx.pixels.catalog.ingest import ingest
from dbx.pixels.catalog.selection import Archives
catalog = Catalog(home=sys.argv[1])
selection = catalog.selection(sys.argv[2:], pattern=None, recurse=True, archives=Archives.SKIP, extract_to=None)
print(asdict(ingest(catalog, selection)))
"""


def test_bad_files_are_rows(catalog: Catalog, folder: Path) -> None:
    (folder / "empty.dcm").touch()
    (folder / "cut.dcm").write_bytes((TEST_FILES / "CT_small.dcm").read_bytes()[:2000])
    (folder / "noise.bin").write_bytes(bytes(range(256)) * 8)
    (folder / "dangling").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe")
    (Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.dcm"))).write_bytes(b"not UTF-8")
    summary = run(catalog, folder)
    errors = dict(rows(catalog, "relative_path, error", "error IS NOT NULL"))
    assert set(errors) == {"empty.dcm", "cut.dcm", "dangling", "caf\\xe9.dcm"}
    assert "empty" in errors["empty.dcm"]
    assert "truncated" in errors["cut.dcm"]
    assert summary.failed == 4
    assert summary.indexed == 3  # what could be read of cut.dcm is there, too
    assert rows(catalog, "PatientID", "relative_path = 'cut.dcm'") == [("1CT1",)]
    again = run(catalog, folder)
    assert (again.new, again.changed, again.failed, again.table_version) == (0, 0, 0, summary.table_version)


def test_what_cannot_be_looked_at_keeps_only_what_lies_there(catalog: Catalog, folder: Path) -> None:
    (folder / "elsewhere").symlink_to(folder / "nowhere")
    run(catalog, folder)
    (folder / "CT_small.dcm").unlink()
    summary = run(catalog, folder)
    assert (summary.removed, summary.kept) == (1, 0)


def test_a_file_that_vanishes_between_listing_and_reading(catalog: Catalog, folder: Path) -> None:
    listed = catalog.catalog(str(folder)).to_arrow()
    (folder / "CT_small.dcm").unlink()
    catalog.save(DicomMetaExtractor(catalog).transform(Frame.from_arrow(listed)))
    assert "No such file" in rows(catalog, "error", "relative_path = 'CT_small.dcm'")[0][0]
    assert rows(catalog, "Modality", "error IS NULL") == [("MR",), (None,)]


@pytest.fixture
def archives(folder: Path) -> Path:
    """Two archives of one name in different folders, with different contents."""
    for name, file in (("a", "CT_small.dcm"), ("b", "MR_small.dcm")):
        (folder / name).mkdir()
        with zipfile.ZipFile(folder / name / "study.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(TEST_FILES / file, "series/1.dcm")
    return folder


def test_archives_are_left_out_and_counted(catalog: Catalog, archives: Path) -> None:
    summary = run(catalog, archives)
    assert (summary.listed, summary.new, summary.archives_skipped) == (5, 3, 2)


def test_archives_in_place(catalog: Catalog, archives: Path) -> None:
    summary = run(catalog, archives, archives=Archives.IN_PLACE)
    assert (summary.listed, summary.new, summary.indexed) == (7, 7, 4)
    assert rows(catalog, "path, Modality", "path LIKE 'zip:%'") == [
        (f"zip://series/1.dcm::{archives}/a/study.zip", "CT"),
        (f"zip://series/1.dcm::{archives}/b/study.zip", "MR"),
    ]
    again = run(catalog, archives, archives=Archives.IN_PLACE)
    assert (again.listed, again.unchanged, again.new, again.changed) == (7, 7, 0, 0)
    assert again.table_version == summary.table_version
    assert run(catalog, archives).removed == 0  # left out is not vanished


def test_an_archive_that_changes_or_vanishes(catalog: Catalog, archives: Path) -> None:
    run(catalog, archives, archives=Archives.IN_PLACE)
    with zipfile.ZipFile(archives / "a" / "study.zip", "w") as archive:
        archive.write(TEST_FILES / "JPEG2000.dcm", "series/2.dcm")
    (archives / "b" / "study.zip").unlink()
    summary = run(catalog, archives, archives=Archives.IN_PLACE)
    assert (summary.new, summary.changed, summary.removed) == (1, 1, 3)
    assert rows(catalog, "path, Modality", "path LIKE 'zip:%'") == [
        (f"zip://series/2.dcm::{archives}/a/study.zip", "NM")
    ]


def test_archives_extracted(catalog: Catalog, archives: Path) -> None:
    summary = run(catalog, archives, archives=Archives.EXTRACT)
    assert (summary.listed, summary.new, summary.indexed) == (7, 7, 4)
    extracted = rows(catalog, "path, local_path, original_path", "path LIKE '/Volumes/%'")
    assert len(extracted) == 2
    for path, local_path, original_path in extracted:
        assert path.startswith("/Volumes/main/pixels_solacc/pixels_volume/unzipped/study-")
        assert Path(local_path).is_file()
        assert Path(local_path).is_relative_to(catalog.home.volumes)
        assert original_path.startswith("zip://series/1.dcm::")
    again = run(catalog, archives, archives=Archives.EXTRACT)
    assert (again.new, again.changed, again.table_version) == (0, 0, summary.table_version)
    # What was extracted can be listed as what it is now: files.
    assert run(catalog, Path("/Volumes/main/pixels_solacc/pixels_volume/unzipped")).unchanged == 2


def test_extracted_objects_follow_their_archive(catalog: Catalog, archives: Path) -> None:
    run(catalog, archives, archives=Archives.EXTRACT)
    ((extracted,),) = rows(catalog, "local_path", "path LIKE '/Volumes/%' AND Modality = 'CT'")
    Path(extracted).unlink()
    run(catalog, archives, archives=Archives.EXTRACT)
    assert Path(extracted).is_file()  # unpacked again
    with zipfile.ZipFile(archives / "a" / "study.zip", "w") as archive:
        archive.write(TEST_FILES / "JPEG2000.dcm", "series/2.dcm")
    summary = run(catalog, archives, archives=Archives.EXTRACT)
    assert (summary.new, summary.changed, summary.removed) == (1, 1, 1)
    (archives / "b" / "study.zip").unlink()
    assert run(catalog, archives, archives=Archives.EXTRACT).removed == 1  # the archive; what came out of it is there
    assert sorted(rows(catalog, "Modality", "path LIKE '/Volumes/%'")) == [("MR",), ("NM",)]


def test_one_way_of_taking_archives_replaces_the_other(catalog: Catalog, archives: Path) -> None:
    run(catalog, archives, archives=Archives.EXTRACT)
    for way in (Archives.IN_PLACE, Archives.EXTRACT):
        summary = run(catalog, archives, archives=way)
        assert (summary.indexed, summary.removed) == (2, 2)
        again = run(catalog, archives, archives=way)
        assert (again.new, again.changed, again.removed, again.unchanged) == (0, 0, 0, 7)


def test_members_that_lead_elsewhere_are_refused_once(catalog: Catalog, folder: Path) -> None:
    with zipfile.ZipFile(folder / "evil.zip", "w") as archive:
        archive.write(TEST_FILES / "CT_small.dcm", "../../evil.dcm")
        archive.write(TEST_FILES / "MR_small.dcm", "good.dcm")
    summary = run(catalog, folder, archives=Archives.EXTRACT)
    assert summary.failed == 1
    assert not list(folder.parent.rglob("evil.dcm"))
    again = run(catalog, folder, archives=Archives.EXTRACT)
    assert (again.new, again.changed, again.table_version) == (0, 0, summary.table_version)


def test_archives_inside_archives(catalog: Catalog, tmp_path: Path) -> None:
    inner = tmp_path / "inner.zip"
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(TEST_FILES / "CT_small.dcm", "ct.dcm")
    (tmp_path / "data").mkdir()
    with zipfile.ZipFile(tmp_path / "data" / "outer.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(inner, "study/inner.zip")
        archive.write(TEST_FILES / "MR_small.dcm", "mr.dcm")
    summary = run(catalog, tmp_path / "data", archives=Archives.IN_PLACE)
    assert summary.indexed == 2
    outer = tmp_path / "data" / "outer.zip"
    assert rows(catalog, "path", "Modality = 'CT'") == [(f"zip://ct.dcm::zip://study/inner.zip::{outer}",)]
    assert run(catalog, tmp_path / "data", archives=Archives.IN_PLACE).new == 0


def test_bad_archives_stop_nothing(catalog: Catalog, folder: Path) -> None:
    with zipfile.ZipFile(folder / "good.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(TEST_FILES / "CT_small.dcm", "ct.dcm")
        archive.writestr("bomb.dcm", bytes(200 << 20))
    content = (folder / "good.zip").read_bytes()
    (folder / "cut.zip").write_bytes(content[: len(content) // 2])
    (folder / "noise.zip").write_bytes(b"no archive at all")
    summary = run(catalog, folder, archives=Archives.IN_PLACE)
    errors = dict(rows(catalog, "relative_path, error", "error IS NOT NULL"))
    assert set(errors) == {"cut.zip", "noise.zip", "good.zip/bomb.dcm"}
    assert summary.indexed == 3
    assert run(catalog, folder, archives=Archives.IN_PLACE).changed == 0


def test_members_hidden_behind_others_of_their_name_are_told(catalog: Catalog, folder: Path) -> None:
    with zipfile.ZipFile(folder / "twice.zip", "w") as archive:
        archive.write(TEST_FILES / "CT_small.dcm", "image.dcm")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.write(TEST_FILES / "MR_small.dcm", "image.dcm")
    run(catalog, folder, archives=Archives.IN_PLACE)
    assert rows(catalog, "Modality", "path LIKE 'zip:%'") == [("MR",)]
    assert "image.dcm" in rows(catalog, "error", "extension = 'zip' AND error IS NOT NULL")[0][0]


def test_kill_at_any_moment_then_run_again(tmp_path: Path) -> None:
    """Every file once, whenever the process was killed."""
    home, data = tmp_path / "home", tmp_path / "data"
    data.mkdir()
    content = (TEST_FILES / "MR_small.dcm").read_bytes()
    for number in range(1500):
        (data / f"{number:04d}.dcm").write_bytes(content)
    code = _INGEST.replace("catalog = ", "import dbx.pixels.catalog.chunks as c; c.CHUNK_ROWS = 100\ncatalog = ")
    for delay in (0.5, 0.8, 1.1, 1.5):
        process = subprocess.Popen([sys.executable, "-c", code, str(home), str(data)], stdout=subprocess.DEVNULL)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    catalog = Catalog(home=str(home))
    run(catalog, data)
    answer = catalog.sql("SELECT count(*) AS rows, count(DISTINCT path) AS paths FROM object_catalog").to_arrow()
    assert answer.to_pylist() == [{"rows": 1500, "paths": 1500}]


def test_two_ingests_at_once_double_nothing(tmp_path: Path) -> None:
    home, data = tmp_path / "home", tmp_path / "data"
    content = (TEST_FILES / "MR_small.dcm").read_bytes()
    for number in range(900):
        part = data / str(number % 3)
        part.mkdir(parents=True, exist_ok=True)
        (part / f"{number:04d}.dcm").write_bytes(content)
    code = _INGEST.replace("catalog = ", "import dbx.pixels.catalog.chunks as c; c.CHUNK_ROWS = 100\ncatalog = ")
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(home), *map(str, paths)], stdout=subprocess.DEVNULL)
        for paths in ([data], [data / "0", data / "1"])
    ]
    assert [process.wait() for process in processes] == [0, 0]
    answer = Catalog(home=str(home)).sql("SELECT count(*) AS rows, count(DISTINCT path) AS paths FROM object_catalog")
    assert answer.to_arrow().to_pylist() == [{"rows": 900, "paths": 900}]
