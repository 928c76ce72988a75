"""Metadata of rows, read beside DuckDB: it copies large values several times, Parquet's own reader once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dbx.pixels.table.folder import TableFolder

#: Rows that are decoded at once.
_DECODED_ROWS = 512


def with_metadata(rows: Iterable[pa.RecordBatch], folder: TableFolder) -> Iterator[pa.Table]:
    """Add the column `meta` to rows, some at a time.

    Parameters
    ----------
    rows : iterable of pyarrow.RecordBatch
        With the columns `filename` and `file_row_number`, which say where a row is. What comes in that order is read
        once.
    folder : TableFolder
        Of their table.

    Yields
    ------
    pyarrow.Table
        The rows in the same order. Where there is no metadata, `meta` is ``{}``.
    """
    file = _MetadataFile(folder)
    for batch in rows:
        table = pa.Table.from_batches([batch])
        begin = 0
        for end in pc.run_end_encode(batch["filename"]).run_ends.to_pylist():
            numbers = batch["file_row_number"].slice(begin, end - begin).to_numpy()
            for metadata in file.read(batch["filename"][begin].as_py(), numbers):
                yield table.slice(begin, len(metadata)).append_column("meta", metadata)
                begin += len(metadata)


class _MetadataFile:
    """The file that was read last, and the rows decoded last."""

    def __init__(self, folder: TableFolder) -> None:
        self._folder = folder
        self._uri = ""

    def read(self, uri: str, numbers: NDArray[np.int64]) -> Iterator[pa.Array]:
        """Yield metadata of rows of one file, some at a time."""
        if uri != self._uri:
            self._open(uri)
        while len(numbers):
            self._decode(numbers[0])
            places = numbers - self._begin
            is_elsewhere = (places < 0) | (places >= len(self._metadata))
            count = int(is_elsewhere.argmax()) if is_elsewhere.any() else len(places)
            if np.array_equal(places[:count], np.arange(len(self._metadata))):
                yield self._metadata
            else:  # a copy: a part of what was decoded would keep all of it
                yield self._metadata.take(pa.array(places[:count]))
            numbers = numbers[count:]

    def _open(self, uri: str) -> None:
        self._file = pq.ParquetFile(self._folder.open(uri))
        self._uri = uri
        sizes = [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]
        self._row_groups = np.cumsum([0, *sizes])
        self._row_group = -1
        self._begin, self._metadata = 0, pa.array([], pa.large_string())

    def _decode(self, number: int) -> None:
        """Go to the rows around one."""
        row_group = int(np.searchsorted(self._row_groups, number, "right")) - 1
        if row_group != self._row_group or number < self._begin:
            self._batches = self._file.iter_batches(_DECODED_ROWS, row_groups=[row_group], columns=["meta"])
            self._row_group = row_group
            self._begin, self._metadata = int(self._row_groups[row_group]), self._metadata[:0]
        while number >= self._begin + len(self._metadata):
            self._begin += len(self._metadata)
            batch = next(self._batches, None)
            if batch is None:
                raise pa.ArrowInvalid(f"{self._uri} has fewer rows than it says")
            if batch.num_columns:
                self._metadata = pc.fill_null(batch["meta"].cast(pa.large_string()), "{}")
            else:  # the file is older than the column
                self._metadata = pa.repeat(pa.scalar("{}", pa.large_string()), batch.num_rows)
