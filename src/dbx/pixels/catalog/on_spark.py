"""A catalog's work on Spark: executors read objects and write the table's files, and one commit takes them in."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import asdict, dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import functions

from dbx.pixels.catalog.archives_on_spark import open_archives
from dbx.pixels.catalog.chunks import CHUNK_ROWS, Tally, chunks
from dbx.pixels.catalog.cloud_files import cloud_files_frame
from dbx.pixels.catalog.discovery import OpenArchives
from dbx.pixels.catalog.engines import Address, Batches, Table
from dbx.pixels.catalog.known import Known
from dbx.pixels.catalog.objects import LISTED_SCHEMA
from dbx.pixels.catalog.run_stream_on_spark import run_stream
from dbx.pixels.catalog.streaming import Stream
from dbx.pixels.engine.frame import Operation
from dbx.pixels.engine.spark.check import check_executors, tasks_at_once
from dbx.pixels.engine.spark.each import call_each
from dbx.pixels.engine.spark.failures import telling
from dbx.pixels.engine.spark.frame import TASKS, SparkFrame, spread
from dbx.pixels.engine.spark.hadoop import hadoop_path
from dbx.pixels.engine.spark.session import has_catalog, require_running
from dbx.pixels.engine.spark.types import spark_schema
from dbx.pixels.engine.transformer import BatchTransformer, is_spark
from dbx.pixels.errors import ArgumentError, EngineError
from dbx.pixels.table.named import NamedTable
from dbx.pixels.table.names import TableName, is_path, table_location
from dbx.pixels.table.objects import ObjectTable, StreamTransaction
from dbx.pixels.table.parquet import require_paths
from dbx.pixels.table.principal import EVERYTHING, Principal
from dbx.pixels.table.schema import TABLE_SCHEMA
from dbx.pixels.table.staging import Staged, commit_staged, reach, stage

#: Tasks that follow each other on each core.
_TASKS_IN_TURN = 3

_REPORTS = pa.schema([pa.field("report", pa.string())])

_Item = TypeVar("_Item")
_Outcome = TypeVar("_Outcome")


@dataclass(frozen=True)
class _Stage:
    """What executors do with the rows that are to be saved: the operation from rows to reports."""

    schema: pa.Schema
    location: str
    version: int
    with_paths: bool

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for chunk in chunks(batches, self.schema):
            yield _report(chunk, self.with_paths, staged=stage(chunk, self.location, self.version).to_json())


@dataclass(frozen=True)
class _Count:
    """What executors do with the rows that Spark saves: likewise."""

    schema: pa.Schema
    with_paths: bool

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for chunk in chunks(batches, self.schema):
            yield _report(chunk, self.with_paths)


def _report(chunk: pa.Table, with_paths: bool, **more: Any) -> pa.RecordBatch:
    tally = Tally()
    tally.add(chunk)
    paths = chunk["path"].to_pylist() if with_paths else []
    report = {"tally": asdict(tally), "paths": paths, **more}
    return pa.RecordBatch.from_pydict({"report": [json.dumps(report)]}, schema=_REPORTS)


class SparkEngine:
    """A cluster.

    Executors run what is mapped over DataFrames, compare the rows with the table and write its files; what they send
    back is a short report of each chunk.

    Parameters
    ----------
    session : pyspark.sql.SparkSession
        Classic or of Spark Connect.
    """

    def __init__(self, session: Any) -> None:
        # Imported here because executors, which import this module, need no Spark ML: it takes them a second.
        from pyspark.ml import Transformer

        Transformer.register(BatchTransformer)  # so that pipelines take our transformers for what they are
        self._given = session
        self._streams: dict[str, tuple[Stream, Address]] = {}
        self._tasks = 1
        self._checked: set[str] = set()
        self._has_catalog: dict[str, bool] = {}

    @property
    def _session(self) -> Any:
        return require_running(self._given)

    def address(self, table: str, tables_folder: Path) -> Address:
        """Tell how to reach a table: a name in a catalog of the session is the session's, and known to it alone."""
        if not is_path(table):
            name = TableName.parse(table)
            if name.catalog not in self._has_catalog:
                self._has_catalog[name.catalog] = has_catalog(self._session, name.catalog)
            if self._has_catalog[name.catalog]:
                return name
        return table_location(table, tables_folder)

    def find_table(self, address: Address) -> Table | None:
        """Open a table, or return None if there is none."""
        return ObjectTable.find(address) if isinstance(address, str) else NamedTable.find(self._session, address)

    def create_table(self, address: Address) -> Table:
        """Open a table, made before if it was not there."""
        if isinstance(address, str):
            return ObjectTable.create_if_missing(address)
        return NamedTable.create_if_missing(self._session, address)

    def check(self, table: Table) -> None:
        """Find out whether executors have what they need, and reach the table; once for each table."""
        if isinstance(table, ObjectTable):
            identity = table.log.table_id
            self._check(identity, partial(reach, table.location, identity))
        else:
            self._check("", _reach_nothing)  # only Spark itself goes there

    def _check(self, what: str, reaching: Callable[[], None]) -> None:
        session = self._session
        if what not in self._checked:
            self._tasks = check_executors(session, reaching)
            self._checked.add(what)

    def objects(self, make_batches: Batches) -> Any:
        """Make a DataFrame of objects, which are listed now and here, once it is known that executors can take them."""
        self._check("", _reach_nothing)
        return spread(self._session, pa.Table.from_batches(make_batches(), LISTED_SCHEMA))

    def save(self, df: Any, table: Table, tally: Tally, met: Known) -> None:
        """Save a DataFrame in one commit."""
        if not is_spark(df):
            raise ArgumentError(
                "df", f"{type(df).__name__} is no DataFrame of Spark", "Make one of it: spark.createDataFrame(df)."
            )
        self.check(table)
        _save(df, table, tally, met)

    def stream(self, stream: Stream, address: Address) -> Any:
        """Make a streaming DataFrame."""
        alias = f"pixels_{uuid.uuid4().hex}"
        if stream.cloud_files:
            df = cloud_files_frame(self._session, stream, alias)
        else:
            try:
                from dbx.pixels.catalog.stream_on_spark import stream_frame
            except ImportError as error:
                raise EngineError(
                    "streaming", "needs Spark 4.2 or later", "Use a newer one, or, on Databricks, cloudFiles=True."
                ) from error
            df = stream_frame(self._session, stream, address, alias)
        self._streams[alias] = stream, address
        return df

    def run_stream(self, df: Any, table: Table) -> Tally:
        """Let Structured Streaming save batch after batch."""
        require_running(self._given)
        plan = _plan(df)
        made = [(stream, address) for alias, (stream, address) in self._streams.items() if alias in plan]
        if len(made) != 1 or made[0][1] != table.address:
            raise ArgumentError(
                "df",
                "is not of one stream that this catalog made for this table",
                "Make it with the catalog that saves it, and name the table there: Catalog(spark, table).",
            )
        self.check(table)
        return run_stream(df, made[0][0], table, save_batch, self.open_archives)

    @property
    def open_archives(self) -> OpenArchives:
        """Executors open archives, and extract them."""
        return partial(open_archives, self._session, lambda: max(TASKS, _TASKS_IN_TURN * self._tasks))

    def load(self, address: Address, principal: Principal) -> Any:
        """Make a DataFrame of the table as it is now."""
        if principal is not EVERYTHING:
            raise EngineError("Spark", "reads tables without row filters", "Use sql(), or a catalog without a session.")
        table = self.find_table(address)
        if isinstance(table, NamedTable):
            return table.rows()
        files = table.files() if table else []
        schema = spark_schema(table.schema if table else TABLE_SCHEMA)
        if not files:
            return self._session.createDataFrame([], schema)
        with telling():
            df = self._session.read.schema(schema).parquet(*map(hadoop_path, files))
            _ = df.schema  # with Spark Connect, files are looked at only when they are needed
        return df

    def work(
        self,
        make_batches: Batches,
        schema: pa.Schema,
        transform: Callable[[Any], Any],
        table: Table,
        tally: Tally,
        on_done: Callable[[int], None],
    ) -> None:
        """Save in one commit each what keeps all executors busy for a while."""
        for objects in _groups(make_batches(), schema, self._rows_at_once):
            # Each task leaves a file and costs some time, so there are no more than what evens out their ends.
            df = spread(self._session, objects, tasks=_TASKS_IN_TURN * self._tasks)
            _save(transform(df), table, tally, Known.nothing())
            on_done(objects.num_rows)

    def _rows_at_once(self) -> int:
        self._tasks = tasks_at_once(self._session)
        return self._tasks * CHUNK_ROWS

    def each(
        self, function: Callable[[_Item], _Outcome], items: Iterable[_Item], reach: Callable[[], None]
    ) -> Iterator[tuple[_Item, _Outcome | EngineError]]:
        """Call it on executors; what is done first comes first."""
        tasks = check_executors(self._session, reach)
        return call_each(self._session, function, items, at_once=_TASKS_IN_TURN * tasks)


def _reach_nothing() -> None:
    pass


def _plan(df: Any) -> str:
    """Return how Spark describes what a DataFrame is made of, aliases included."""
    with redirect_stdout(StringIO()) as told:
        df.explain(extended=True)
    return told.getvalue()


def save_batch(df: Any, table: Table, tally: Tally, transaction: StreamTransaction) -> None:
    """Save a batch of a stream; on whatever machine Spark calls this."""
    _save(df, table, tally, Known.nothing(), transaction)


def _save(df: Any, table: Table, tally: Tally, met: Known, transaction: StreamTransaction | None = None) -> None:
    require_paths(SparkFrame.of(df).schema.empty_table())
    if isinstance(table, ObjectTable):
        reports = _save_staged(df, table, met, transaction)
    else:
        reports = _save_named(df, table, met, transaction)
    for report in reports:
        tally.add_tally(Tally(**report["tally"]))
        met.meet(report["paths"])


def _save_staged(df: Any, table: ObjectTable, met: Known, transaction: StreamTransaction | None) -> list[dict]:
    """Let executors write files, and commit them."""
    frame = SparkFrame.of(df)
    version = table.add_columns(frame.schema)
    reports = _reported(frame, _Stage(frame.schema, table.location, version, met.knows_any))
    commit_staged(table, [Staged.from_json(report["staged"]) for report in reports], version, transaction=transaction)
    return reports


def _save_named(df: Any, table: NamedTable, met: Known, transaction: StreamTransaction | None) -> list[dict]:
    """Let Spark save rows."""
    counted = [functions.col(name) for name in ("path", "file_type", "error", "issues") if name in df.columns]
    if "meta" in df.columns:  # it is large, and all that counts is whether it is there
        counted.append(functions.when(functions.col("meta").isNotNull(), "").alias("meta"))
    with _kept(df):
        frame = SparkFrame.of(df.select(*counted))
        reports = _reported(frame, _Count(frame.schema, met.knows_any))
        table.save(df, transaction=transaction)
    return reports


@contextmanager
def _kept(df: Any) -> Iterator[None]:
    """Let Spark keep rows that are read several times."""
    is_ours = not df.is_cached
    if is_ours:
        with suppress(PySparkException):  # Databricks' serverless compute keeps nothing, and computes them anew
            df.persist()
    try:
        yield
    finally:
        if is_ours:
            with suppress(PySparkException):
                df.unpersist()


def _reported(frame: SparkFrame, operation: Operation) -> list[dict]:
    with telling():
        return [json.loads(row.report) for row in frame.map_task(operation, _REPORTS).collect()]


def _groups(batches: Any, schema: pa.Schema, rows: Callable[[], int]) -> Iterator[pa.Table]:
    gathered: list[pa.RecordBatch] = []
    wanted = 0
    for batch in batches:
        wanted = wanted if gathered else rows()
        gathered.append(batch)
        if sum(batch.num_rows for batch in gathered) >= wanted:
            yield pa.Table.from_batches(gathered, schema)
            gathered = []
    if gathered:
        yield pa.Table.from_batches(gathered, schema)
