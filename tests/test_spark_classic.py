"""A classic session: a cluster of two real executors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark import SparkContext
from pyspark.sql import SparkSession

from bundles import BRIGHTER
from dbx.pixels import Catalog
from dbx.pixels.dicom import DicomMetaExtractor, DicomPlot
from dbx.pixels.table.objects import ObjectTable
from spark_checks import SparkChecks, ingested, rows, streamed
from spark_checks import mixed as mixed
from spark_segmenting import SegmentingChecks, prepared, segmented
from spark_segmenting import series as series
from spark_sessions import environment, session

from conftest import TEST_FILES

#: Starting Java and the first jobs takes its time where all cores are busy.
pytestmark = pytest.mark.timeout(900)

FILES = 2000


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    with session("local-cluster[2,1,1024]") as spark:
        yield spark


class TestClassic(SparkChecks):
    """What holds for every session."""


class TestSegmenting(SegmentingChecks):
    """Likewise."""


def test_plots_read_no_further_than_they_show(spark: SparkSession, folder: Path, home: Path, tmp_path: Path) -> None:
    read = tmp_path / "read"
    read.mkdir()

    def noting(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            (read / uuid.uuid4().hex).touch()
            yield batch

    df = Catalog(spark, home=str(home)).catalog(folder / "CT_small.dcm")
    for _ in range(3):
        df = df.union(df)
    noted = df.mapInArrow(noting, df.schema)
    assert "The first 1 pictures" in DicomPlot(DicomMetaExtractor().transform(noted), limit=1).to_html()
    assert 0 < len(list(read.iterdir())) < 8


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A folder of so many files that reading them takes several tasks."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(FILES):
        os.link(TEST_FILES / "CT_small.dcm", folder / f"{number:05}.dcm")
    return folder


def test_after_an_executor_was_killed_every_file_is_there_once(spark: SparkSession, many: Path, home: Path) -> None:
    catalog = Catalog(spark, home=str(home))
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(ingested, catalog, many)
        while not _parts(catalog):
            assert not running.done()
            time.sleep(0.01)
        os.kill(_executors()[0], signal.SIGKILL)
        assert running.result().new == FILES
    _assert_every_file_is_there_once(catalog)


_DRIVER = """
import sys
from dbx.pixels import Catalog
from dbx.pixels.dicom import DicomMetaExtractor
from spark_sessions import session

folder, home, *checkpoint = sys.argv[1:]
stream = {"streaming": True, "streamCheckpointBasePath": checkpoint[0], "maxFilesPerTrigger": 500} if checkpoint else {}
with session("local-cluster[1,1,1024]") as spark:
    catalog = Catalog(spark, home=home)
    catalog.save(DicomMetaExtractor(catalog).transform(catalog.catalog(folder, **stream)))
"""


def _kill_driver(*arguments: Path, when: Callable[[], object]) -> None:
    """Save in a process of its own, and kill that as soon as something holds."""
    with (
        environment(PYTHONPATH=str(Path(__file__).parent)),
        subprocess.Popen([sys.executable, "-c", _DRIVER, *arguments], stderr=subprocess.PIPE, text=True) as driver,
    ):
        while not when():
            assert driver.poll() is None, driver.communicate()[1]
            time.sleep(0.01)
        driver.kill()


def test_after_the_driver_of_a_save_was_killed_every_file_is_there_once(
    spark: SparkSession, many: Path, home: Path
) -> None:
    catalog = Catalog(spark, home=str(home))
    _kill_driver(many, home, when=lambda: _parts(catalog))
    assert rows(catalog).num_rows == 0  # what it wrote was not committed yet
    assert ingested(catalog, many).new == FILES
    _assert_every_file_is_there_once(catalog)


def test_after_the_driver_of_a_stream_was_killed_every_file_is_there_once(
    spark: SparkSession, many: Path, home: Path, tmp_path: Path
) -> None:
    catalog, checkpoint = Catalog(spark, home=str(home)), tmp_path / "checkpoint"

    def has_commit() -> bool:
        table = ObjectTable.find(catalog.location())
        return table is not None and bool(table.files())

    _kill_driver(many, home, checkpoint, when=has_commit)
    before = rows(catalog).num_rows
    assert 0 < before < FILES
    indexed = streamed(catalog, many, checkpoint).indexed
    assert indexed == FILES - before  # the batch that it may not have marked as saved is known by its transaction
    _assert_every_file_is_there_once(catalog)


def _parts(catalog: Catalog) -> list[Path]:
    return list(Path(catalog.location()).glob("part-*.parquet"))


def _assert_every_file_is_there_once(catalog: Catalog) -> None:
    paths = rows(catalog)["path"].to_pylist()
    assert len(paths) == len(set(paths)) == FILES


def test_what_a_killed_executor_was_segmenting_is_done_again(spark: SparkSession, series: Path, tmp_path: Path) -> None:
    began = tmp_path / "began"
    slow = f"(__import__('pathlib').Path({str(began)!r}).touch(), __import__('time').sleep(1), {BRIGHTER})[-1]"
    catalog, index = prepared(spark, tmp_path / "home", series, forward=slow)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(segmented, catalog, index)
        while not began.exists():
            assert not running.done()
            time.sleep(0.01)
        os.kill(_executors()[0], signal.SIGKILL)
        errors = [result.error is not None for result in running.result().values()]
    assert sorted(errors) == [False, False, True]  # that with a gap
    assert Catalog(home=str(tmp_path / "home")).sql("SELECT 1 FROM series WHERE Modality = 'SEG'").count() == 2


def _executors() -> list[int]:
    """The processes of executors, which are children of the session's Java."""
    listed = subprocess.run(["ps", "-ww", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    ours = SparkContext._gateway.proc.pid
    return [
        int(line.split()[0])
        for line in listed.splitlines()
        if "CoarseGrainedExecutorBackend" in line and int(line.split()[1]) == ours
    ]
