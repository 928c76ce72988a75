"""A classic session: a cluster of two real executors."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pyspark import SparkContext
from pyspark.sql import SparkSession

from bundles import BRIGHTER
from dbx.pixels import Catalog
from spark_checks import SparkChecks, ingested, rows
from spark_checks import mixed as mixed
from spark_segmenting import SegmentingChecks, prepared, segmented
from spark_segmenting import series as series
from spark_sessions import session

from conftest import TEST_FILES

#: Starting Java and the first jobs takes its time where all cores are busy.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    with session("local-cluster[2,1,1024]") as spark:
        yield spark


class TestClassic(SparkChecks):
    """What holds for every session."""


class TestSegmenting(SegmentingChecks):
    """Likewise."""


def test_after_an_executor_was_killed_every_file_is_there_once(spark: SparkSession, tmp_path: Path) -> None:
    folder, files = tmp_path / "many", 3000
    folder.mkdir()
    for number in range(files):
        os.link(TEST_FILES / "CT_small.dcm", folder / f"{number:05}.dcm")
    catalog = Catalog(spark, home=str(tmp_path / "home"))
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(ingested, catalog, folder)
        while not list(Path(catalog.location()).glob("part-*.parquet")):
            assert not running.done()
            time.sleep(0.01)
        os.kill(_executors()[0], signal.SIGKILL)
        assert running.result().new == files
    paths = rows(catalog)["path"].to_pylist()
    assert len(paths) == len(set(paths)) == files


def test_what_a_killed_executor_was_segmenting_is_done_again(spark: SparkSession, series: Path, tmp_path: Path) -> None:
    began = tmp_path / "began"
    slow = f"(__import__('pathlib').Path({str(began)!r}).touch(), __import__('time').sleep(1), {BRIGHTER})[-1]"
    catalog, index = prepared(spark, tmp_path / "home", series, forward=slow)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(segmented, catalog, index)
        while not began.exists():
            assert not running.done()
            time.sleep(0.01)
        for executor in _executors():
            os.kill(executor, signal.SIGKILL)
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
