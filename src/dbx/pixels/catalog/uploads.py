"""The one door by which uploads enter the table, and leave it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from dbx.pixels.catalog.arrivals import EXPORTS, UPLOADS, Arrival, Failure, LabelState, Outcome, read_arrivals
from dbx.pixels.catalog.catalog import Catalog
from dbx.pixels.catalog.incoming import Incoming, IncomingFile, sync_to_disk
from dbx.pixels.catalog.objects import listed_batch
from dbx.pixels.dicom.comparison import same_data_set
from dbx.pixels.dicom.transformers import TagExtractor
from dbx.pixels.engine.transformer import merge_columns, merge_fields
from dbx.pixels.errors import ArgumentError, ObjectNotFoundError, StorageError
from dbx.pixels.storage import LISTING_SCHEMA, open_object, volume_path
from dbx.pixels.storage.local import stat_object
from dbx.pixels.table.objects import ObjectTable
from dbx.pixels.table.principal import EVERYTHING, Principal
from dbx.pixels.table.schema import IDENTITY, TABLE_SCHEMA
from dbx.pixels.table.upkeep import optimize_if_due

#: Files of one request that are committed together: enough for few commits, few enough to keep memory flat.
FILES_AT_ONCE = 1024


class StoredObject(Protocol):
    """An object of the table, as the serving index knows it."""

    @property
    def path(self) -> str: ...
    @property
    def local_path(self) -> str: ...
    @property
    def length(self) -> int | None: ...
    @property
    def modificationTime(self) -> datetime | None: ...


class Index(Protocol):
    """What finds objects by their UIDs: the serving index, which lies on a higher floor."""

    def sync(self) -> int:
        """Bring it to the table's newest version."""

    def find(self, sop: str, principal: Principal) -> StoredObject | None:
        """Return the object that is shown for a SOP Instance UID."""


@dataclass
class _Group:
    """The files of one request, waiting to be committed."""

    arrivals: Sequence[Arrival]
    is_done: bool = False
    error: Exception | None = None


class Uploads:
    """Stores files in the catalog's volume and table, and removes them.

    Several threads and processes may do so at once. Requests that wait for their turn are committed together, by the
    one whose turn comes first.

    Parameters
    ----------
    catalog : Catalog
        Whose volume and table are written.
    index : Index
        Knows which objects there are, and follows what is stored.
    """

    def __init__(self, catalog: Catalog, index: Index) -> None:
        self._catalog = catalog
        self._index = index
        self._volume = volume_path(catalog.volume)
        self._root = Path(catalog.home.local_path(self._volume))
        self._incoming = Incoming(self._root)
        self._table: ObjectTable | None = None
        self._waiting: deque[_Group] = deque()
        self._turn = threading.Lock()

    def tidy(self) -> None:
        """Delete what interrupted uploads of killed processes left behind.

        Raises
        ------
        StorageError
            If the volume cannot be written.
        """
        self._incoming.tidy()

    def receive(self) -> IncomingFile:
        """Begin a file, to be written, finished, stored and, in any case, discarded.

        Raises
        ------
        StorageError
            If the volume cannot be written.
        """
        return self._incoming.create()

    def folder(self) -> Path:
        """Return where files are received, for other processes that begin some: `store` takes them, too.

        Raises
        ------
        StorageError
            If the volume cannot be written.
        """
        return self._incoming.folder()

    def store(
        self, files: Sequence[Path], study: str | None = None, label_state: LabelState | None = None
    ) -> list[Outcome]:
        """Store files that were received: when this returns, they are placed, synced, committed and indexed.

        An object that is there already with the same data set is not stored again; one that differs from what has its
        SOP Instance UID is refused.

        Parameters
        ----------
        files : sequence of pathlib.Path
            Finished files from `receive`; those that are stored move to their place in the volume.
        study : str, optional
            Study Instance UID that all must have.
        label_state : LabelState, optional
            What segmentations among them are. By default they are final, as people who send them have looked at them,
            but for those that say that nobody had a hand in them.

        Returns
        -------
        list of Outcome
            What became of each file, in order.

        Raises
        ------
        StorageError
            If the volume cannot be written; then nothing is stored, or of very many files only the first.
        TableError
            If the table cannot be written; likewise.
        """
        slices = (files[start : start + FILES_AT_ONCE] for start in range(0, len(files), FILES_AT_ONCE))
        return [outcome for some in slices for outcome in self._store(some, study, label_state)]

    def holds(self, stored: StoredObject) -> bool:
        """Tell whether an object was uploaded, and not indexed where it lay."""
        folder = next((name for name in (UPLOADS, EXPORTS) if stored.path.startswith(f"{self._volume}/{name}/")), None)
        return folder is not None and ".." not in stored.path.split("/")

    def delete(self, find: Callable[[], Sequence[StoredObject]]) -> None:
        """Delete uploads: their rows, their files and what the index knows of them.

        Parameters
        ----------
        find : callable
            Returns them as the index, which shows the table's newest version then, knows them. While it looks nobody
            stores or deletes: what was found before may be another object, with the same path, by now.

        Raises
        ------
        ArgumentError
            If one was not uploaded; then none is deleted.
        StorageError
            If a file cannot be deleted.
        TableError
            If the table cannot be written.
        """
        with self._turn, self._incoming.locked():
            self._index.sync()
            objects = find()
            for stored in objects:
                if not self.holds(stored):
                    raise ArgumentError(stored.path, "was not uploaded", "Delete it where it lies, and ingest again.")
            identities = [{name: getattr(stored, name) for name in IDENTITY} for stored in objects]
            rows = pa.Table.from_pylist(identities, pa.schema([TABLE_SCHEMA.field(name) for name in IDENTITY]))
            ObjectTable.open(self._catalog.location()).remove(rows)
            for stored in objects:
                self._delete_file(Path(self._catalog.home.local_path(stored.path)))
            self._index.sync()

    def _store(self, files: Sequence[Path], study: str | None, label_state: LabelState | None) -> list[Outcome]:
        arrivals = read_arrivals(files, study, label_state)
        group = _Group([arrival for arrival in arrivals if arrival.outcome.failure is None])
        if group.arrivals:
            sync_to_disk(arrival.file for arrival in group.arrivals)
            self._waiting.append(group)
            with self._turn:
                if not group.is_done:
                    self._commit_waiting()
            if group.error:
                raise group.error
        return [arrival.outcome for arrival in arrivals]

    def _commit_waiting(self) -> None:
        groups: list[_Group] = []
        try:
            with self._incoming.locked():
                groups = self._take_waiting()
                self._commit([arrival for group in groups for arrival in group.arrivals])
        except Exception as error:
            self._table = None  # it may have been replaced by another one: opened anew next time
            groups = groups or self._take_waiting()
            for group in groups:
                group.error = error
        for group in groups:
            group.is_done = True

    def _take_waiting(self) -> list[_Group]:
        return [self._waiting.popleft() for _ in range(len(self._waiting))]

    def _commit(self, arrivals: Iterable[Arrival]) -> None:
        self._index.sync()
        new = self._new(arrivals)
        if new:
            if self._table is None:
                self._table = ObjectTable.create_if_missing(self._catalog.location())
            self._place_and_save(new, self._table)
            self._index.sync()
            optimize_if_due(self._table)

    def _new(self, arrivals: Iterable[Arrival]) -> list[Arrival]:
        """Return what is to be stored; what is known already is marked as known, or refused."""
        new: dict[str, Arrival] = {}
        for arrival in arrivals:
            sop = arrival.outcome.SOPInstanceUID
            assert sop is not None
            if sop in new:
                address: str | None = str(new[sop].file)
            else:  # an object counts even if who stores may not see it
                known = self._index.find(sop, EVERYTHING)
                address = known.local_path if known else None
            try:
                same = None if address is None else _is_same(arrival.file, address)
            except ObjectNotFoundError:  # it is gone, which its row does not know yet
                same = None
            except StorageError:
                arrival.outcome.failure = Failure.UNCERTAIN
                continue
            if same is None:
                new[sop] = arrival
            elif same:
                arrival.outcome.is_known = True
            else:
                arrival.outcome.failure = Failure.DUPLICATE
        return list(new.values())

    def _place_and_save(self, arrivals: Sequence[Arrival], table: ObjectTable) -> None:
        placed: list[Path] = []
        try:
            touched: set[Path] = set()
            for arrival in arrivals:
                target = self._root / arrival.place
                touched |= _make_folder(target.parent)
                # A file that is in the way has no row: it is what a crash left there.
                arrival.file.replace(target)
                placed.append(target)
            sync_to_disk(touched)
            table.save(self._rows(arrivals))
        except BaseException as error:
            for target in placed:
                target.unlink(missing_ok=True)
            if isinstance(error, OSError) and not isinstance(error, StorageError):
                raise StorageError(str(self._root), error.strerror or str(error), "Check the volume's disk.") from error
            raise

    def _rows(self, arrivals: Sequence[Arrival]) -> pa.Table:
        """Make the rows that an ingest of the placed files would make."""
        paths = [f"{self._volume}/{arrival.place}" for arrival in arrivals]
        status = [stat_object(self._catalog.home.local_path(path)) for path in paths]
        found = [
            {"path": path, "modificationTime": changed, "length": length, "is_anon": False}
            for path, (_, changed, length) in zip(paths, status, strict=True)
        ]
        listed = listed_batch(pa.RecordBatch.from_pylist(found, LISTING_SCHEMA), self._volume, self._catalog.home)
        tagged = TagExtractor().transform_batch(listed)
        headers = pa.concat_batches([arrival.header for arrival in arrivals])
        columns = dict(zip(headers.schema.names, headers.columns, strict=True))
        for name in ("local_path", "length"):  # as they were while the files were received
            del columns[name]
        columns["label_state"] = pa.array([arrival.label_state for arrival in arrivals], pa.string())
        columns["model"] = pa.array([arrival.model.name for arrival in arrivals], pa.string())
        columns["model_version"] = pa.array([arrival.model.version for arrival in arrivals], pa.string())
        fields = [pa.field(name, column.type) for name, column in columns.items()]
        return pa.Table.from_batches([merge_columns(tagged, columns, merge_fields(tagged.schema, fields))])

    def _delete_file(self, file: Path) -> None:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(str(file), error.strerror or str(error), "Delete it by hand.") from error
        with suppress(OSError):  # of folders that hold more
            for folder in (file.parent, file.parent.parent):
                folder.rmdir()


def _is_same(file: Path, address: str) -> bool:
    with open_object(address) as known, open_object(str(file)) as given:
        return same_data_set(given, known)


def _make_folder(folder: Path) -> set[Path]:
    """Make a folder and return all whose entries change when a file is put into it."""
    touched = {folder}
    above = folder
    while not above.exists():
        above = above.parent
        touched.add(above)
    folder.mkdir(parents=True, exist_ok=True)
    return touched
