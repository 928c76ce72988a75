"""Discovery: which objects are new, changed or gone, compared with what the table knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbx.pixels.catalog.archives import open_archives, rows_of
from dbx.pixels.catalog.known import Known
from dbx.pixels.catalog.objects import LISTED_SCHEMA, listed_batch, problem_batch
from dbx.pixels.catalog.selection import Archives, Selection, is_below, outermost
from dbx.pixels.dicom.schema import ZIP_TYPE
from dbx.pixels.errors import ArchiveError, StorageError
from dbx.pixels.storage import Home, list_objects, open_object
from dbx.pixels.storage.paths import is_zip_address, relative_path

OpenArchives = Callable[[Sequence[dict], Selection, Home], Iterable[tuple[dict, Iterator[pa.RecordBatch]]]]


@dataclass
class Counts:
    """What a discovery has met so far.

    Attributes
    ----------
    listed : int
        Objects seen, members of archives among them.
    new, changed, unchanged : int
        What they are, compared with the table.
    archives_skipped : int
        Zip archives that were listed and not looked into.
    """

    listed: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    archives_skipped: int = 0


class Discovery:
    """One pass over the selected roots.

    Parameters
    ----------
    selection : Selection
        Where to look and for what.
    home : Home
        Resolves volume paths.
    known : Known
        What the table knows under these roots.
    open_archives : callable
        Does what `dbx.pixels.catalog.archives.open_archives` does, here or elsewhere.

    Attributes
    ----------
    counts : Counts
        Grows while `batches` is consumed.

    Raises
    ------
    ObjectNotFoundError
        If a root does not exist.
    """

    def __init__(
        self, selection: Selection, home: Home, known: Known, open_archives: OpenArchives = open_archives
    ) -> None:
        self.counts = Counts()
        self._selection = selection
        self._home = home
        self._known = known
        self._open = open_archives
        self._listings = [list_objects(root, home, recurse=selection.recurse) for root in selection.roots]
        self._in_doubt: list[str] = []  # roots and places below them of which the listing does not say what is gone
        self._empty_since: dict[str, int] = {}  # folders
        self._read_anew: set[str] = set()  # archives

    def batches(self) -> Iterator[pa.RecordBatch]:
        """List the roots and yield the new and changed objects as rows of `LISTED_SCHEMA`."""
        for listing in self._listings:
            listed_before = self.counts.listed
            for batch in listing.batches():
                yield from self._compare_listed(batch, listing.root)
            if listing.problems:
                yield from self._compare(problem_batch(listing.problems, listing.root))
            self._in_doubt += [problem.path for problem in listing.problems]
            self._empty_since |= listing.empty_folders
            # An unmounted disk leaves an empty folder behind: a root with nothing in it does not say what is gone.
            if self.counts.listed == listed_before:
                self._in_doubt.append(listing.root)

    def gone(self) -> tuple[pa.Table, int]:
        """Tell what is gone, once `batches` has been consumed.

        Returns
        -------
        vanished : pyarrow.Table
            Known objects that this selection would have met, and did not: rows of `KNOWN_SCHEMA`.
        kept : int
            How many more were not met but lie where the listing found nothing at all, or could not look.
        """
        unmet = self._known.unmet()
        vanished = np.zeros(unmet.num_rows, dtype=bool)
        kept = 0
        columns = (unmet["path"], unmet["original_path"], unmet["written"].cast(pa.int64()))
        rows = zip(*(column.to_pylist() for column in columns), strict=True)
        for row, (path, original, written) in enumerate(rows):
            if not self._would_have_met(path, original):
                continue
            if self._is_in_doubt(outermost(path), written):
                kept += 1
            else:
                vanished[row] = True
        return unmet.filter(pa.array(vanished)), kept

    def _is_in_doubt(self, path: str, written: int) -> bool:
        """Tell whether an object may be there all the same, although its place was listed without it."""
        if any(path == place or is_below(path, place) for place in self._in_doubt):
            return True
        # A folder is empty because its files were deleted, which changed it after they were catalogued, or because a
        # disk is not mounted there any more, which did not.
        folder = path
        while folder := folder.rpartition("/")[0]:
            if folder in self._empty_since:
                return self._empty_since[folder] < written
        return False

    def _would_have_met(self, path: str, original: str) -> bool:
        if any(self._selection.would_list(path, root) for root in self._selection.roots):
            return True
        # An extracted object outlives its archive, but not a new version of the archive that is without it.
        return outermost(original) in self._read_anew

    def _compare_listed(self, batch: pa.RecordBatch, root: str) -> Iterator[pa.RecordBatch]:
        is_archive = pc.ends_with(batch["path"], ".zip", ignore_case=True)
        plain = batch.filter(pc.invert(is_archive)) if pc.any(is_archive).as_py() else batch
        if self._selection.pattern is not None:
            wanted = [self._selection.wants(relative_path(path, root)) for path in plain["path"].to_pylist()]
            plain = plain.filter(pa.array(wanted, pa.bool_()))
        # Compared first and completed then: of most objects there is nothing to do.
        for unknown in self._compare(plain):
            yield listed_batch(unknown, root, self._home)
        if pc.any(is_archive).as_py():
            yield from self._compare_archives(listed_batch(batch.filter(is_archive), root, self._home))

    def _compare(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Count the objects of a batch and yield those that are to be read."""
        new, changed = self._new_or_changed(batch)
        self.counts.listed += batch.num_rows
        self.counts.new += int(new.sum())
        self.counts.changed += int(changed.sum())
        self.counts.unchanged += batch.num_rows - int((new | changed).sum())
        if new.all():
            yield batch
        elif (new | changed).any():
            yield batch.filter(pa.array(new | changed))

    def _new_or_changed(self, batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
        new, changed, unreadable = self._known.compare(batch)
        # Giving somebody read access does not touch a file's time: what could not be read is tried again.
        for row in np.flatnonzero(unreadable):
            changed[row] = _is_readable(self._home.local_path(batch["path"][row].as_py()))
        return new, changed

    def _compare_archives(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        if self._selection.archives is Archives.SKIP:
            self._known.compare(batch)
            self._known.meet_members(batch["path"].to_pylist())
            self.counts.listed += batch.num_rows
            self.counts.archives_skipped += batch.num_rows
            return
        batch = batch.set_column(
            batch.schema.get_field_index("file_type"),
            LISTED_SCHEMA.field("file_type"),
            pa.repeat(ZIP_TYPE, batch.num_rows),
        )
        new, changed = self._new_or_changed(batch)
        is_known = ~(new | changed)
        known_inside = self._known.members(batch["path"].filter(pa.array(is_known)).to_pylist())
        archives = dict(zip(batch["path"].to_pylist(), rows_of(batch), strict=True))
        known_paths = set(batch["path"].filter(pa.array(is_known)).to_pylist())
        done = {path for path in known_paths if self._is_done(known_inside.get(path, []))}
        wanted = [archive for path, archive in archives.items() if path not in done]
        for archive, batches in self._open(wanted, self._selection, self._home):
            yield from self._compare_members(archive, batches)
            if archive["path"] not in known_paths or archive["error"]:
                yield pa.RecordBatch.from_pylist([archive], schema=LISTED_SCHEMA)
        inside = self._known.meet_members(list(done))
        self.counts.listed += batch.num_rows + inside
        self.counts.new += int(new.sum())
        self.counts.changed += int(changed.sum())
        self.counts.unchanged += int(is_known.sum()) + inside

    def _compare_members(self, archive: dict, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield what is to be read in an archive; what was wrong with the archive itself goes into its row."""
        try:
            for batch in batches:
                yield from self._compare(batch)
            self._read_anew.add(archive["path"])
        except StorageError as error:
            self._known.meet_members([archive["path"]])
            archive["error"] = error.problem
            if not isinstance(error, ArchiveError):  # no fault of its own: it is tried again
                archive["file_type"] = None

    def _is_done(self, members: list[tuple[str, bool]]) -> bool:
        """Tell whether what is known of an archive's members is what opening it again would give."""
        if any(unreadable and _is_readable(self._home.local_path(path)) for path, unreadable in members):
            return False
        extracted = [path for path, _ in members if not is_zip_address(path)]
        if self._selection.archives is Archives.EXTRACT:
            return bool(extracted) and all(Path(self._home.local_path(path)).exists() for path in extracted)
        return len(extracted) < len(members) or not members


def _is_readable(address: str) -> bool:
    try:
        with open_object(address) as reader:
            return bool(reader.read(0, 1))
    except StorageError:
        return False
