"""Gathering small batches into chunks that are worth a commit, and counting what is in them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.compute as pc

from dbx.pixels.dicom.schema import DICOM_TYPE
from dbx.pixels.table.schema import TABLE_SCHEMA

#: A chunk is committed when it has this many rows or bytes: enough for few files, few enough to keep memory flat. Or
#: after this time, where rows come slowly: no more work than that is lost when the process ends.
CHUNK_ROWS = 16_384
CHUNK_BYTES = 40 << 20
CHUNK_SECONDS = 15


def chunks(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Gather batches into tables of about `CHUNK_ROWS` rows, `CHUNK_BYTES` bytes or `CHUNK_SECONDS` of time."""
    gathered: list[pa.RecordBatch] = []
    rows = size = 0
    begin = time.monotonic()
    for batch in batches:
        gathered.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows >= CHUNK_ROWS or size >= CHUNK_BYTES or (rows and time.monotonic() - begin >= CHUNK_SECONDS):
            yield pa.Table.from_batches(gathered, schema)
            gathered, rows, size = [], 0, 0
            begin = time.monotonic()
    if rows:
        yield pa.Table.from_batches(gathered, schema)


@dataclass
class Tally:
    """What rows held that were handed to the table.

    Attributes
    ----------
    indexed : int
        Rows with DICOM metadata.
    other : int
        Objects that are no DICOM.
    failed : int
        Rows with an `error`.
    issues : int
        Entries that `pixels issues` shows for these rows: errors, and elements that something was wrong with.
    """

    indexed: int = 0
    other: int = 0
    failed: int = 0
    issues: int = 0

    def add(self, chunk: pa.Table) -> None:
        """Count the rows of a chunk; it need not have all columns."""
        failed = pc.is_valid(_column(chunk, "error"))
        indexed = pc.is_valid(_column(chunk, "meta"))
        is_other = pc.fill_null(pc.not_equal(_column(chunk, "file_type"), DICOM_TYPE), False)
        self.indexed += _count(indexed)
        self.failed += _count(failed)
        self.other += _count(pc.and_not(is_other, failed))
        self.issues += _count(failed) + (pc.sum(pc.list_value_length(_column(chunk, "issues"))).as_py() or 0)

    def add_tally(self, other: Tally) -> None:
        """Count what another one has counted."""
        for name, count in asdict(other).items():
            setattr(self, name, getattr(self, name) + count)


def _column(chunk: pa.Table, name: str) -> pa.ChunkedArray | pa.Array:
    if name in chunk.column_names:
        return chunk[name]
    return pa.nulls(chunk.num_rows, TABLE_SCHEMA.field(name).type)


def _count(mask: pa.ChunkedArray | pa.Array) -> int:
    return pc.sum(mask).as_py() or 0
