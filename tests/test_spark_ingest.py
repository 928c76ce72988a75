"""`pixels ingest --engine spark`, and what becomes of it when something is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dbx.pixels import Catalog
from dbx.pixels.catalog.ingest import ingest
from spark_checks import rows
from spark_sessions import environment

from conftest import TEST_FILES

pytestmark = pytest.mark.timeout(900)

FILES = 3000


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A folder of so many files that reading them takes several tasks."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(FILES):
        os.link(TEST_FILES / "CT_small.dcm", folder / f"{number:05}.dcm")
    return folder


def start(folder: Path, home: Path) -> subprocess.Popen:
    """Start an ingest with Spark in a process of its own."""
    command = [Path(sys.executable).with_name("pixels"), "ingest", folder, "--home", home, "--json"]
    with environment():
        return subprocess.Popen(
            [*map(str, command), "--engine", "spark", "--master", "local[1]"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def test_ingest_with_spark_from_the_command_line(folder: Path, home: Path) -> None:
    running = start(folder, home)
    out, err = running.communicate()
    assert running.returncode == 0, err
    summary = json.loads(out)
    assert (summary["new"], summary["indexed"], summary["other"]) == (3, 2, 1)
    assert rows(Catalog(home=str(home)))["Modality"].to_pylist() == ["CT", "MR", None]


def test_after_the_driver_was_killed_every_file_is_there_once(many: Path, home: Path) -> None:
    catalog = Catalog(home=str(home))
    running = start(many, home)
    while not list(Path(catalog.location()).glob("part-*.parquet")):
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    assert rows(catalog).num_rows == 0  # what it wrote was not committed yet
    selection = catalog.selection(many, pattern=None, recurse=True, archives="skip", extract_to=None)
    assert ingest(catalog, selection).new == FILES
    paths = rows(catalog)["path"].to_pylist()
    assert len(paths) == len(set(paths)) == FILES


_STREAM = """
import sys
from dbx.pixels import Catalog
from dbx.pixels.dicom import DicomMetaExtractor
from spark_sessions import session

folder, home, checkpoint = sys.argv[1:]
with session("local[1]") as spark:
    catalog = Catalog(spark, home=home)
    df = catalog.catalog(folder, streaming=True, streamCheckpointBasePath=checkpoint, maxFilesPerTrigger=1000)
    print(catalog.save(DicomMetaExtractor(catalog).transform(df)).indexed)
"""


def test_after_the_driver_of_a_stream_was_killed_every_file_is_there_once(
    many: Path, home: Path, tmp_path: Path
) -> None:
    catalog = Catalog(home=str(home))
    command = [sys.executable, "-c", _STREAM, many, home, tmp_path / "checkpoint"]
    with environment(PYTHONPATH=str(Path(__file__).parent)):
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while rows(catalog).num_rows == 0:
            assert running.poll() is None, running.communicate()[1]
            time.sleep(0.1)
        running.send_signal(signal.SIGKILL)
        running.communicate()
        before = rows(catalog).num_rows
        assert 0 < before < FILES
        again = subprocess.run(command, capture_output=True, text=True, check=True)
    paths = rows(catalog)["path"].to_pylist()
    assert len(paths) == len(set(paths)) == FILES
    assert (
        FILES - before <= int(again.stdout) <= FILES - before + 1000
    )  # what was not marked as saved is looked at again
