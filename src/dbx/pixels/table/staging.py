"""Saving from several machines at once: each writes files for its rows, and one commits them all."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache

import pyarrow as pa
from deltalake.transaction import AddAction

from dbx.pixels.errors import TableError
from dbx.pixels.table.changes import Changes, changes_of_saving
from dbx.pixels.table.draft import Draft, file_slices
from dbx.pixels.table.duck import reading, scan
from dbx.pixels.table.folder import FILE_ERRORS, TableFolder
from dbx.pixels.table.log import DeltaLog
from dbx.pixels.table.objects import ATTEMPTS, Committed, ObjectTable, StreamTransaction
from dbx.pixels.table.parquet import (
    conform,
    delete_files,
    last_of_each_path,
    read_rows,
    require_paths,
    write_sorted,
)
from dbx.pixels.table.seen import SeenPaths


@dataclass(frozen=True)
class StagedFile:
    """A file that no commit names yet: what the log says of it (Delta protocol, add)."""

    path: str
    size: int
    modification_time: int
    stats: str

    @property
    def add(self) -> AddAction:
        """What to commit."""
        return AddAction(self.path, self.size, {}, self.modification_time, True, self.stats)


@dataclass(frozen=True)
class Staged:
    """What one chunk of rows changes in the table, with its new rows in files already.

    Attributes
    ----------
    files : list of StagedFile
        Written, not committed.
    dropped : dict
        By address of a live file, the paths whose rows leave it.
    new, changed, filled, unchanged : int
        Rows by what happens to them.
    """

    files: list[StagedFile] = field(default_factory=list)
    dropped: dict[str, list[str]] = field(default_factory=dict)
    new: int = 0
    changed: int = 0
    filled: int = 0
    unchanged: int = 0

    def to_json(self) -> str:
        """Write it as text, to be sent to whoever commits."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Staged:
        """Read what `to_json` wrote."""
        content = json.loads(text)
        return cls(**{**content, "files": [StagedFile(**file) for file in content["files"]]})


def stage(rows: pa.Table, location: str, version: int) -> Staged:
    """Compare a chunk of rows with one version of a table, and write files for what is new in it.

    Parameters
    ----------
    rows : pyarrow.Table
        The table has their columns. Of several rows with one path the last counts.
    location : str
        The table's.
    version : int
        Which version to compare with.

    Raises
    ------
    ArgumentError
        If there is no column `path`, or a path is null.
    TableError
        If the table cannot be read or written here.
    """
    require_paths(rows)
    log, seen = _view(location, version)
    chunk = last_of_each_path(conform(rows, log.schema))
    changes = changes_of_saving(chunk, log, seen)
    adds = [write_sorted(log.folder.files, part) for part in file_slices(changes.rows)]
    return Staged(
        [StagedFile(add.path, add.size, add.modification_time, add.stats) for add in adds],
        {uri: paths.to_pylist() for uri, paths in changes.dropped.items()},
        changes.new,
        changes.changed,
        changes.filled,
        changes.unchanged,
    )


def reach(location: str, table_id: str) -> None:
    """Find out whether this machine can stage for a table.

    Parameters
    ----------
    location : str
        The table's.
    table_id : str
        The `DeltaLog.table_id` that whoever commits sees there.

    Raises
    ------
    TableError
        If the table is not here, cannot be written, or is another one.
    """
    try:
        log = DeltaLog(TableFolder(location))
        if log.table_id != table_id:
            raise TableError(location, "is another table")
        probe = f"_probe-{uuid.uuid4()}"
        try:
            with log.folder.files.open_output_stream(probe) as file:
                file.write(b"\0")
        except FILE_ERRORS as error:
            raise log.folder.write_error(error) from error
        delete_files(log.folder.files, [probe])
    except TableError as error:
        raise TableError(
            location,
            f"cannot be used from here: {error.problem}",
            "Put the table where all machines reach it under one path: into an object store, or a shared folder.",
        ) from error


@lru_cache(maxsize=1)
def _view(location: str, version: int) -> tuple[DeltaLog, SeenPaths]:
    """What the chunks of one commit that this process stages have in common."""
    return DeltaLog(TableFolder(location), version), SeenPaths()


def commit_staged(
    table: ObjectTable, staged: Sequence[Staged], version: int, *, transaction: StreamTransaction | None = None
) -> Committed:
    """Commit what several machines staged, in one commit.

    If another writer was first, and touched the same objects or files, or several machines had a row of one path, the
    staged rows are saved anew from their files.

    Parameters
    ----------
    table : ObjectTable
        Where the files belong.
    staged : sequence of Staged
        What `stage` returned.
    version : int
        The version of the table that all were compared with.
    transaction : StreamTransaction, optional
        Nothing is done if the table holds it, or a later one, already.

    Raises
    ------
    TableError
        If the table cannot be read or written.
    CommitConflictError
        If other writers were faster all the time.
    """
    log = DeltaLog(table.log.folder)  # its own view, so that other threads may use the table meanwhile
    files = [file for part in staged for file in part.files]
    counts = Committed(
        version,
        sum(part.new for part in staged),
        sum(part.changed for part in staged),
        sum(part.filled for part in staged),
        sum(part.unchanged for part in staged),
    )
    attempts = ATTEMPTS if _are_distinct(files, log) else 0
    for _ in range(attempts):
        # Whether the table holds a transaction by now is looked up when its rows are saved anew.
        if log.version != version and (transaction or not _still_holds(staged, version, log)):
            break
        draft = Draft(_dropping(staged, log), log)
        adds = [*draft.adds, *(file.add for file in files)]
        is_needed = adds or draft.removed or transaction
        if not is_needed or log.commit(adds, draft.removed, transactions=dict([transaction]) if transaction else {}):
            return counts._replace(version=table.refresh())
        draft.discard()
    return _save_again(table, [file.path for file in files], counts.unchanged, transaction)


def _still_holds(staged: Sequence[Staged], version: int, log: DeltaLog) -> bool:
    """Tell whether what was found at an older version holds at the one looked at.

    It does if the files that rows leave are still there, and those that came since have none of the paths staged.
    """
    if not all(uri in log.files for part in staged for uri in part.dropped):
        return False
    before = DeltaLog(log.folder, version).files
    came = [uri for uri in log.files if uri not in before]
    with reading(log.folder) as connection:
        given = scan((log.folder.uri(file.path) for part in staged for file in part.files), log.schema)
        sql = f"SELECT count(*) FROM {given} WHERE path IN (SELECT path FROM {scan(came, log.schema)})"
        ((met,),) = connection.execute(sql).fetchall()
    return not met


def _save_again(
    table: ObjectTable, paths: Sequence[str], unchanged: int, transaction: StreamTransaction | None
) -> Committed:
    """Save the rows of staged files as if they had been given here: those of a transaction all at once."""
    files = table.log.folder.files
    done = Committed(table.version, unchanged=unchanged)
    for group in [paths] if transaction else [[path] for path in paths]:
        rows = [rows for path in group for rows in read_rows(files, path, table.schema)]
        saved = table.save(pa.concat_tables([table.schema.empty_table(), *rows]), transaction=transaction)
        done = Committed(saved.version, *(one + other for one, other in zip(done[1:], saved[1:], strict=True)))
    delete_files(files, paths)
    return done


def _are_distinct(files: Sequence[StagedFile], log: DeltaLog) -> bool:
    """Tell whether no path is in two of the files; in one of them it is not twice."""
    if len(files) < 2:
        return True
    with reading(log.folder) as connection:
        staged = scan((log.folder.uri(file.path) for file in files), log.schema)
        ((are_distinct,),) = connection.execute(f"SELECT count(*) = count(DISTINCT path) FROM {staged}").fetchall()
    return bool(are_distinct)


def _dropping(staged: Iterable[Staged], log: DeltaLog) -> Changes:
    """Return the rows that leave live files for all that was staged."""
    dropped: dict[str, list[str]] = {}
    for part in staged:
        for uri, paths in part.dropped.items():
            dropped.setdefault(uri, []).extend(paths)
    return Changes(log.schema.empty_table(), {uri: pa.array(paths, pa.string()) for uri, paths in dropped.items()})
