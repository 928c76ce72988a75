"""Upkeep of a table: compacting small files, checkpoints, and deleting files that no reader needs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa

from dbx.pixels.errors import PixelsError
from dbx.pixels.table.folder import FILE_ERRORS
from dbx.pixels.table.log import DataFile, DeltaLog
from dbx.pixels.table.objects import ObjectTable
from dbx.pixels.table.parquet import FILE_ROWS, delete_files, in_order, read_rows, write_batches

#: Size of a file that is worth opening for few rows and small enough to write anew when one of them changes.
TARGET_BYTES = 24 * 2**20
#: Files smaller than this are compacted.
SMALL_BYTES = TARGET_BYTES // 2
#: Rows that are sorted together, in memory.
RUN_BYTES = 64 * 2**20
#: Small files at which a table is compacted by itself.
DUE_FILES = 64
#: Compactions that may be lost in a row against writers before they are left for another time.
ATTEMPTS = 20

_log = logging.getLogger(__name__)


class Upkept(NamedTuple):
    """What upkeep did.

    Attributes
    ----------
    compacted, written : int
        Small files that were read, and the files that hold their rows now.
    deleted : int
        Files that no version within the table's retention needs.
    version : int
        The table's version afterwards.
    """

    compacted: int
    written: int
    deleted: int
    version: int


def optimize(table: ObjectTable) -> Upkept:
    """Compact small files, write a checkpoint, and delete what is not needed any more.

    Files are deleted that left the table, or never became part of it, longer ago than the table's retention
    (`delta.deletedFileRetentionDuration`, a week by default), so readers of older versions and writers at work keep
    theirs.

    Raises
    ------
    TableError
        If the table cannot be written.
    """
    log = DeltaLog(table.log.folder)  # its own view, so that other threads may use the table meanwhile
    compacted, written = _compact(log)
    return Upkept(compacted, written, log.clean(), table.refresh())


def optimize_if_due(table: ObjectTable) -> None:
    """Compact the table if it has many small files. What goes wrong is logged and left for another time."""
    if sum(map(_is_small, table.log.files.values())) < DUE_FILES:
        return
    try:
        _compact(DeltaLog(table.log.folder))
        table.refresh()
    except PixelsError as error:
        _log.warning("compaction is put off: %s", error)


def _compact(log: DeltaLog) -> tuple[int, int]:
    compacted = written = 0
    for files in list(_bins(log)):
        if _compact_into_one(files, log):
            compacted += len(files)
            written += 1
    return compacted, written


def _is_small(file: DataFile) -> bool:
    return file.size < SMALL_BYTES and (file.rows or 0) < FILE_ROWS // 2


def _bins(log: DeltaLog) -> Iterator[list[DataFile]]:
    """Yield small files that become one: neighbours in the sort order, up to the target size."""
    files: list[DataFile] = []
    small = filter(_is_small, log.files.values())
    for file in sorted(small, key=lambda file: file.bounds.get("StudyInstanceUID", ("", ""))):
        full = sum(other.size for other in files) + file.size > TARGET_BYTES
        if full or sum(other.rows or 0 for other in files) + (file.rows or 0) > FILE_ROWS:
            yield files
            files = []
        files.append(file)
    yield files


def _compact_into_one(files: list[DataFile], log: DeltaLog) -> bool:
    if len(files) < 2:
        return False
    try:
        add = write_batches(log.folder.files, log.schema, _sorted_runs(files, log), data_change=False)
    except FILE_ERRORS as error:
        raise log.folder.write_error(error) from error
    for _ in range(ATTEMPTS):
        if not all(file.uri in log.files for file in files):
            break  # a writer changed rows of them meanwhile
        if log.commit([add], files, data_change=False):
            return True
    delete_files(log.folder.files, [add.path])
    return False


def _sorted_runs(files: list[DataFile], log: DeltaLog) -> Iterator[pa.Table]:
    """Yield the files' rows in sorted runs: all of small files in one, and no more than fits into memory in any."""
    run: list[pa.Table] = []
    for file in files:
        for rows in read_rows(log.folder.files, file.path, log.schema):
            run.append(rows)
            if sum(part.nbytes for part in run) >= RUN_BYTES:
                yield in_order(pa.concat_tables(run))
                run = []
    if run:
        yield in_order(pa.concat_tables(run))
