"""Listing what lies under a root, as a stream of Arrow batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import pyarrow as pa

from dbx.pixels.errors import ArgumentError
from dbx.pixels.storage import cloud_listing, local
from dbx.pixels.storage.home import Home
from dbx.pixels.storage.paths import canonical, is_zip_address, printable, scheme_of

#: What a listing knows of an object.
LISTING_SCHEMA = pa.schema(
    [
        pa.field("path", pa.string()),
        pa.field("modificationTime", pa.timestamp("us", tz="UTC")),
        pa.field("length", pa.int64()),
        pa.field("is_anon", pa.bool_()),
    ]
)
#: Lists objects while it is iterated, and reports what it could not look at, and folders with nothing in them.
Walk = Callable[[local.Report, local.ReportEmpty], Iterator[local.Object]]

#: Rows of the first batch, so that reading can begin, and of the largest; each batch has twice the rows of the last.
FIRST_ROWS, MOST_ROWS = 256, 16_384


class Problem(NamedTuple):
    """Something that a listing could not look at."""

    path: str
    message: str


class Listing:
    """What lies under one root, listed anew each time it is iterated.

    Attributes
    ----------
    root : str
        Canonical address of the root; the paths of the rows begin with it.
    local_root : str
        Where this machine finds the root: another place only for a volume in the home folder.
    problems : list of Problem
        What the last iteration could not look at, in the order in which it was met.
    empty_folders : dict
        Folders in which there was nothing, with when their last entry left them, in microseconds since 1970.
    complete : bool
        True once an iteration ended without missing anything that may be in a table. Only then does an object that was
        not listed no longer exist.
    """

    def __init__(
        self,
        root: str,
        local_root: str,
        is_anon: bool,
        walk: Walk,
    ) -> None:
        self.root = root
        self.local_root = local_root
        self.problems: list[Problem] = []
        self.empty_folders: dict[str, int] = {}
        self.complete = False
        self._is_anon = is_anon
        self._walk = walk

    def batches(self) -> Iterator[pa.RecordBatch]:
        """List the root once; the batches have `LISTING_SCHEMA` and are in a fixed order."""
        self.problems.clear()
        self.empty_folders.clear()
        self.complete = False
        missed: list[Problem] = []

        def report(path: str, message: str) -> None:
            problem = Problem(self._public(printable(path)), message)
            missed.append(problem)
            self.problems.append(problem)

        def report_empty(path: str, since: int) -> None:
            self.empty_folders[self._public(printable(path))] = since

        objects = self._walk(report, report_empty)
        rows = FIRST_ROWS
        while True:
            # Three lists filled in a loop are several times cheaper than a list of tuples turned by zip.
            paths: list[str] = []
            times: list[int] = []
            lengths: list[int] = []
            for path, time, length in islice(objects, rows):
                paths.append(path)
                times.append(time)
                lengths.append(length)
            if not paths:
                break
            yield self._to_batch(paths, times, lengths)
            rows = min(2 * rows, MOST_ROWS)
        self.complete = not missed

    def _public(self, path: str) -> str:
        return self.root + path[len(self.local_root) :] if self.local_root != self.root else path

    def _to_batch(self, paths: list[str], times: list[int], lengths: list[int]) -> pa.RecordBatch:
        if self.local_root != self.root:
            paths = [self._public(path) for path in paths]
        try:
            path_array = pa.array(paths, pa.string())
        except UnicodeEncodeError:
            path_array = pa.array(map(self._speakable, paths), pa.string())
        arrays = [
            path_array,
            pa.array(times, pa.int64()).cast(LISTING_SCHEMA.field("modificationTime").type),
            pa.array(lengths, pa.int64()),
            pa.repeat(pa.scalar(self._is_anon), len(paths)),
        ]
        batch = pa.RecordBatch.from_arrays(arrays, schema=LISTING_SCHEMA)
        return batch.filter(path_array.is_valid()) if path_array.null_count else batch

    def _speakable(self, path: str) -> str | None:
        """Return a path that a table can hold, else report it: not being in any table, it cannot vanish from one."""
        text = printable(path)
        if text == path:
            return path
        self.problems.append(Problem(text, "has a name that is not UTF-8; rename it to take it in"))
        return None


def list_objects(root: str, home: Home, *, recurse: bool = True) -> Listing:
    """Prepare listing what lies under a folder or a bucket's prefix, or one object.

    Parameters
    ----------
    root : str
        Address of a folder, a prefix, or a single object.
    home : Home
        Where volumes lie; what else is in it, such as tables and models, is not listed.
    recurse : bool
        Whether to go into folders.

    Returns
    -------
    Listing
        Nothing has been listed yet.

    Raises
    ------
    ObjectNotFoundError
        If there is nothing at `root`: a typing error, or a disk that is not mounted.
    StorageError
        If the root cannot be looked at.
    """
    root = canonical(root)
    if is_zip_address(root):
        raise ArgumentError(root, "is inside an archive and cannot be listed", "Give the archive itself.")
    if scheme_of(root):
        is_anon, list_store = cloud_listing.lister(root, recurse=recurse)
        return Listing(root, root, is_anon, lambda report, _: list_store(report))
    local_root = home.local_path(root)
    return Listing(root, local_root, False, _local_lister(local_root, home, recurse=recurse))


def _local_lister(root: str, home: Home, *, recurse: bool) -> Walk:
    if not local.is_folder(root):
        return lambda report, _: local.one_file(root, report)
    own_folders = (home.tables, home.models, home.index, home.mlflow, home.ai)
    return lambda report, report_empty: local.walk(root, report, report_empty, recurse=recurse, leave_out=own_folders)
