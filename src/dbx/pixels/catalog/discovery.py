"""Discovery: which objects are new, changed or gone, compared with what the table knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbx.pixels.catalog.archives import extraction_folder, member_batches
from dbx.pixels.catalog.known import Known
from dbx.pixels.catalog.objects import LISTED_SCHEMA, ZIP, listed_batch, problem_batch
from dbx.pixels.catalog.selection import Archives, Selection
from dbx.pixels.errors import StorageError
from dbx.pixels.storage import Home, list_objects, open_object
from dbx.pixels.storage.paths import relative_path


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

    Attributes
    ----------
    counts : Counts
        Grows while `batches` is consumed.

    Raises
    ------
    ObjectNotFoundError
        If a root does not exist.
    """

    def __init__(self, selection: Selection, home: Home, known: Known) -> None:
        self.counts = Counts()
        self._selection = selection
        self._home = home
        self._known = known
        self._listings = [list_objects(root, home, recurse=selection.recurse) for root in selection.roots]
        self._listed_whole: list[str] = []

    def batches(self) -> Iterator[pa.RecordBatch]:
        """List the roots and yield the new and changed objects as rows of `LISTED_SCHEMA`."""
        for listing in self._listings:
            listed_before = self.counts.listed
            for batch in listing.batches():
                yield from self._compare_listed(batch, listing.root)
            if listing.problems:
                yield from self._compare(problem_batch(listing.problems, listing.root))
            # An unmounted disk leaves an empty folder behind: a root with nothing in it does not say what is gone.
            if listing.complete and self.counts.listed > listed_before:
                self._listed_whole.append(listing.root)

    def vanished(self) -> list[str]:
        """Return the known paths that are gone, once `batches` has been consumed.

        Only what this selection would have met, in roots whose listing found anything and ended without a problem.
        """
        return [path for path in self._known.unmet() if self._lies_in(path, self._listed_whole)]

    def kept(self) -> int:
        """Count the known paths that were not met and cannot be said to be gone, once `batches` has been consumed."""
        in_doubt = [root for root in self._selection.roots if root not in self._listed_whole]
        return sum(self._lies_in(path, in_doubt) for path in self._known.unmet())

    def _lies_in(self, path: str, roots: Iterable[str]) -> bool:
        return any(self._selection.would_list(path, root) for root in roots)

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
            batch.schema.get_field_index("file_type"), LISTED_SCHEMA.field("file_type"), pa.repeat(ZIP, batch.num_rows)
        )
        new, changed = self._new_or_changed(batch)
        rows = batch.to_pylist()
        done = [row["path"] for row, read in zip(rows, new | changed, strict=True) if not read and self._is_done(row)]
        known_inside = self._known.meet_members(done)
        self.counts.listed += len(done) + known_inside
        self.counts.unchanged += len(done) + known_inside
        for row, is_new in zip(rows, new, strict=True):
            if row["path"] not in done:
                yield from self._open_archive(row)
                self.counts.listed += 1
                self.counts.new += int(is_new)
                self.counts.changed += int(not is_new)

    def _open_archive(self, archive: dict) -> Iterator[pa.RecordBatch]:
        """Yield what is to be read in an archive, then the archive's own row: it says that all of it was listed."""
        try:
            for batch in member_batches(archive, self._selection, self._home):
                yield from self._compare(batch)
        except StorageError as error:
            self._known.meet_members([archive["path"]])
            archive["error"] = str(error)
        yield pa.RecordBatch.from_pylist([archive], schema=LISTED_SCHEMA)

    def _is_done(self, archive: dict) -> bool:
        """Tell whether a known archive was taken in the way that is asked for now."""
        if self._selection.archives is Archives.IN_PLACE:
            return True
        return Path(self._home.local_path(extraction_folder(archive["path"], self._selection))).exists()


def _is_readable(address: str) -> bool:
    try:
        with open_object(address) as reader:
            reader.read(0, 1)
    except StorageError:
        return False
    return True
