"""Rows for listed objects: all that is known of them before their bytes are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from dbx.pixels.engine.frame import BATCH_ROWS, Frame
from dbx.pixels.storage.home import Home
from dbx.pixels.storage.listing import Problem
from dbx.pixels.storage.paths import extension, relative_path
from dbx.pixels.table.schema import OBJECT_FIELDS

#: An object's row before its path is made into tags. `file_type` is known beforehand for archives only; `error`, when
#: set, says why the bytes will not be read.
LISTED_SCHEMA = pa.schema(
    [*(field for field in OBJECT_FIELDS if field.name != "path_tags"), pa.field("error", pa.string())]
)


def object_frame(make_batches: Callable[[], Iterable[pa.RecordBatch]], schema: pa.Schema = LISTED_SCHEMA) -> Frame:
    """Make the frame of objects, in batches of a size that is good to read."""

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in make_batches():
            for start in range(0, batch.num_rows, BATCH_ROWS):
                yield batch.slice(start, BATCH_ROWS)

    return Frame(schema, batches)


def listed_batch(listed: pa.RecordBatch, root: str, home: Home) -> pa.RecordBatch:
    """Complete what a listing of `root` yields to `LISTED_SCHEMA`; its objects are their own originals."""
    paths = listed["path"]
    local_root = home.local_path(root)
    local_paths = paths
    if local_root != root:
        local_paths = pc.binary_join_element_wise(local_root, pc.utf8_slice_codeunits(paths, len(root)), "")
    nothing = pa.nulls(listed.num_rows, pa.string())
    columns = {
        **dict(zip(listed.schema.names, listed.columns, strict=True)),
        "original_path": paths,
        "relative_path": _relative_paths(paths, root),
        "local_path": local_paths,
        "extension": pa.array([extension(path) for path in paths.to_pylist()], pa.string()),
        "file_type": nothing,
        "error": nothing,
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in LISTED_SCHEMA.names], schema=LISTED_SCHEMA)


def _relative_paths(paths: pa.Array, root: str) -> pa.Array:
    folder = root.rstrip("/") + "/"
    if pc.all(pc.starts_with(paths, folder)).as_py():
        return pc.utf8_slice_codeunits(paths, len(folder))
    return pa.array([relative_path(path, root) for path in paths.to_pylist()], pa.string())


def problem_batch(problems: Iterable[Problem], root: str) -> pa.RecordBatch:
    """Make rows for what could not be listed below `root`."""
    rows = [
        {
            "path": path,
            "original_path": path,
            "relative_path": relative_path(path, root),
            "local_path": path,
            "is_anon": False,
            "error": message,
        }
        for path, message in problems
    ]
    return pa.RecordBatch.from_pylist(rows, schema=LISTED_SCHEMA)
