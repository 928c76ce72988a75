"""Spark: a cluster of two real executors, which a classic session and a server of Spark Connect share."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark import SparkContext
from pyspark.sql import SparkSession

from bundles import BRIGHTER
from dbx.pixels import Catalog
from dbx.pixels.catalog.chunks import Tally
from dbx.pixels.catalog.objects import LISTED_SCHEMA
from dbx.pixels.dicom import DicomMetaExtractor, DicomPlot
from dbx.pixels.errors import EngineError
from dbx.pixels.storage import volume_path
from dbx.pixels.table.objects import ObjectTable
from dbx.pixels.table.results import results_table
from spark_checks import SparkChecks, ingested, rows, run_lines, streamed
from spark_checks import mixed as mixed
from spark_segmenting import UIDS, prepared, segmented, voxels
from spark_segmenting import series as series
from spark_sessions import CONNECT, environment, free_port, remote_session, session

from conftest import TEST_FILES

#: Starting Java and the first jobs takes its time where all cores are busy.
pytestmark = pytest.mark.timeout(900)

#: So many that reading them takes several tasks.
FILES = 1200
#: So many tasks are there at once, as far as Spark Connect tells.
AT_ONCE = "spark.sql.leafNodeDefaultParallelism"
PIXELS = Path(sys.executable).with_name("pixels")


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def classic(port: int) -> Iterator[SparkSession]:
    with session("local-cluster[2,1,1024]", **CONNECT, **{"spark.connect.grpc.binding.port": str(port)}) as spark:
        yield spark


@pytest.fixture(scope="module")
def address(classic: SparkSession, port: int) -> str:  # noqa: ARG001 - its Java serves
    return f"sc://127.0.0.1:{port}"


class TestClassic(SparkChecks):
    """What holds for every session."""

    @pytest.fixture
    def spark(self, classic: SparkSession) -> SparkSession:
        return classic


class TestConnect(SparkChecks):
    """Likewise, with a client that has no Java."""

    @pytest.fixture(scope="class")
    @classmethod
    def spark(cls, address: str) -> Iterator[SparkSession]:
        with remote_session(address) as spark:
            yield spark

    def test_rounds_grow_with_the_cluster(
        self, spark: SparkSession, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("dbx.pixels.catalog.on_spark.CHUNK_ROWS", 1)  # 16,384 rows take minutes
        catalog = Catalog(spark, home=str(home))
        table, done = catalog.create_table(), []

        def listed() -> Iterator[pa.RecordBatch]:
            for number in range(3):
                yield pa.RecordBatch.from_pylist([{"path": f"/{number}"}], schema=LISTED_SCHEMA)

        def on_done(rows: int) -> None:
            done.append(rows)
            spark.conf.set(AT_ONCE, "2")  # more executors have come

        spark.conf.set(AT_ONCE, "1")
        try:
            catalog.engine.work(listed, LISTED_SCHEMA, lambda df: df, table, Tally(), on_done)
        finally:
            spark.conf.unset(AT_ONCE)
        assert done == [1, 2]

    def test_a_session_that_was_stopped(self, address: str, folder: Path, home: Path) -> None:
        with remote_session(address) as stopped:
            pass
        with pytest.raises(EngineError, match=r"spark: the session was stopped\. Start another one"):
            Catalog(stopped, home=str(home)).catalog(folder)


# --- Whatever the session ---


def test_each_engine_goes_on_where_the_other_ended(classic: SparkSession, folder: Path, home: Path) -> None:
    embedded, on_spark = Catalog(home=str(home)), Catalog(classic, home=str(home))
    assert ingested(embedded, folder).new == 3
    shutil.copy(TEST_FILES / "rtdose.dcm", folder)
    assert (ingested(on_spark, folder).new, ingested(embedded, folder).new) == (1, 0)
    changed = folder / "CT_small.dcm"
    changed.write_bytes((TEST_FILES / "MR_small.dcm").read_bytes())
    os.utime(changed, (1, 1))
    (folder / "notes.txt").unlink()
    summary = ingested(on_spark, folder)
    assert (summary.changed, summary.removed, summary.unchanged) == (1, 1, 2)
    paths = rows(embedded)["path"].to_pylist()
    assert len(paths) == len(set(paths)) == 3


def test_a_big_archive_is_split_over_the_tasks_that_the_cluster_runs(
    classic: SparkSession, folder: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbx.pixels.catalog.on_spark.TASKS", 1)  # of small clusters, too
    with zipfile.ZipFile(folder / "big.zip", "w") as archive:
        for number in range(600):
            archive.writestr(f"{number}.txt", str(number))
    catalog = Catalog(classic, home=str(home))
    with most_tasks(classic) as in_place:
        assert catalog.catalog(folder, zipInPlace=True).count() == 604
    assert in_place == [3]
    with most_tasks(classic) as extracted:
        catalog.catalog(folder, extractZip=True, extractZipBasePath=str(tmp_path / "extracted"))
    assert extracted == [6]


@contextmanager
def most_tasks(spark: SparkSession) -> Iterator[list[int]]:
    """Note how many tasks the largest of the stages had that this thread began in a session."""
    group, noted = uuid.uuid4().hex, []
    spark.sparkContext.setJobGroup(group, "")
    yield noted
    spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)
    tracker = spark.sparkContext.statusTracker()
    stages = [stage for job in tracker.getJobIdsForGroup(group) for stage in tracker.getJobInfo(job).stageIds]
    noted.append(max(info.numTasks for info in map(tracker.getStageInfo, stages) if info))


def test_thumbnails_are_filled_in_later(classic: SparkSession, folder: Path, home: Path) -> None:
    embedded, on_spark = Catalog(home=str(home)), Catalog(classic, home=str(home))
    ingested(embedded, folder)
    summary = ingested(on_spark, folder, thumbnails=True)
    assert (summary.new, summary.indexed) == (0, 2)
    table = rows(embedded)
    assert table.num_rows == 3
    assert table["thumbnail"].null_count == 1


def test_paths_that_come_twice_are_saved_once(classic: SparkSession, folder: Path, home: Path) -> None:
    catalog = Catalog(classic, home=str(home))
    df = catalog.catalog(folder)
    catalog.save(df.union(df).repartition(2))
    catalog.save(df.union(df).repartition(2))
    assert rows(catalog).num_rows == 3


def test_overwriting_leaves_what_was_given(classic: SparkSession, folder: Path, home: Path) -> None:
    catalog = Catalog(classic, home=str(home))
    run_lines(catalog, folder)
    catalog.save(catalog.catalog(folder, pattern="*.dcm"), mode="overwrite")
    table = rows(catalog)
    assert table["extension"].to_pylist() == ["dcm", "dcm"]
    assert table["meta"].null_count == 0


def test_plots_read_no_further_than_they_show(classic: SparkSession, folder: Path, home: Path, tmp_path: Path) -> None:
    read = tmp_path / "read"
    read.mkdir()

    def noting(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            (read / uuid.uuid4().hex).touch()
            yield batch

    df = Catalog(classic, home=str(home)).catalog(folder / "CT_small.dcm")
    for _ in range(3):
        df = df.union(df)
    noted = df.mapInArrow(noting, df.schema)
    assert "The first 1 pictures" in DicomPlot(DicomMetaExtractor().transform(noted), limit=1).to_html()
    assert 0 < len(list(read.iterdir())) < 8


# --- Segmenting ---


def test_the_command_line_segments_with_a_server(address: str, series: Path, tmp_path: Path) -> None:
    embedded, embedded_index = prepared(None, tmp_path / "one", series)
    expected = segmented(embedded, embedded_index)

    home = tmp_path / "two"
    catalog, index = prepared(None, home, series)
    command = [PIXELS, "segment", "--model", "bright", "--where", "Rows = 32", "--home", home, "--json"]
    done = subprocess.run(
        [*command, "--engine", "spark", "--remote", address], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")  # one has a gap
    told = json.loads(done.stdout)
    assert [told[name] for name in ("series", "segmented", "failed", "left_out")] == [3, 2, 1, 0]

    found = {result["series_uid"]: result for result in told["results"]}
    assert found.keys() == expected.keys() == set(UIDS)
    for uid, result in found.items():
        assert (result["error"], result["volumes_ml"]) == (expected[uid].error, expected[uid].volumes_ml)
        assert (result["model"], result["model_version"]) == ("bright", "0.1.0")
    assert "has gaps" in found[UIDS[1]]["error"]
    index.sync()
    for uid in (UIDS[0], UIDS[2]):
        labelmap = voxels(index, found[uid]["result"], uid)
        assert labelmap.any()
        assert np.array_equal(labelmap, voxels(embedded_index, str(expected[uid].result), uid))

    columns = "path, label_state, model, model_version"
    saved = catalog.sql(f"SELECT {columns} FROM instances WHERE Modality = 'SEG'").to_arrow().to_pylist()
    assert all(row["path"].startswith(f"{volume_path(catalog.volume)}/ohif/exports/") for row in saved)
    assert [tuple(row.values())[1:] for row in saved] == 2 * [("proposal", "bright", "0.1.0")]
    written = DeltaTable(results_table(catalog.location())).to_pyarrow_table()
    assert sorted(written["series_uid"].to_pylist()) == sorted(UIDS)
    assert segmented(catalog, index).keys() == {UIDS[1]}  # what Spark has segmented is left out


def test_segmenting_asks_the_session_for_a_table_by_name(address: str, home: Path) -> None:
    command = [PIXELS, "segment", "--model", "bright", "--where", "true", "--home", home]
    named = ["--table", "spark_catalog.default.objects", "--engine", "spark", "--remote", address]
    done = subprocess.run([*command, *named], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("pixels: spark_catalog.default.objects: there is no table. ")


# --- Killed ---


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A folder of many files."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(FILES):
        os.link(TEST_FILES / "CT_small.dcm", folder / f"{number:05}.dcm")
    return folder


def test_after_an_executor_was_killed_every_file_is_there_once(classic: SparkSession, many: Path, home: Path) -> None:
    catalog = Catalog(classic, home=str(home))
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(ingested, catalog, many)
        while not _parts(catalog):
            assert not running.done()
            time.sleep(0.01)
        os.kill(_executors()[0], signal.SIGKILL)
        assert running.result().new == FILES
    _assert_every_file_is_there_once(catalog)


def test_what_a_killed_executor_was_doing_for_an_item_is_done_again(
    classic: SparkSession, home: Path, tmp_path: Path
) -> None:
    began = tmp_path / "began"

    def slow_at_first(item: int) -> int:
        try:
            began.touch(exist_ok=False)
        except FileExistsError:
            return item
        time.sleep(600)
        return -item

    engine = Catalog(classic, home=str(home)).engine
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(lambda: sorted(engine.each(slow_at_first, [1, 2, 3], partial(time.sleep, 0))))
        while not began.exists():
            assert not running.done()
            time.sleep(0.01)
        for executor in _executors():
            os.kill(executor, signal.SIGKILL)
        assert running.result() == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.soak
def test_what_a_killed_executor_was_segmenting_is_done_again(
    classic: SparkSession, series: Path, tmp_path: Path
) -> None:
    began = tmp_path / "began"
    slow = f"(__import__('pathlib').Path({str(began)!r}).touch(), __import__('time').sleep(1), {BRIGHTER})[-1]"
    catalog, index = prepared(classic, tmp_path / "home", series, forward=slow)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(segmented, catalog, index)
        while not began.exists():
            assert not running.done()
            time.sleep(0.01)
        os.kill(_executors()[0], signal.SIGKILL)
        errors = [result.error is not None for result in running.result().values()]
    assert sorted(errors) == [False, False, True]  # that with a gap
    assert Catalog(home=str(tmp_path / "home")).sql("SELECT 1 FROM series WHERE Modality = 'SEG'").count() == 2


#: While a stream saves batch after batch into one table, all is saved at once into another.
_DRIVER = """
import sys, time
from pathlib import Path
from threading import Thread
from dbx.pixels import Catalog
from dbx.pixels.dicom import DicomMetaExtractor
from spark_sessions import session

folder, home, home_of_stream, checkpoint = sys.argv[1:]

def made(catalog, **stream):
    return DicomMetaExtractor(catalog).transform(catalog.catalog(folder, **stream))

with session("local[2]") as spark:
    saving, streaming = Catalog(spark, home=home), Catalog(spark, home=home_of_stream)
    stream = {"streaming": True, "streamCheckpointBasePath": checkpoint, "maxFilesPerTrigger": 200}
    df, stream_df = made(saving), made(streaming, **stream)
    Thread(target=streaming.save, args=(stream_df,)).start()
    while not any(Path(home_of_stream).rglob("part-*.parquet")):
        time.sleep(0.05)
    saving.save(df)
    time.sleep(600)
"""


def test_after_the_driver_was_killed_every_file_is_there_once(
    classic: SparkSession, many: Path, tmp_path: Path
) -> None:
    saving, streaming = (Catalog(classic, home=str(tmp_path / name)) for name in ("saving", "streaming"))
    checkpoint = tmp_path / "checkpoint"

    def is_in_the_middle() -> bool:
        table = ObjectTable.find(streaming.location()) if _parts(saving) else None
        return table is not None and bool(table.files())

    command = [sys.executable, "-c", _DRIVER, many, saving.home.root, streaming.home.root, checkpoint]
    with (
        environment(PYTHONPATH=str(Path(__file__).parent)),
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as driver,
    ):
        while not is_in_the_middle():
            assert driver.poll() is None, driver.communicate()[1]
            time.sleep(0.01)
        driver.kill()

    assert rows(saving).num_rows == 0  # what it wrote was not committed yet
    assert ingested(saving, many).new == FILES
    _assert_every_file_is_there_once(saving)

    before = rows(streaming).num_rows
    assert 0 < before < FILES
    # The batch that it may not have marked as saved is known by its transaction.
    assert streamed(streaming, many, checkpoint).indexed == FILES - before
    _assert_every_file_is_there_once(streaming)


def _parts(catalog: Catalog) -> list[Path]:
    return list(Path(catalog.location()).glob("part-*.parquet"))


def _assert_every_file_is_there_once(catalog: Catalog) -> None:
    paths = rows(catalog)["path"].to_pylist()
    assert len(paths) == len(set(paths)) == FILES


def _executors() -> list[int]:
    """The processes of executors, which are children of the session's Java."""
    listed = subprocess.run(["ps", "-ww", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    ours = SparkContext._gateway.proc.pid
    return [
        int(line.split()[0])
        for line in listed.splitlines()
        if "CoarseGrainedExecutorBackend" in line and int(line.split()[1]) == ours
    ]
