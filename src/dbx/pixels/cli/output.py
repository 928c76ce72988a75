"""Writing frames to standard output."""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

import click
import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pyarrow.types as pt

from dbx.pixels.engine.frame import Frame
from dbx.pixels.errors import ArgumentError, QueryError
from dbx.pixels.table.duck import connect

#: Rows that the format for people shows at most.
SHOWN_ROWS = 1000
SHOWN_CHARACTERS = 200


def counted(number: int, one: str, many: str) -> str:
    """Write a number with the word for one or for many."""
    return f"{number:,} {one if number == 1 else many}"


def write(frame: Frame, form: str) -> None:
    """Write all rows of a frame to standard output in one of `FORMATS`.

    Raises
    ------
    QueryError
        If the format has no way to write them.
    """
    try:
        FORMATS[form](_writable(frame))
    except (pa.ArrowException, duckdb.Error) as error:
        problem = " ".join(str(error).split())
        raise QueryError(
            "query", f"its answer cannot be written as {form}: {problem}", "Cast it to VARCHAR."
        ) from error


def _writable(frame: Frame) -> Frame:
    """Make text of the columns whose types Arrow's writers do not know."""
    schema = pa.schema([(name, pa.string() if _is_strange(kind) else kind) for name, kind in _columns(frame.schema)])
    if schema.equals(frame.schema):
        return frame

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in frame.batches():
            columns = [_text(column) if _is_strange(column.type) else column for column in batch.columns]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    return Frame(schema, batches)


def _columns(schema: pa.Schema) -> list[tuple[str, pa.DataType]]:
    return [(field.name, field.type) for field in schema]


def _is_strange(kind: pa.DataType) -> bool:
    if pt.is_interval(kind) or pt.is_union(kind) or isinstance(kind, pa.BaseExtensionType):
        return True
    return any(_is_strange(kind.field(at).type) for at in range(kind.num_fields))


def _text(column: pa.Array) -> pa.Array:
    """Write values as DuckDB casts them to text."""
    values = _database().from_arrow(pa.table({"value": column}))
    return values.project("value::VARCHAR AS value").to_arrow_table()["value"].combine_chunks().cast(pa.string())


@lru_cache(maxsize=1)
def _database() -> duckdb.DuckDBPyConnection:
    return connect()


def _values(column: pa.Array) -> list[Any]:
    """Return the values as Python's; times that Python's calendar or its clocks do not have are text."""
    try:
        return column.to_pylist()
    except (OverflowError, ValueError):
        return [_value(scalar, text) for scalar, text in zip(column, _text(column).to_pylist(), strict=True)]


def _value(scalar: pa.Scalar, text: str | None) -> Any:
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):
        return text


def _write_table(frame: Frame) -> None:
    shown = frame.limit(SHOWN_ROWS + 1).to_arrow()
    columns = [_showable(column) for column in shown.slice(0, SHOWN_ROWS).combine_chunks().columns]
    Frame.from_arrow(pa.Table.from_arrays(columns, shown.column_names)).show(SHOWN_ROWS, SHOWN_CHARACTERS)
    if shown.num_rows > SHOWN_ROWS:
        click.echo(f"The first {SHOWN_ROWS:,} rows; --format csv, json or parquet writes all.", err=True)


def _showable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        column.to_pylist()
    except (OverflowError, ValueError):
        return pa.array([None if value is None else str(value) for value in _values(column)], pa.string())
    return column


def _write_json(frame: Frame) -> None:
    separator = "["
    for batch in frame.batches():
        for values in zip(*map(_values, batch.columns), strict=True):
            sys.stdout.write(f"{separator}{_json(dict(zip(frame.columns, values, strict=True)))}")
            separator = ",\n "
    sys.stdout.write("[]\n" if separator == "[" else "]\n")


def _json(value: Any) -> str:
    """Write a value as JSON, which has no numbers that are not finite: they are null."""
    try:
        return json.dumps(value, default=_to_json, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), default=_to_json, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _to_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, UUID):
        return str(value)
    return str(value)


def _write_csv(frame: Frame) -> None:
    schema = pa.schema([(name, _csv_type(kind)) for name, kind in _columns(frame.schema)])
    with pyarrow.csv.CSVWriter(sys.stdout.buffer, schema) as writer:
        for batch in frame.batches():
            columns = [_csv_column(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))


def _csv_type(kind: pa.DataType) -> pa.DataType:
    """CSV holds plain values only: what is nested or binary is written as JSON text."""
    return pa.string() if pt.is_nested(kind) or pt.is_binary(kind) else kind


def _csv_column(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    return pa.array([None if value is None else _json(value) for value in _values(column)], pa.string())


def _write_parquet(frame: Frame) -> None:
    if sys.stdout.isatty():
        raise ArgumentError("--format parquet", "is not for a terminal", "Redirect it: pixels sql ... > answer.parquet")
    with pq.ParquetWriter(sys.stdout.buffer, frame.schema) as writer:
        for batch in frame.batches():
            writer.write_batch(batch)


FORMATS: dict[str, Callable[[Frame], None]] = {
    "table": _write_table,
    "json": _write_json,
    "csv": _write_csv,
    "parquet": _write_parquet,
}
