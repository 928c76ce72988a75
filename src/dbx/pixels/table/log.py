"""The Delta log of one table: its live files, and commits of which exactly one wins."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pyarrow as pa
from deltalake import DeltaTable, Field
from deltalake.exceptions import DeltaError
from deltalake.exceptions import TableNotFoundError as DeltaTableNotFoundError
from deltalake.transaction import AddAction, CommitProperties, RemoveAction, Transaction

from dbx.pixels.errors import StorageError, TableError, TableNotFoundError
from dbx.pixels.table.columns import with_ours, without_known
from dbx.pixels.table.folder import TableFolder
from dbx.pixels.table.parquet import DATA_FILE, STATISTICS_COLUMNS, delete_files
from dbx.pixels.table.schema import TABLE_SCHEMA

#: The application id that all writers share: commits of one table follow each other.
APPLICATION_ID = "dbx.pixels"

CONFIGURATION = {
    "delta.enableChangeDataFeed": "true",
    "delta.checkpointInterval": "50",
    "delta.dataSkippingStatsColumns": ",".join(STATISTICS_COLUMNS),
}

#: Reader features that do not change which rows the live files hold.
_UNDERSTOOD_FEATURES = {"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"}


class DataFile(NamedTuple):
    """A live Parquet file of the table.

    Attributes
    ----------
    path : str
        As in the log, relative to the table's folder.
    uri : str
        What opens it.
    size : int
        Bytes.
    written : int
        When, in milliseconds since 1970.
    rows : int or None
        None if its writer did not say.
    bounds : dict
        Least and greatest value by column, where known.
    """

    path: str
    uri: str
    size: int
    written: int
    rows: int | None
    bounds: dict[str, tuple[str, str]]

    def overlaps(self, column: str, least: str, greatest: str) -> bool:
        """Tell whether the file may hold a value of the column between the two, both included."""
        if column not in self.bounds:
            return True
        low, high = self.bounds[column]
        return low <= greatest and least <= high


class DeltaLog:
    """One process's view of a table's log.

    Parameters
    ----------
    folder : TableFolder
        Of an existing table.
    version : int, optional
        Which version to look at; the newest by default.

    Raises
    ------
    TableNotFoundError
        If there is no Delta table.
    TableError
        If it is not a table of objects, or uses Delta features that are not understood here.

    Attributes
    ----------
    schema : pyarrow.Schema
        The table's columns, and those that it lacks of the ones that Pixels writes: they read as null.
    """

    def __init__(self, folder: TableFolder, version: int | None = None) -> None:
        self.folder = folder
        self._files: tuple[int, dict[str, DataFile]] | None = None
        self._open(version)

    @classmethod
    def create(cls, folder: TableFolder) -> DeltaLog:
        """Open the table, made before if it was not there."""
        try:
            return cls(folder)
        except TableNotFoundError:
            pass
        if folder.holds_other_files():
            raise TableError(
                folder.location, "cannot be made: the folder holds other files", "Choose an empty folder, or a name."
            )
        try:
            folder.prepare()
            DeltaTable.create(
                folder.location,
                TABLE_SCHEMA,
                name=folder.location.rpartition("/")[2],
                configuration=CONFIGURATION,
                storage_options=folder.storage_options,
            )
        except StorageError:
            raise
        except (DeltaError, OSError) as error:
            try:
                return cls(folder)  # another writer was faster
            except TableNotFoundError:
                raise folder.write_error(error, "cannot be made") from error
        return cls(folder)

    def _open(self, version: int | None = None) -> None:
        location = self.folder.location
        try:
            self._delta = DeltaTable(location, version=version, storage_options=self.folder.storage_options)
        except DeltaTableNotFoundError as error:
            raise TableNotFoundError(
                location, "there is no table", "Ingest something first: pixels ingest PATH."
            ) from error
        except (DeltaError, OSError) as error:
            raise self.folder.read_error(error) from error
        self._check()

    def _check(self) -> None:
        metadata, protocol = self._delta.metadata(), self._delta.protocol()
        location = self.folder.location
        unknown = sorted(set(protocol.reader_features or ()) - _UNDERSTOOD_FEATURES)
        if metadata.configuration.get("delta.columnMapping.mode", "none") != "none":
            unknown.append("columnMapping")
        if unknown:
            raise TableError(
                location,
                f"uses Delta features that cannot be read here: {', '.join(unknown)}",
                "Drop them with ALTER TABLE ... DROP FEATURE, or name the table in a session of Spark that has them.",
            )
        if metadata.partition_columns:
            raise TableError(
                location,
                f"is partitioned by {', '.join(metadata.partition_columns)}",
                "Tables of objects are not partitioned; choose another table.",
            )
        columns = pa.schema(self._delta.schema().to_arrow())
        self.schema = with_ours(columns, location)
        self._columns = set(columns.names)

    @property
    def table_id(self) -> str:
        """What tells the table apart from one that was made anew in its place (Delta protocol, metadata)."""
        return str(self._delta.metadata().id)

    @property
    def version(self) -> int:
        """The version that is looked at."""
        return self._delta.version()

    @property
    def files(self) -> dict[str, DataFile]:
        """The live files by their address."""
        if self._files is None or self._files[0] != self.version:
            self._files = self.version, {file.uri: file for file in self._read_files()}
        return self._files[1]

    def _read_files(self) -> Iterable[DataFile]:
        actions = pa.table(self._delta.get_add_actions(flatten=True))
        columns = {
            name: actions[name].to_pylist()
            for name in ("path", "size_bytes", "modification_time", "num_records")
            if name in actions.column_names
        }
        bounds = {
            column: list(zip(actions[f"min.{column}"].to_pylist(), actions[f"max.{column}"].to_pylist(), strict=True))
            for column in STATISTICS_COLUMNS
            if {f"min.{column}", f"max.{column}"} <= set(actions.column_names)
            and pa.types.is_string(actions[f"min.{column}"].type)
        }
        for row, path in enumerate(columns["path"]):
            yield DataFile(
                path,
                self.folder.uri(path),
                columns["size_bytes"][row],
                columns["modification_time"][row],
                columns["num_records"][row] if "num_records" in columns else None,
                {column: pairs[row] for column, pairs in bounds.items() if None not in pairs[row]},
            )

    def refresh(self) -> bool:
        """Look at the newest version; tell whether there was a newer one."""
        before = self.version
        try:
            self._delta.update_incremental()
        except (DeltaError, OSError):
            self._open()  # what follows the version looked at was cleaned up, or the table is gone
        if self.version == before:
            return False
        self._check()
        return True

    def transaction_version(self, application_id: str) -> int | None:
        """Return the last committed transaction of an application, None if it never committed one."""
        return self._delta.transaction_version(application_id)

    def add_columns(self, fields: Iterable[pa.Field]) -> None:
        """Add columns at the end, so that the table has these and all that Pixels writes.

        Raises
        ------
        ArgumentError
            If Delta cannot hold one of them.
        TableError
            If the table cannot be altered.
        """
        wanted = {field.name: field for field in (*self.schema, *without_known(fields, self.schema))}
        while missing := wanted.keys() - self._columns:
            new = [Field.from_arrow(field) for name, field in wanted.items() if name in missing]
            try:
                self._delta.alter.add_columns(new)
            except (DeltaError, OSError) as error:
                if not self.refresh():
                    raise self.folder.write_error(error) from error
            self._check()

    def commit(
        self,
        adds: Iterable[AddAction],
        removes: Iterable[DataFile],
        *,
        transactions: Mapping[str, int] | None = None,
        data_change: bool = True,
    ) -> bool:
        """Add and remove files in one commit, provided that the version looked at is still the newest.

        Parameters
        ----------
        adds, removes : iterable
            Files that were written, and live files that hold nothing any more.
        transactions : mapping, optional
            Versions by application id to record besides the shared one.
        data_change : bool
            False if the rows stay the same, as in compaction.

        Returns
        -------
        bool
            Whether it was committed. If not, another writer was first, and the view is refreshed.

        Raises
        ------
        TableError
            If the log cannot be written. The added files are deleted, unless the commit may stand all the same.
        """
        self.folder.prepare()
        adds = list(adds)
        now = int(time.time() * 1000)
        shared = (self.transaction_version(APPLICATION_ID) or 0) + 1
        actions: list[AddAction | RemoveAction] = [
            *adds,
            *(RemoveAction(file.path, data_change, now, size=file.size, partition_values={}) for file in removes),
        ]
        properties = CommitProperties(
            # delta-rs does not see that a file to be removed was compacted meanwhile; any other commit is a conflict.
            max_commit_retries=0,
            app_transactions=[
                Transaction(application_id, version)
                for application_id, version in {APPLICATION_ID: shared, **(transactions or {})}.items()
            ],
        )
        before = self.version
        try:
            self._delta.create_write_transaction(actions, "append", self._delta.schema(), commit_properties=properties)
        except (DeltaError, OSError) as error:
            self.refresh()
            # A commit may stand although what follows it, such as a checkpoint, failed.
            if any(self.folder.uri(add.path) in self.files for add in adds):
                return True
            if self.version != before:
                return False
            delete_files(self.folder.files, (add.path for add in adds))
            raise self.folder.write_error(error) from error
        self.refresh()
        return True

    def clean(self) -> int:
        """Write a checkpoint, forget expired log entries, and delete files that no kept version needs.

        Returns
        -------
        int
            Number of deleted data files.

        Raises
        ------
        TableError
            If the table cannot be written.
        """
        try:
            self._delta.create_checkpoint()
            self._delta.cleanup_metadata()
            unneeded = self._delta.vacuum(dry_run=True, full=True)
        except (DeltaError, OSError) as error:
            raise self.folder.write_error(error) from error
        # delta-rs would delete all that the log does not name, also what others keep in the folder.
        data_files = [path for path in unneeded if DATA_FILE.fullmatch(path)]
        delete_files(self.folder.files, data_files)
        return len(data_files)
