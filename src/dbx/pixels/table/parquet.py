"""Parquet files of a table: written sorted, with the statistics and Bloom filters by which readers skip."""

from __future__ import annotations

import contextlib
import io
import json
import re
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake.transaction import AddAction

from dbx.pixels.errors import ArgumentError
from dbx.pixels.table.folder import FILE_ERRORS

#: Columns with least and greatest values in the Delta log.
STATISTICS_COLUMNS = (
    "path",
    "original_path",
    "modificationTime",
    "length",
    "PatientID",
    "StudyInstanceUID",
    "StudyDate",
    "AccessionNumber",
    "SeriesInstanceUID",
    "Modality",
    "SOPInstanceUID",
)
SORT_KEYS = ("StudyInstanceUID", "SeriesInstanceUID", "InstanceNumber", "path")
#: Most rows of one file and of one row group; of rows with much metadata fewer, so that these bytes are not exceeded.
FILE_ROWS, FILE_BYTES = 65_536, 512 * 2**20
ROW_GROUP_ROWS, ROW_GROUP_BYTES = 4096, 128 * 2**20

#: Names of data files, as Pixels, Spark and delta-rs give them.
DATA_FILE = re.compile(r"part-[^/]+\.parquet")

_BLOOM_COLUMNS = ("PatientID", "SeriesInstanceUID", "SOPInstanceUID")
#: Values that hardly repeat: a dictionary would only cost time.
_UNIQUE_COLUMNS = {"path", "original_path", "relative_path", "local_path", "meta", "thumbnail", "SOPInstanceUID"}
#: Large values by which nobody skips; their statistics would cost half of the writing. They are sorted as Arrow's
#: views, which lie beside the values: those stay where they are.
_LARGE_COLUMNS = {"meta": pa.string_view(), "thumbnail": pa.binary_view()}
_VIEW_BYTES = 16

#: Characters of a string that go into the log.
_STATISTICS_CHARACTERS = 256
_GREATEST_CHARACTER = "\U0010ffff"


class DataFileWriter:
    """Writes one Parquet file of a table and describes it for the log.

    Parameters
    ----------
    files : pyarrow.fs.FileSystem
        Rooted at the table's folder.
    schema : pyarrow.Schema
        The table's.
    """

    def __init__(self, files: pafs.FileSystem, schema: pa.Schema) -> None:
        self.path = f"part-{uuid.uuid4()}.zstd.parquet"
        self.rows = 0
        self._files = files
        self._schema = _with_views(schema)
        self._statistics = {name: _Statistics() for name in STATISTICS_COLUMNS if name in schema.names}
        self._sink = files.open_output_stream(self.path)
        try:
            self._writer = pq.ParquetWriter(self._sink, self._schema, **_writer_options(schema))
        except BaseException:  # it writes the first bytes, for which there may be no space
            _close(self._sink)
            delete_files(files, [self.path])
            raise

    def write(self, rows: pa.Table) -> None:
        """Append rows, which are of the table's schema and sorted."""
        row_group_rows = min(ROW_GROUP_ROWS, rows_within(ROW_GROUP_BYTES, rows))
        self._writer.write_table(rows.cast(self._schema), row_group_size=row_group_rows)
        self.rows += rows.num_rows
        for name, statistics in self._statistics.items():
            statistics.add(rows[name])

    def finish(self, *, data_change: bool = True) -> AddAction:
        """Close the file and return what to commit."""
        self._writer.close()
        self._sink.close()
        size = self._files.get_file_info(self.path).size
        return AddAction(self.path, size, {}, int(time.time() * 1000), data_change, self._statistics_json())

    def abandon(self) -> None:
        """Delete what was written."""
        for part in (self._writer, self._sink):
            _close(part)
        delete_files(self._files, [self.path])

    def _statistics_json(self) -> str:
        known = {
            name: statistics
            for name, statistics in self._statistics.items()
            if statistics.is_bounded and statistics.least is not None
        }
        return json.dumps(
            {
                "numRecords": self.rows,
                "minValues": {name: _lower_bound(statistics.least) for name, statistics in known.items()},
                "maxValues": {name: _upper_bound(statistics.greatest) for name, statistics in known.items()},
                "nullCount": {name: statistics.nulls for name, statistics in self._statistics.items()},
            }
        )


def _close(part: Any) -> None:
    with contextlib.suppress(*FILE_ERRORS):  # closing flushes, and fails where writing failed
        part.close()


class _Statistics:
    """Nulls, least and greatest value of one column."""

    def __init__(self) -> None:
        self.nulls = 0
        self.least: Any = None
        self.greatest: Any = None
        self.is_bounded = True

    def add(self, column: pa.ChunkedArray) -> None:
        self.nulls += column.null_count
        try:
            bounds = pc.min_max(column).as_py()
        except (OverflowError, ValueError):
            self.is_bounded = False  # a date that Python's calendar does not have
            return
        if bounds["min"] is not None:
            self.least = bounds["min"] if self.least is None else min(self.least, bounds["min"])
            self.greatest = bounds["max"] if self.greatest is None else max(self.greatest, bounds["max"])


def in_order(rows: pa.Table) -> pa.Table:
    """Sort rows as a file's rows are sorted; large values become views of those given."""
    keys = [(name, "ascending") for name in SORT_KEYS if name in rows.column_names]
    places = pc.sort_indices(rows.select([name for name, _ in keys]), sort_keys=keys)
    large = [name for name in _LARGE_COLUMNS if name in rows.column_names]
    taken = rows.drop_columns(large).take(places)
    views = {name: _take_views(rows[name].cast(_LARGE_COLUMNS[name]), places) for name in large}
    columns = dict(zip(taken.column_names, taken.columns, strict=True)) | views
    return pa.table({name: columns[name] for name in rows.column_names})


def _take_views(values: pa.ChunkedArray, places: pa.Array) -> pa.Array:
    """Take views, for which Arrow has no kernel: they are taken as so many bytes each."""
    array = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    _, views, *content = array.buffers()
    taken = pa.Array.from_buffers(pa.binary(_VIEW_BYTES), len(array), [None, views], offset=array.offset).take(places)
    validity = pc.is_valid(array).take(places).buffers()[1] if array.null_count else None
    return pa.Array.from_buffers(array.type, len(array), [validity, taken.buffers()[1], *content])


def _with_views(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_type(_LARGE_COLUMNS.get(field.name, field.type)) for field in schema])


def write_sorted(files: pafs.FileSystem, rows: pa.Table) -> AddAction:
    """Sort rows and write them as one file."""
    return write_batches(files, rows.schema, [in_order(rows)])


def write_batches(
    files: pafs.FileSystem, schema: pa.Schema, batches: Iterable[pa.Table], *, data_change: bool = True
) -> AddAction:
    """Write sorted rows as one file, which is deleted again if that fails."""
    writer = DataFileWriter(files, schema)
    try:
        for batch in batches:
            writer.write(batch)
        return writer.finish(data_change=data_change)
    except BaseException:
        writer.abandon()
        raise


def read_rows(files: pafs.FileSystem, path: str, schema: pa.Schema) -> Iterator[pa.Table]:
    """Read a file in the table's schema, row group by row group."""
    with files.open_input_file(path) as source:
        for batch in pq.ParquetFile(source).iter_batches(ROW_GROUP_ROWS):
            yield conform(pa.Table.from_batches([batch]), schema)


def read_without(files: pafs.FileSystem, path: str, schema: pa.Schema, dropped: pa.Array) -> Iterator[pa.Table]:
    """Read a file like `read_rows`, without the rows of the dropped paths."""
    for rows in read_rows(files, path, schema):
        kept = pc.invert(pc.is_in(rows["path"], value_set=dropped))
        if pc.all(kept).as_py():
            yield rows
        elif pc.any(kept).as_py():
            yield rows.filter(kept)


def rows_within(size: int, rows: pa.Table) -> int:
    """Return how many of these rows, of average size, make so many bytes in memory; at least one."""
    return max(1, size * rows.num_rows // max(1, rows.nbytes))


def conform(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Give rows the schema's columns in its order: absent ones are null, types are cast where that loses nothing."""
    given = set(rows.column_names)
    columns = []
    for field in schema:
        column = rows[field.name] if field.name in given else pa.nulls(rows.num_rows, field.type)
        columns.append(column if column.type.equals(field.type) else column.cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def require_paths(rows: pa.Table) -> None:
    """Find out whether each row says which object it is of.

    Raises
    ------
    ArgumentError
        If there is no column `path`, a path is null, or columns have one name.
    """
    repeated = [name for name, count in Counter(rows.column_names).items() if count > 1]
    if repeated:
        raise ArgumentError(", ".join(repeated), "is there more than once", "Drop all but one, or rename them.")
    if "path" not in rows.column_names or rows["path"].null_count:
        raise ArgumentError("path", "is absent", "Every row needs the path of its object.")


def last_of_each_path(rows: pa.Table) -> pa.Table:
    """Keep of several rows with one path the last."""
    if pc.count_distinct(rows["path"]).as_py() == rows.num_rows:
        return rows
    places = pa.table({"path": rows["path"], "place": pa.array(range(rows.num_rows), pa.int64())})
    last = places.group_by("path").aggregate([("place", "max")])["place_max"]
    return rows.take(last.sort())


def delete_files(files: pafs.FileSystem, paths: Iterable[str]) -> None:
    """Delete files that no commit names; those that cannot be deleted are left for `vacuum`."""
    for path in paths:
        with contextlib.suppress(*FILE_ERRORS):
            files.delete_file(path)


@lru_cache(maxsize=8)
def _writer_options(schema: pa.Schema) -> dict[str, Any]:
    empty = io.BytesIO()
    pq.write_table(schema.empty_table(), empty)
    parquet_schema = pq.ParquetFile(empty).schema
    leaves = [parquet_schema.column(at).path for at in range(len(parquet_schema))]
    return {
        "store_schema": False,  # it would tell readers of views
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": [leaf for leaf in leaves if leaf not in _UNIQUE_COLUMNS],
        "write_statistics": [leaf for leaf in leaves if leaf not in _LARGE_COLUMNS],
        "bloom_filter_options": {
            name: {"ndv": ROW_GROUP_ROWS, "fpp": 0.01} for name in _BLOOM_COLUMNS if name in schema.names
        },
    }


def _lower_bound(value: Any) -> Any:
    return value[:_STATISTICS_CHARACTERS] if isinstance(value, str) else _json_value(value)


def _upper_bound(value: Any) -> Any:
    if isinstance(value, str):
        short = value[:_STATISTICS_CHARACTERS]
        return short if short == value else short + _GREATEST_CHARACTER
    return _json_value(value)


def _json_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return value.isoformat() if isinstance(value, date) else value
