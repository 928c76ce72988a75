"""Spark DataFrames as frames: functions over record batches run on executors, several of them in one go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import pyarrow as pa

from dbx.pixels.engine.frame import BATCH_ROWS, BatchFunction, Operation
from dbx.pixels.engine.spark.types import arrow_schema, spark_schema

#: Objects that one task reads, at most and at least: some seconds of work, and enough to be worth a task.
TASK_ROWS = 8192
LEAST_TASK_ROWS = BATCH_ROWS
#: Into so many tasks objects are cut where nobody knows how many the cluster runs at once.
TASKS = 16


@dataclass(frozen=True)
class _Task:
    """What happens on an executor to the batches of one task; pickled, so that executors need this package.

    Attributes
    ----------
    received, returned : pyarrow.Schema
        Of what Spark gives and takes.
    operations : tuple of callable
        In between, in order.
    """

    received: pa.Schema
    operations: tuple[Operation, ...]
    returned: pa.Schema

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        batches = (
            _cast(batch.slice(start, BATCH_ROWS), self.received)
            for batch in batches
            for start in range(0, batch.num_rows, BATCH_ROWS)
        )
        for operation in self.operations:
            batches = operation(batches)
        return (_cast(batch, self.returned) for batch in batches)


@dataclass(frozen=True)
class _Mapped:
    """The operation that applies a function to each batch."""

    function: BatchFunction

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return map(self.function, batches)


class SparkFrame:
    """A Spark DataFrame, classic or of Spark Connect, that functions over record batches are mapped over.

    Spark would hand all rows from one Python process to the next between two mappings. So a DataFrame that was made
    here is remembered with what it was made of: what is mapped over it next runs in the same process.

    Parameters
    ----------
    source : pyspark.sql.DataFrame
        Where the rows come from.
    received : pyarrow.Schema
        Its columns.
    operations : tuple of callable
        What happens to them, in order.
    schema : pyarrow.Schema
        Columns after that.
    """

    def __init__(self, source: Any, received: pa.Schema, operations: tuple[Operation, ...], schema: pa.Schema) -> None:
        self._source = source
        self._received = received
        self._operations = operations
        self.schema = schema

    @classmethod
    def of(cls, df: Any) -> SparkFrame:
        """Make a frame of a DataFrame."""
        made = _made.get(df)
        if made is None or df.is_cached:
            schema = arrow_schema(df.schema)
            made = cls(df, schema, (), schema)
        return made

    def map_batches(self, function: BatchFunction, schema: pa.Schema) -> Any:
        """Return the DataFrame of what `function` makes of every batch."""
        return self.map_task(_Mapped(function), schema)

    def map_task(self, operation: Operation, schema: pa.Schema) -> Any:
        """Return the DataFrame of what `operation` makes of all the batches of each task."""
        made = SparkFrame(self._source, self._received, (*self._operations, operation), schema)
        df = self._source.mapInArrow(_Task(self._received, made._operations, schema), spark_schema(schema))
        _made[df] = made
        return df


_made: WeakKeyDictionary[Any, SparkFrame] = WeakKeyDictionary()


def spread(session: Any, rows: pa.Table, *, tasks: int = TASKS, least_rows: int = LEAST_TASK_ROWS) -> Any:
    """Make a DataFrame of rows in memory, in tasks of neighbours that take about the same time.

    Parameters
    ----------
    session : pyspark.sql.SparkSession
        Classic or of Spark Connect.
    rows : pyarrow.Table
        What is known of objects before their bytes are read.
    tasks : int
        Into how many tasks the rows are cut, if that leaves each a size that is worth it and takes seconds.
    least_rows : int
        What is worth a task.

    Returns
    -------
    pyspark.sql.DataFrame
        With the same columns.
    """
    parts = list(parts_of(rows, tasks, least_rows))
    df = session.createDataFrame(parts, spark_schema(PARTS))
    if len(parts) > 1:
        df = df.repartitionByRange(len(parts), "start")
    return unpacked_parts(df, rows.schema)


#: Rows that travel from the driver to one task, packed, with the number of the first of them.
PARTS = pa.schema([pa.field("start", pa.int64()), pa.field("rows", pa.binary())])


def parts_of(rows: pa.Table, tasks: int = TASKS, least_rows: int = LEAST_TASK_ROWS) -> Iterator[tuple[int, bytes]]:
    """Cut rows into what a task each gets: rows of `PARTS`."""
    size = min(TASK_ROWS, max(least_rows, -(-rows.num_rows // tasks)))
    for start in range(0, rows.num_rows, size):
        yield start, packed(rows.slice(start, size))


def unpacked_parts(df: Any, schema: pa.Schema) -> Any:
    """Make the DataFrame of the rows that are packed in one of `PARTS`."""
    return SparkFrame(df, PARTS, (), PARTS).map_task(_unpacked, schema)


#: Rows that travel from a task to the driver, packed.
_RETURNED = pa.schema([pa.field("rows", pa.binary())])


def received(df: Any, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Compute a DataFrame, and give its rows to the driver in these columns."""
    for row in SparkFrame(df, schema, (), schema).map_task(_pack, _RETURNED).collect():
        yield from unpacked(pa.py_buffer(row.rows))


def _pack(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield pa.RecordBatch.from_pydict({"rows": [packed(pa.Table.from_batches([batch]))]}, schema=_RETURNED)


def packed(rows: pa.Table) -> bytes:
    """Write rows as compressed bytes, to be sent from the driver to executors or back."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(rows, BATCH_ROWS)
    return sink.getvalue().to_pybytes()


def unpacked(rows: Any) -> pa.RecordBatchReader:
    """Read what `packed` wrote."""
    return pa.ipc.open_stream(rows)


def _unpacked(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for part in batch["rows"]:
            yield from unpacked(part.as_buffer())


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Give a batch exactly this schema: Spark's times have the zone of its session, and its fields may be required."""
    if batch.schema.equals(schema, check_metadata=True):
        return batch
    columns = [batch.column(field.name).cast(field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
