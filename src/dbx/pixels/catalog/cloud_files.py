"""Streams whose objects Databricks finds: `cloudFiles`, its Auto Loader."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from dbx.pixels.catalog.objects import LISTED_SCHEMA, listed_batch
from dbx.pixels.catalog.selection import Selection
from dbx.pixels.catalog.streaming import Stream
from dbx.pixels.engine.spark.failures import telling
from dbx.pixels.engine.spark.frame import SparkFrame
from dbx.pixels.errors import EngineError, StorageError
from dbx.pixels.storage import Home
from dbx.pixels.storage.listing import LISTING_SCHEMA
from dbx.pixels.storage.local import Object, stat_object
from dbx.pixels.storage.paths import canonical, is_remote, relative_path
from dbx.pixels.table.schema import MODIFICATION_TIME

_SOURCE = "cloudFiles"
_FILES = "path string, modificationTime timestamp, length long, content binary"  # of Spark's format binaryFile


def cloud_files_frame(session: Any, stream: Stream, alias: str) -> Any:
    """Make the streaming DataFrame of a stream's objects, in rows of `LISTED_SCHEMA`; its plan holds the alias.

    Raises
    ------
    EngineError
        If the session has no such source.
    """
    (root,) = stream.selection.roots
    reader = session.readStream.format(_SOURCE).schema(_FILES).option("recursiveFileLookup", "true")
    options = {"format": "binaryFile", "allowOverwrites": "true", "maxFilesPerTrigger": str(stream.max_files)}
    for name, value in options.items():
        reader = reader.option(f"cloudFiles.{name}", value)
    try:
        with telling():
            files = reader.load(stream.home.local_path(root)).select("path", "modificationTime", "length")
            frame = SparkFrame.of(files.alias(alias))
    except EngineError as error:
        remedy = "It is a source of Databricks: leave cloudFiles out elsewhere."
        raise EngineError("cloudFiles", f"cannot be used: {error.problem}", remedy) from error
    return frame.map_task(_Complete(stream.selection, stream.home, root), LISTED_SCHEMA)


@dataclass(frozen=True)
class _Complete:
    """What our own listing would have told of the same files."""

    selection: Selection
    home: Home
    root: str

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            times = batch["modificationTime"].cast(MODIFICATION_TIME).cast(pa.int64())
            columns = (
                [canonical(path) for path in batch["path"].to_pylist()],
                times.to_pylist(),
                batch["length"].to_pylist(),
            )
            files = [_as_listed(*file) for file in zip(*columns, strict=True) if self._wants(file[0])]
            paths, modified, lengths = zip(*files, strict=True) if files else ((), (), ())
            arrays = [
                pa.array(paths, pa.string()),
                pa.array(modified, pa.int64()).cast(MODIFICATION_TIME),
                pa.array(lengths, pa.int64()),
                pa.repeat(pa.scalar(False), len(files)),
            ]
            yield listed_batch(pa.RecordBatch.from_arrays(arrays, schema=LISTING_SCHEMA), self.root, self.home)

    def _wants(self, path: str) -> bool:
        return not path.lower().endswith(".zip") and self.selection.wants(relative_path(path, self.root))


def _as_listed(path: str, modified: int, length: int) -> Object:
    """Return a file as our own listing has it: Spark knows the times of local ones to the millisecond only."""
    if is_remote(path):
        return path, modified, length
    try:
        return stat_object(path)
    except StorageError:  # it is gone again, which reading it will tell
        return path, modified, length
