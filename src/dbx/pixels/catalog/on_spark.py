"""A catalog's work on Spark: executors read objects and write the table's files, and one commit takes them in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa
from pyspark.ml import Transformer

from dbx.pixels.catalog.archives_on_spark import open_archives
from dbx.pixels.catalog.chunks import CHUNK_ROWS, Tally, chunks
from dbx.pixels.catalog.discovery import OpenArchives
from dbx.pixels.catalog.engines import Batches
from dbx.pixels.catalog.known import Known
from dbx.pixels.catalog.objects import LISTED_SCHEMA
from dbx.pixels.catalog.streaming import Stream
from dbx.pixels.engine.spark.check import check_executors
from dbx.pixels.engine.spark.each import call_each
from dbx.pixels.engine.spark.failures import telling
from dbx.pixels.engine.spark.frame import SparkFrame, spread
from dbx.pixels.engine.spark.types import spark_schema
from dbx.pixels.engine.transformer import BatchTransformer, is_spark
from dbx.pixels.errors import ArgumentError, EngineError
from dbx.pixels.storage.paths import is_remote
from dbx.pixels.table.objects import ObjectTable, StreamTransaction
from dbx.pixels.table.principal import EVERYTHING, Principal
from dbx.pixels.table.schema import TABLE_SCHEMA
from dbx.pixels.table.staging import Staged, commit_staged, reach, stage

# So that pipelines of Spark ML take our transformers for what they are.
Transformer.register(BatchTransformer)

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
            tally = Tally()
            tally.add(chunk)
            report = {
                "tally": asdict(tally),
                "staged": stage(chunk, self.location, self.version).to_json(),
                "paths": chunk["path"].to_pylist() if self.with_paths else [],
            }
            yield pa.RecordBatch.from_pydict({"report": [json.dumps(report)]}, schema=_REPORTS)


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
        self._session = session
        self._stream: tuple[Stream, str] | None = None
        self._tasks = 1
        self._checked: set[str] = set()

    def check(self, table: ObjectTable) -> None:
        """Find out whether executors have what they need, and reach the table; once for each table."""
        if table.log.table_id not in self._checked:
            self._tasks = check_executors(self._session, partial(reach, table.location, table.log.table_id))
            self._checked.add(table.log.table_id)

    def objects(self, make_batches: Batches) -> Any:
        """Make a DataFrame of objects, which are listed now and here."""
        return spread(self._session, pa.Table.from_batches(make_batches(), LISTED_SCHEMA))

    def save(self, df: Any, table: ObjectTable, tally: Tally, met: Known) -> None:
        """Save a DataFrame in one commit."""
        if not is_spark(df):
            raise ArgumentError(
                "df", f"{type(df).__name__} is no DataFrame of Spark", "Make one of it: spark.createDataFrame(df)."
            )
        self.check(table)
        _save(df, table, tally, met)

    def stream(self, stream: Stream, location: str) -> Any:
        """Make a streaming DataFrame."""
        try:
            from dbx.pixels.catalog.stream_on_spark import stream_frame
        except ImportError as error:
            raise EngineError("streaming", "needs Spark 4.2 or later", "Use a newer one, or leave it out.") from error
        self._stream = stream, location
        return stream_frame(self._session, stream, location)

    def run_stream(self, df: Any, table: ObjectTable) -> Tally:
        """Let Structured Streaming save batch after batch."""
        from dbx.pixels.catalog.stream_on_spark import run_stream

        if self._stream is None or self._stream[1] != table.location:
            raise ArgumentError(
                "table",
                "is not the one of the catalog that the stream is from",
                "Name it there: Catalog(spark, table).",
            )
        self.check(table)
        return run_stream(df, self._stream[0], table, save_batch)

    @property
    def open_archives(self) -> OpenArchives:
        """Executors open archives, and extract them."""
        return partial(open_archives, self._session)

    def load(self, location: str, principal: Principal) -> Any:
        """Make a DataFrame of the table as it is now."""
        if principal is not EVERYTHING:
            raise EngineError("Spark", "reads tables without row filters", "Use sql(), or a catalog without a session.")
        table = ObjectTable.find(location)
        files = table.files() if table else []
        schema = spark_schema(table.schema if table else TABLE_SCHEMA)
        if not files:
            return self._session.createDataFrame([], schema)
        return self._session.read.schema(schema).parquet(*map(_hadoop_path, files))

    def work(
        self,
        make_batches: Batches,
        schema: pa.Schema,
        transform: Callable[[Any], Any],
        table: ObjectTable,
        tally: Tally,
        on_done: Callable[[int], None],
    ) -> None:
        """Save in one commit each what keeps all executors busy for a while."""
        for objects in _groups(make_batches(), schema, self._tasks * CHUNK_ROWS):
            # Each task leaves a file and costs some time, so there are no more than what evens out their ends.
            df = spread(self._session, objects, tasks=_TASKS_IN_TURN * self._tasks)
            _save(transform(df), table, tally, Known.nothing())
            on_done(objects.num_rows)

    def each(
        self, function: Callable[[_Item], _Outcome], items: Iterable[_Item], reach: Callable[[], None]
    ) -> Iterator[tuple[_Item, _Outcome | EngineError]]:
        """Call it on executors; what is done first comes first."""
        tasks = check_executors(self._session, reach)
        return call_each(self._session, function, items, at_once=_TASKS_IN_TURN * tasks)


def save_batch(df: Any, table: ObjectTable, tally: Tally, transaction: StreamTransaction) -> None:
    """Save a batch of a stream; on whatever machine Spark calls this."""
    _save(df, table, tally, Known.nothing(), transaction)


def _save(df: Any, table: ObjectTable, tally: Tally, met: Known, transaction: StreamTransaction | None = None) -> None:
    frame = SparkFrame.of(df)
    version = table.add_columns(frame.schema)
    with telling():
        staging = _Stage(frame.schema, table.location, version, met.knows_any)
        reports = [json.loads(row.report) for row in frame.map_task(staging, _REPORTS).collect()]
    staged = [Staged.from_json(report["staged"]) for report in reports]
    commit_staged(table, staged, version, transaction=transaction)
    for report in reports:
        tally.add_tally(Tally(**report["tally"]))
        met.meet(report["paths"])


def _groups(batches: Any, schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
    gathered: list[pa.RecordBatch] = []
    for batch in batches:
        gathered.append(batch)
        if sum(batch.num_rows for batch in gathered) >= rows:
            yield pa.Table.from_batches(gathered, schema)
            gathered = []
    if gathered:
        yield pa.Table.from_batches(gathered, schema)


def _hadoop_path(address: str) -> str:
    """Spell an address as Hadoop's file systems do, without what they would take for a pattern."""
    if is_remote(address):
        return address.replace("s3://", "s3a://", 1)
    return "file://" + "".join(f"\\{letter}" if letter in "\\{}[]*?^" else letter for letter in address)
