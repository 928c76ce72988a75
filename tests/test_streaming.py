"""Streams: each object exactly once, across restarts and crashes, and after changes."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dbx.pixels import Catalog
from dbx.pixels.dicom import DicomMetaExtractor
from dbx.pixels.errors import ArgumentError
from dbx.pixels.table.objects import ObjectTable

from conftest import TEST_FILES


def stream(catalog: Catalog, folder: Path, checkpoint: Path, **options: object):
    listed = catalog.catalog(
        str(folder), streaming=True, streamCheckpointBasePath=str(checkpoint), triggerAvailableNow=True, **options
    )
    return catalog.save(DicomMetaExtractor(catalog).transform(listed))


def table(catalog: Catalog) -> ObjectTable:
    return ObjectTable.open(catalog.location())


def test_each_object_once(catalog: Catalog, folder: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    assert stream(catalog, folder, checkpoint).indexed == 2
    assert stream(catalog, folder, checkpoint).indexed == 0
    shutil.copy(TEST_FILES / "JPEG2000.dcm", folder)
    assert stream(catalog, folder, checkpoint).indexed == 1
    shutil.copy(TEST_FILES / "rtplan.dcm", folder / "CT_small.dcm")
    assert stream(catalog, folder, checkpoint).indexed == 1
    modalities = catalog.sql("SELECT Modality FROM instances ORDER BY 1").to_arrow()["Modality"].to_pylist()
    assert modalities == ["MR", "NM", "RTPLAN"]


def test_a_batch_holds_no_more_files_than_maxFilesPerTrigger(catalog: Catalog, folder: Path, tmp_path: Path) -> None:
    stream(catalog, folder, tmp_path / "checkpoint", maxFilesPerTrigger=1)
    assert catalog.load().count() == 3
    assert len(list((tmp_path / "checkpoint").rglob("saved/*"))) == 3


def test_what_was_removed_from_the_table_does_not_come_back(catalog: Catalog, folder: Path, tmp_path: Path) -> None:
    stream(catalog, folder, tmp_path / "checkpoint")
    table(catalog).remove_under(str(folder / "head mr"))
    stream(catalog, folder, tmp_path / "checkpoint")
    assert catalog.load().count() == 2


def test_a_batch_that_was_committed_and_not_marked_is_not_saved_again(
    catalog: Catalog, folder: Path, tmp_path: Path
) -> None:
    stream(catalog, folder, tmp_path / "checkpoint")
    before = table(catalog).version
    for mark in (tmp_path / "checkpoint").rglob("saved/*"):
        mark.unlink()  # as if the process had been killed right after the commit
    stream(catalog, folder, tmp_path / "checkpoint")
    assert table(catalog).version == before
    assert catalog.load().count() == 3


def test_killed_streams_go_on(tmp_path: Path) -> None:
    home, data, checkpoint = tmp_path / "home", tmp_path / "data", tmp_path / "checkpoint"
    data.mkdir()
    content = (TEST_FILES / "MR_small.dcm").read_bytes()
    for number in range(120):
        (data / f"{number:03d}.dcm").write_bytes(content)
    code = (
        "import sys; from dbx.pixels import Catalog; from dbx.pixels.dicom import *\n"
        "catalog = Catalog(home=sys.argv[1])\n"
        "frame = catalog.catalog(sys.argv[2], streaming=True, streamCheckpointBasePath=sys.argv[3],"
        " maxFilesPerTrigger=10)\n"
        "catalog.save(DicomMetaExtractor(catalog).transform(frame))"
    )
    command = [sys.executable, "-c", code, str(home), str(data), str(checkpoint)]
    for saved in (2, 6):  # batches, each one commit
        process = subprocess.Popen(command)
        while len(list(home.rglob("_delta_log/*.json"))) <= saved:
            assert process.poll() is None, "it has ended"
            time.sleep(0.01)
        process.kill()
        process.wait()
    subprocess.run(command, check=True)
    answer = Catalog(home=str(home)).sql("SELECT count(*) AS rows, count(DISTINCT path) AS paths FROM object_catalog")
    assert answer.to_arrow().to_pylist() == [{"rows": 120, "paths": 120}]


def test_a_stream_that_keeps_going(tmp_path: Path, folder: Path) -> None:
    home = tmp_path / "home"
    code = (
        "import sys; from dbx.pixels import Catalog; from dbx.pixels.dicom import *\n"
        "catalog = Catalog(home=sys.argv[1])\n"
        "frame = catalog.catalog(sys.argv[2], streaming=True, streamCheckpointBasePath=sys.argv[3],"
        " triggerProcessingTime='200 milliseconds')\n"
        "catalog.save(DicomMetaExtractor(catalog).transform(frame))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(home), str(folder), str(tmp_path / "checkpoint")])
    try:
        wait_for_rows(home, 3)
        shutil.copy(TEST_FILES / "JPEG2000.dcm", folder)
        wait_for_rows(home, 4)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
    assert process.returncode in (0, -signal.SIGINT, 1)


def wait_for_rows(home: Path, rows: int) -> None:
    deadline = time.monotonic() + 240
    while Catalog(home=str(home)).load().count() < rows:
        assert time.monotonic() < deadline, "the rows did not come"
        time.sleep(0.2)


def test_a_stream_is_saved_and_not_read(catalog: Catalog, folder: Path, tmp_path: Path) -> None:
    frame = catalog.catalog(str(folder), streaming=True, streamCheckpointBasePath=str(tmp_path / "checkpoint"))
    assert frame.isStreaming
    with pytest.raises(ArgumentError, match=r"catalog\.save"):
        frame.count()
    with pytest.raises(ArgumentError, match="append"):
        catalog.save(frame, mode="overwrite")
