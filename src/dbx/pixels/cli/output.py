"""Writing frames to standard output."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import click
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from dbx.pixels.engine.frame import Frame
from dbx.pixels.errors import ArgumentError

#: Rows that the format for people shows at most.
SHOWN_ROWS = 1000
SHOWN_CHARACTERS = 200


def counted(number: int, one: str, many: str) -> str:
    """Write a number with the word for one or for many."""
    return f"{number:,} {one if number == 1 else many}"


def write(frame: Frame, form: str) -> None:
    """Write all rows of a frame to standard output in one of `FORMATS`."""
    FORMATS[form](frame)


def _write_table(frame: Frame) -> None:
    shown = frame.limit(SHOWN_ROWS + 1).to_arrow()
    Frame.from_arrow(shown.slice(0, SHOWN_ROWS)).show(SHOWN_ROWS, SHOWN_CHARACTERS)
    if shown.num_rows > SHOWN_ROWS:
        click.echo(f"The first {SHOWN_ROWS:,} rows; --format csv, json or parquet writes all.", err=True)


def _write_json(frame: Frame) -> None:
    separator = "["
    for batch in frame.batches():
        for row in batch.to_pylist():
            sys.stdout.write(f"{separator}{json.dumps(row, default=_to_json, ensure_ascii=False)}")
            separator = ",\n "
    sys.stdout.write("[]\n" if separator == "[" else "]\n")


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
    schema = pa.schema([pa.field(field.name, _csv_type(field.type)) for field in frame.schema])
    with pyarrow.csv.CSVWriter(sys.stdout.buffer, schema) as writer:
        for batch in frame.batches():
            columns = [_csv_column(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))


def _csv_type(kind: pa.DataType) -> pa.DataType:
    """CSV holds plain values only: what is nested or binary is written as JSON text."""
    return pa.string() if pa.types.is_nested(kind) or pa.types.is_binary(kind) else kind


def _csv_column(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    values = (None if value is None else json.dumps(value, default=_to_json) for value in column.to_pylist())
    return pa.array(values, pa.string())


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
