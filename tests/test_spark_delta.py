"""Tables that Spark knows by name: its own data source `delta` reads and writes them, here Sail's."""

from __future__ import annotations

import os
import shutil
import threading
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from dbx.pixels import Catalog
from dbx.pixels.catalog.chunks import Tally
from dbx.pixels.catalog.on_spark import save_batch
from dbx.pixels.catalog.streaming import Stream, plan
from dbx.pixels.dicom import DicomMetaExtractor
from dbx.pixels.errors import ArgumentError, TableError, TableNotFoundError
from dbx.pixels.table.named import NamedTable
from dbx.pixels.table.names import TableName
from dbx.pixels.table.objects import ObjectTable, StreamTransaction
from dbx.pixels.table.schema import TABLE_SCHEMA
from sail import LAKE, sail_session
from spark_checks import assert_same_table, ingested, run_lines
from spark_checks import mixed as mixed

from conftest import TEST_FILES

pytestmark = pytest.mark.timeout(900)

USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A session that has the data source `delta`, and a catalog of tables by name."""
    with sail_session(tmp_path_factory.mktemp("warehouse")) as session:
        yield session


@pytest.fixture
def name() -> str:
    """The name of a table that is not there."""
    return f"{LAKE}.pixels_solacc.objects_{uuid.uuid4().hex}"


@pytest.fixture
def by_name(spark: SparkSession, name: str, home: Path) -> Catalog:
    """A catalog over that table, in Spark."""
    return Catalog(spark, name, home=str(home))


def embedded(catalog: Catalog) -> Catalog:
    """A catalog over the same table, on this machine."""
    return Catalog(table=catalog.location(), home=str(catalog.home.root))


def rows(catalog: Catalog) -> pa.Table:
    """A table's rows as the embedded engine reads them where they lie."""
    return embedded(catalog).load().to_arrow().sort_by("path")


def versions(catalog: Catalog) -> int:
    """How many commits there were."""
    return ObjectTable.open(catalog.location()).version + 1


class TestSameAsEmbedded:
    """Row for row, `meta` included."""

    def test_lines_give_the_rows_that_they_give_embedded(self, by_name: Catalog, catalog: Catalog, mixed: Path) -> None:
        for engine in (catalog, by_name):
            run_lines(engine, mixed)
        assert_same_table(rows(by_name), rows(catalog))

    def test_ingest_gives_the_rows_that_it_gives_embedded(
        self, by_name: Catalog, catalog: Catalog, mixed: Path
    ) -> None:
        expected, summary = (ingested(engine, mixed, thumbnails=True) for engine in (catalog, by_name))
        assert_same_table(rows(by_name), rows(catalog))
        for count in ("listed", "new", "indexed", "other", "failed", "issues"):
            assert getattr(summary, count) == getattr(expected, count), count
        assert summary.table_version is None

    def test_all_see_the_rows_at_once(self, by_name: Catalog, spark: SparkSession, name: str, folder: Path) -> None:
        by_name.save(DicomMetaExtractor(by_name).transform(by_name.catalog(folder)))
        query = "SELECT Modality FROM object_catalog WHERE Modality IS NOT NULL ORDER BY 1"
        expected = ["CT", "MR"]
        assert by_name.sql(query).to_arrow()["Modality"].to_pylist() == expected
        assert embedded(by_name).sql(query).to_arrow()["Modality"].to_pylist() == expected
        assert [row.Modality for row in spark.sql(query.replace("object_catalog", name)).collect()] == expected
        loaded = by_name.load().where("Modality IS NOT NULL").orderBy("Modality")
        assert [row.Modality for row in loaded.collect()] == expected

    def test_one_commit_takes_in_all_rows(self, by_name: Catalog, folder: Path) -> None:
        by_name.create_table()
        before = versions(by_name)
        run_lines(by_name, folder)
        assert versions(by_name) == before + 1
        run_lines(by_name, folder)
        assert versions(by_name) == before + 1

    def test_where_names_lead(self, by_name: Catalog, spark: SparkSession, home: Path, folder: Path) -> None:
        with pytest.raises(TableNotFoundError, match="there is no table"):
            by_name.location()
        assert by_name.load().count() == 0
        other = Catalog(spark, "main.pixels_solacc.object_catalog", home=str(home))
        assert other.location() == str(home / "tables" / "main" / "pixels_solacc" / "object_catalog")
        other.save(other.catalog(folder))
        assert rows(other).num_rows == 3


class TestGoingOn:
    """Where the other engine ended, and where rows are known."""

    def test_each_engine_goes_on_where_the_other_ended(self, by_name: Catalog, folder: Path) -> None:
        assert ingested(by_name, folder).new == 3
        shutil.copy(TEST_FILES / "rtdose.dcm", folder)
        assert (ingested(embedded(by_name), folder).new, ingested(by_name, folder).new) == (1, 0)
        changed = folder / "CT_small.dcm"
        changed.write_bytes((TEST_FILES / "MR_small.dcm").read_bytes())
        os.utime(changed, (1, 1))
        (folder / "notes.txt").unlink()
        summary = ingested(by_name, folder)
        assert (summary.changed, summary.removed, summary.unchanged) == (1, 1, 2)
        assert ingested(embedded(by_name), folder).unchanged == 3
        assert rows(by_name)["Modality"].to_pylist() == ["MR", "MR", "RTDOSE"]

    def test_members_of_archives_are_known_and_seen_to_vanish(self, by_name: Catalog, folder: Path) -> None:
        archive = folder / "series.zip"
        with zipfile.ZipFile(archive, "w") as written:
            for name in ("CT_small.dcm", "MR_small.dcm"):
                written.write(TEST_FILES / name, f"study: 1/{name}")
        assert ingested(by_name, folder).new == 6
        again = ingested(by_name, folder)
        assert (again.new, again.unchanged) == (0, 6)
        archive.unlink()
        assert ingested(by_name, folder).removed == 3

    def test_thumbnails_are_filled_in_later(self, by_name: Catalog, folder: Path) -> None:
        by_name.create_table()
        ingested(embedded(by_name), folder)
        summary = ingested(by_name, folder, thumbnails=True)
        assert (summary.new, summary.indexed) == (0, 2)
        table = rows(by_name)
        assert (table.num_rows, table["thumbnail"].null_count, table["meta"].null_count) == (3, 1, 1)
        assert ingested(by_name, folder, thumbnails=True).indexed == 0

    def test_paths_that_come_twice_are_saved_once(self, by_name: Catalog, folder: Path) -> None:
        df = by_name.catalog(folder)
        by_name.save(df.union(df))
        by_name.save(df.union(df))
        assert rows(by_name).num_rows == 3

    def test_paths_are_the_same_whatever_is_in_them(self, by_name: Catalog, folder: Path) -> None:
        strange = folder / "it's 100 % `strange` \\ ümlaut.dcm"
        shutil.move(folder / "CT_small.dcm", strange)
        assert ingested(by_name, strange).new == 1
        assert ingested(by_name, strange).unchanged == 1
        assert rows(by_name)["path"].to_pylist() == [str(strange)]

    def test_overwriting_leaves_what_was_given(self, by_name: Catalog, folder: Path) -> None:
        run_lines(by_name, folder)
        by_name.save(by_name.catalog(folder, pattern="*.dcm"), mode="overwrite")
        table = rows(by_name)
        assert table["extension"].to_pylist() == ["dcm", "dcm"]
        assert table["meta"].null_count == 0

    def test_writers_at_the_same_time_save_each_object_once(self, by_name: Catalog, folder: Path) -> None:
        by_name.create_table()
        engines = [by_name, by_name, embedded(by_name), embedded(by_name)]
        started = threading.Barrier(len(engines))
        failed = []

        def write(engine: Catalog) -> None:
            try:
                started.wait()
                engine.save(engine.catalog(folder))
            except Exception as error:
                failed.append(error)

        writers = [threading.Thread(target=write, args=(engine,)) for engine in engines]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert not failed
        paths = rows(by_name)["path"].to_pylist()
        assert len(paths) == len(set(paths)) == 3


class TestColumns:
    """A table's, and those of rows."""

    def test_a_table_gets_our_columns_and_keeps_its_own(
        self, by_name: Catalog, spark: SparkSession, name: str, folder: Path
    ) -> None:
        spark.sql(f"CREATE SCHEMA IF NOT EXISTS {LAKE}.pixels_solacc").collect()
        columns = "path STRING, modificationTime TIMESTAMP, length BIGINT, reader STRING, notes MAP<STRING, STRING>"
        spark.sql(f"CREATE TABLE {name} ({columns}) USING delta").collect()
        spark.sql(f"INSERT INTO {name} VALUES ('/elsewhere', NULL, 1, 'me', map('a', 'b'))").collect()
        run_lines(by_name, folder)
        assert set(TABLE_SCHEMA.names) | {"reader", "notes"} == set(spark.table(name).columns)
        saved = {row.path: (row.reader, row.notes, row.Modality) for row in by_name.load().collect()}
        assert saved.pop("/elsewhere") == ("me", {"a": "b"}, None)
        assert sorted(saved.values(), key=str) == [(None, None, "CT"), (None, None, "MR"), (None, None, None)]

    def test_rows_that_do_not_say_which_object_they_are_of(self, by_name: Catalog, folder: Path) -> None:
        df = by_name.catalog(folder)
        for pathless in (df.drop("path"), df.selectExpr("nullif(extension, 'txt') AS path", "length")):
            with pytest.raises(ArgumentError, match="path: is absent"):
                by_name.save(pathless)
        assert rows(by_name).num_rows == 0

    def test_columns_of_the_rows_are_added(self, by_name: Catalog, folder: Path) -> None:
        df = by_name.catalog(folder)
        by_name.save(df)
        by_name.save(df.selectExpr("*", "upper(extension) AS shout"))
        assert rows(by_name)["shout"].to_pylist() == ["DCM", "DCM", "TXT"]
        with pytest.raises(TableError, match="column shout is int64, not string"):
            by_name.save(df.selectExpr("*", "1L AS shout"))


class TestTransactions:
    """Of streams, whose batches Spark may give again."""

    def test_a_batch_that_comes_again_is_saved_once(self, by_name: Catalog, folder: Path) -> None:
        table = by_name.create_table()
        batch = DicomMetaExtractor(by_name).transform(by_name.catalog(folder))
        tally = Tally()
        save_batch(batch, table, tally, StreamTransaction("stream", 1))
        assert (tally.indexed, tally.other) == (2, 1)
        done = versions(by_name)
        save_batch(batch, table, tally, StreamTransaction("stream", 1))
        assert (rows(by_name).num_rows, versions(by_name)) == (3, done)

    def test_what_a_stream_has_planned_or_the_table_knows_is_not_planned_again(
        self, by_name: Catalog, spark: SparkSession, name: str, folder: Path, tmp_path: Path
    ) -> None:
        by_name.save(by_name.catalog(folder / "notes.txt"))
        selection = by_name.selection(folder, pattern=None, recurse=True, archives="skip", extract_to=None)
        stream = Stream(selection, by_name.home, tmp_path / "checkpoint", 1, None)
        checkpoint = stream.checkpoint(name)
        for _ in range(2):
            plan(stream, checkpoint, NamedTable(spark, TableName.parse(name)))
            assert [checkpoint.objects(number).num_rows for number in checkpoint.unsaved()] == [1, 1]

    def test_a_transaction_that_delta_skipped_is_not_taken_for_done(
        self, by_name: Catalog, spark: SparkSession, name: str, folder: Path
    ) -> None:
        by_name.create_table()
        table = NamedTable(Skipping(spark), TableName.parse(name))
        df = by_name.catalog(folder)
        table.save(df.where("extension = 'txt'"), transaction=StreamTransaction("stream", 1))
        table.save(df.where("extension = 'txt'"), transaction=StreamTransaction("stream", 1))
        with pytest.raises(TableError, match=r"holds batch 1 of stream, but not its rows.*another folder"):
            table.save(df, transaction=StreamTransaction("stream", 1))
        table.save(df, transaction=StreamTransaction("stream", 2))
        assert rows(by_name).num_rows == 3

    def test_user_metadata_of_the_session_goes_with_each_commit(
        self, by_name: Catalog, spark: SparkSession, name: str, folder: Path
    ) -> None:
        by_name.create_table()
        session = Skipping(spark)
        table = NamedTable(session, TableName.parse(name))
        with setting(spark, USER_METADATA, "nightly run"):
            table.save(by_name.catalog(folder), transaction=StreamTransaction("stream", 1))
            table.remove(rows(by_name).slice(0, 1))
        assert session.user_metadata == ["nightly run", "nightly run"]

    def test_a_transaction_of_the_sessions_own_is_told(
        self, by_name: Catalog, spark: SparkSession, name: str, folder: Path
    ) -> None:
        by_name.create_table()
        table = NamedTable(Skipping(spark), TableName.parse(name))
        with setting(spark, "spark.databricks.delta.write.txnAppId", "mine"):
            table.save(by_name.catalog(folder, pattern="*.txt"))
            with pytest.raises(TableError, match=r"Delta skipped it.*Unset spark\.databricks\.delta\.write\.txnAppId"):
                table.save(by_name.catalog(folder))


@contextmanager
def setting(spark: SparkSession, name: str, value: str) -> Iterator[None]:
    """Give a session a setting for a while."""
    spark.conf.set(name, value)
    try:
        yield
    finally:
        spark.conf.unset(name)


class Skipping:
    """A session that, as delta-spark does and Sail does not, skips a transaction that was there before.

    It notes the `userMetadata` of each commit, too, which delta-spark writes into the log, and Sail leaves out.
    """

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark
        self._done: dict[str, int] = {}
        self.user_metadata: list[str | None] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._spark, name)

    def sql(self, query: str) -> Any:
        if "MERGE INTO" in query:
            application = self._spark.conf.get("spark.databricks.delta.write.txnAppId", None)
            version = int(self._spark.conf.get("spark.databricks.delta.write.txnVersion", None) or 0)
            if application and self._done.get(application, -1) >= version:
                return self._spark.sql("SELECT 1 WHERE false")
            self._done[application] = version
            self.user_metadata.append(self._spark.conf.get(USER_METADATA, None))
        return self._spark.sql(query)


class TestRefused:
    """By name, with the remedy."""

    def test_features_that_the_embedded_engine_lacks(
        self, by_name: Catalog, spark: SparkSession, name: str, folder: Path
    ) -> None:
        spark.sql(f"CREATE SCHEMA IF NOT EXISTS {LAKE}.pixels_solacc").collect()
        spark.sql(
            f"CREATE TABLE {name} (path STRING, modificationTime TIMESTAMP, length BIGINT) USING delta"
            " TBLPROPERTIES ('delta.columnMapping.mode' = 'name')"
        ).collect()
        run_lines(by_name, folder)
        assert by_name.load().where("Modality = 'CT'").count() == 1
        with pytest.raises(TableError, match=r"cannot be read here: columnMapping.*DROP FEATURE"):
            embedded(by_name).load()

    def test_features_that_spark_lacks(
        self, by_name: Catalog, spark: SparkSession, name: str, catalog: Catalog, folder: Path
    ) -> None:
        run_lines(catalog, folder)  # with a change feed, which Sail does not write
        spark.sql(f"CREATE SCHEMA IF NOT EXISTS {LAKE}.pixels_solacc").collect()
        spark.sql(f"CREATE TABLE {name} USING delta LOCATION '{catalog.location()}'").collect()
        assert by_name.load().where("Modality = 'CT'").count() == 1
        shutil.copy(TEST_FILES / "rtdose.dcm", folder)
        with pytest.raises(TableError, match=r"cannot read or write: ChangeDataFeed.*DROP FEATURE"):
            run_lines(by_name, folder)

    def test_what_is_no_table_of_objects(self, spark: SparkSession, home: Path) -> None:
        for source, columns, problem in (
            ("parquet", "path STRING", "is no Delta table, but of parquet"),
            ("delta", "path STRING", "has no column modificationTime"),
            ("delta", "path STRING, modificationTime TIMESTAMP, length STRING", "column length is string, not int64"),
        ):
            name = f"{LAKE}.default.other_{uuid.uuid4().hex}"
            spark.sql(f"CREATE TABLE {name} ({columns}) USING {source}").collect()
            with pytest.raises(TableError, match=problem):
                Catalog(spark, name, home=str(home)).load()
