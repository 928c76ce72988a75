"""The Parquet files written for changes, before a commit makes them part of the table."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
from deltalake.transaction import AddAction

from dbx.pixels.engine.pool import cores
from dbx.pixels.table.changes import Changes
from dbx.pixels.table.folder import FILE_ERRORS
from dbx.pixels.table.log import DataFile, DeltaLog
from dbx.pixels.table.parquet import (
    FILE_BYTES,
    FILE_ROWS,
    delete_files,
    read_without,
    rows_within,
    write_batches,
    write_sorted,
)


class Draft:
    """Writes what changes need: new rows, and files anew without the rows that leave them.

    Parameters
    ----------
    changes : Changes
        What is to be committed.
    log : DeltaLog
        The table, at the version that the changes were computed from.

    Attributes
    ----------
    adds, removed : list
        What to commit.

    Raises
    ------
    TableError
        If the files cannot be written; then none of them is left behind.
    """

    def __init__(self, changes: Changes, log: DeltaLog) -> None:
        self.changes = changes
        self.adds: list[AddAction] = []
        self.removed: list[DataFile] = [log.files[uri] for uri in changes.dropped]
        self._files = log.folder.files
        try:
            with ThreadPoolExecutor(cores(), thread_name_prefix="pixels-write") as pool:
                jobs = [pool.submit(write_sorted, self._files, rows) for rows in file_slices(changes.rows)]
                for file in self.removed:
                    paths = changes.dropped[file.uri]
                    if file.rows is None or len(paths) < file.rows:
                        kept = read_without(self._files, file.path, log.schema, paths)
                        jobs.append(pool.submit(write_batches, self._files, log.schema, kept))
            self.adds = [job.result() for job in jobs if not job.exception()]
            for job in jobs:
                job.result()  # raises what the writing raised
        except FILE_ERRORS as error:
            self.discard()
            raise log.folder.write_error(error) from error

    def discard(self) -> None:
        """Delete the files. Only for a draft that surely was not committed."""
        delete_files(self._files, [add.path for add in self.adds])


def file_slices(rows: pa.Table) -> Iterator[pa.Table]:
    """Cut rows into as many as one file holds."""
    size = min(FILE_ROWS, rows_within(FILE_BYTES, rows))
    for start in range(0, rows.num_rows, size):
        yield rows.slice(start, size)
