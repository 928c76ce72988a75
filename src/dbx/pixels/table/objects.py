"""The table of objects: reading what is known, and saving so that every path has one live row."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pyarrow as pa

from dbx.pixels.dicom.json_model import doubtful, read_data_set
from dbx.pixels.errors import ArgumentError, CommitConflictError, TableError, TableNotFoundError
from dbx.pixels.table.changes import (
    IDENTITY,
    Changes,
    changes_of_removing,
    changes_of_removing_under,
    changes_of_saving,
)
from dbx.pixels.table.draft import Draft
from dbx.pixels.table.duck import reading, scan
from dbx.pixels.table.folder import TableFolder
from dbx.pixels.table.log import DeltaLog
from dbx.pixels.table.parquet import conform, last_of_each_path, require_paths
from dbx.pixels.table.prefixes import may_hold, under
from dbx.pixels.table.schema import KNOWN_SCHEMA, MODIFICATION_TIME
from dbx.pixels.table.seen import SeenPaths

#: Commits that may be lost in a row against other writers; with the pauses between them some minutes.
ATTEMPTS = 200
LONGEST_PAUSE = 1.0  # seconds


class StreamTransaction(NamedTuple):
    """One batch of a stream, so that it is committed once: the stream's id and the batch's number."""

    application_id: str
    version: int


class Committed(NamedTuple):
    """What a call changed in the table.

    Attributes
    ----------
    version : int or None
        The table's version afterwards; None where only Spark knows it.
    new, changed, filled, unchanged, removed : int
        Rows by what happened to them; `filled` rows got values in columns that were null.
    """

    version: int | None
    new: int = 0
    changed: int = 0
    filled: int = 0
    unchanged: int = 0
    removed: int = 0


class ObjectTable:
    """A Delta table with one live row per path. Its methods may be called from several threads.

    Reading looks at the version last seen: that of opening, of the last commit here, or of `refresh`. Writing begins
    with the newest version.

    Parameters
    ----------
    log : DeltaLog
        Of the table. Use `open` or `create_if_missing`.
    """

    def __init__(self, log: DeltaLog) -> None:
        self._log = log
        self._seen = SeenPaths()
        self._lock = threading.RLock()

    @classmethod
    def open(cls, location: str) -> ObjectTable:
        """Open an existing table.

        Raises
        ------
        TableNotFoundError
            If there is none.
        TableError
            If it is not a table of objects, or uses Delta features that are not understood here.
        """
        return cls(DeltaLog(TableFolder(location)))

    @classmethod
    def create_if_missing(cls, location: str) -> ObjectTable:
        """Open a table, made before if it was not there.

        Raises
        ------
        TableError
            If it cannot be made, or what is there is not a table of objects.
        """
        return cls(DeltaLog.create(TableFolder(location)))

    @classmethod
    def find(cls, location: str) -> ObjectTable | None:
        """Open a table, or return None if there is none."""
        try:
            return cls.open(location)
        except TableNotFoundError:
            return None

    @property
    def location(self) -> str:
        """Where the table lies."""
        return self._log.folder.location

    @property
    def address(self) -> str:
        """What finds the table again: where it lies."""
        return self.location

    @property
    def log(self) -> DeltaLog:
        """The table's log: which table it is, and its files at the version that is looked at."""
        return self._log

    @property
    def schema(self) -> pa.Schema:
        """The table's columns."""
        return self._log.schema

    @property
    def version(self) -> int:
        """The version that is looked at."""
        return self._log.version

    def refresh(self) -> int:
        """Look at the newest version, and return it."""
        with self._lock:
            self._log.refresh()
            return self._log.version

    def files(self) -> list[str]:
        """Return the addresses of the live Parquet files."""
        with self._lock:
            return list(self._log.files)

    def transaction_version(self, application_id: str) -> int | None:
        """Return the last batch of a stream that is in the table, None if there is none."""
        return self._log.transaction_version(application_id)

    def known(self, *prefixes: str) -> pa.RecordBatchReader:
        """Read what is known of the objects under the prefixes: folders, buckets or archives; all without any.

        Returns
        -------
        pyarrow.RecordBatchReader
            Of `KNOWN_SCHEMA`. A zip member lies where its archive does, an extracted object also where its archive
            was.
        """
        with self._lock:
            files = [file for file in self._log.files.values() if may_hold(file, prefixes)]
        uris = [file.uri for file in files]
        times = pa.array([file.written * 1000 for file in files], pa.int64())
        written = pa.table({"filename": pa.array(uris, pa.string()), "written": times.cast(MODIFICATION_TIME)})
        sql = f"""
            SELECT path, modificationTime, length, original_path,
                error IS NOT NULL AND file_type IS NULL AS unreadable, written
            FROM {scan(uris, self.schema, filename=True)} JOIN written USING (filename) WHERE {under(prefixes)}"""

        def batches() -> Iterator[pa.RecordBatch]:
            with reading(self._log.folder) as connection:
                connection.register("written", written)
                yield from connection.sql(sql).to_arrow_reader()

        return pa.RecordBatchReader.from_batches(KNOWN_SCHEMA, batches())

    def save(self, rows: pa.Table, *, transaction: StreamTransaction | None = None) -> Committed:
        """Save one chunk of rows in one commit, so that every path has one live row.

        Rows of unknown paths are added. Rows with another modification time or length than the table's replace its row.
        Rows of objects that are the same are skipped, unless they fill columns that were null.

        Parameters
        ----------
        rows : pyarrow.Table
            Columns that the table lacks are added to it; columns that are absent are null. Of several rows with one
            path the last counts.
        transaction : StreamTransaction, optional
            Nothing is done if the table holds it, or a later one, already.

        Raises
        ------
        ArgumentError
            If there is no column `path`, a path is null, `meta` is no data set in DICOM JSON, or a column is of a type
            that Delta does not have.
        TableError
            If a column's type differs from the table's, or the table cannot be written.
        CommitConflictError
            If other writers were faster all the time.
        """
        with self._lock:
            chunk = self._conformed(rows)
            return self._apply(lambda: changes_of_saving(chunk, self._log, self._seen), transaction)

    def add_columns(self, schema: pa.Schema) -> int:
        """Add the columns that the table lacks, and return the version that has them.

        Raises
        ------
        ArgumentError
            If a column is of a type that Delta does not have.
        TableError
            If the table cannot be altered.
        """
        with self._lock:
            self._log.refresh()
            self._log.add_columns(schema)
            return self._log.version

    def remove(self, objects: pa.Table) -> Committed:
        """Remove the rows of objects that are gone, unless another writer has saved them anew meanwhile.

        Parameters
        ----------
        objects : pyarrow.Table
            With the columns `path`, `modificationTime` and `length`, as `known` gave them; further ones do not matter.
            A row is removed if it still equals one of these in all three.
        """
        given = objects.select(IDENTITY)
        with self._lock:
            return self._apply(lambda: changes_of_removing(given, self._log, self._seen))

    def remove_under(self, *prefixes: str) -> Committed:
        """Remove the rows under the prefixes, which `known` describes.

        Raises
        ------
        ArgumentError
            If there is no prefix: that would be the entire table.
        """
        if not prefixes or not all(prefixes):
            raise ArgumentError("remove_under", "no folder is given", "Name what is to be removed.")
        with self._lock:
            return self._apply(lambda: changes_of_removing_under(prefixes, self._log))

    def _conformed(self, rows: pa.Table) -> pa.Table:
        require_paths(rows)
        self._log.add_columns(rows.schema)
        try:
            chunk = conform(rows, self.schema)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise TableError(
                self.location, f"cannot hold these rows: {error}", "Give the column the table's type, or another name."
            ) from error
        _require_data_sets(chunk)
        return last_of_each_path(chunk)

    def _apply(self, decide: Callable[[], Changes], transaction: StreamTransaction | None = None) -> Committed:
        """Commit what `decide` finds; on a conflict look again, and decide again."""
        draft: Draft | None = None
        self._log.refresh()
        for attempt in range(ATTEMPTS):
            changes = Changes(self.schema.empty_table()) if self._holds(transaction) else decide()
            if draft and not draft.changes.writes_same(changes):
                draft.discard()
                draft = None
            if changes or (transaction and not self._holds(transaction)):
                draft = draft or Draft(changes, self._log)
                if not self._commit(draft, transaction):
                    time.sleep(random.uniform(0, min(LONGEST_PAUSE, 0.005 * 2**attempt)))
                    continue
            return Committed(
                self.version, changes.new, changes.changed, changes.filled, changes.unchanged, changes.removed
            )
        if draft:
            draft.discard()
        raise CommitConflictError(
            self.location, f"other writers were faster {ATTEMPTS} times", "Run again when they are done."
        )

    def _holds(self, transaction: StreamTransaction | None) -> bool:
        if transaction is None:
            return False
        done = self.transaction_version(transaction.application_id)
        return done is not None and done >= transaction.version

    def _commit(self, draft: Draft, transaction: StreamTransaction | None) -> bool:
        transactions = dict([transaction]) if transaction else {}
        committed = self._log.commit(draft.adds, draft.removed, transactions=transactions)
        # A file written anew holds paths of the one that it replaces: they are known only if that one was looked at.
        if committed and all(file.uri in self._seen for file in draft.removed):
            self._seen.add((self._log.folder.uri(add.path) for add in draft.adds), draft.changes.rows["path"])
        return committed


def _require_data_sets(rows: pa.Table) -> None:
    """Find out whether metadata is what those who read it can understand."""
    for number in doubtful(rows["meta"]):
        if read_data_set(rows["meta"][number].as_py()) is None:
            raise ArgumentError(
                rows["path"][number].as_py(),
                "its `meta` is no data set in DICOM JSON (PS3.18 Annex F), an object of elements that have a vr",
                "Save what DicomMetaExtractor makes, or null.",
            )
