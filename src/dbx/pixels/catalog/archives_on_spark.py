"""Zip archives on Spark: executors list and extract them, a big one in many tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from dbx.pixels.catalog.archives import extracted_batch, member_batches, rows_of
from dbx.pixels.catalog.objects import LISTED_SCHEMA
from dbx.pixels.catalog.selection import Archives, Selection, outermost
from dbx.pixels.engine.spark.failures import telling
from dbx.pixels.engine.spark.frame import SparkFrame, packed, received, spread, unpacked
from dbx.pixels.errors import ArchiveError, StorageError
from dbx.pixels.storage import Home

#: Archives that are opened in one go, at most: the driver holds what is known of their members.
_GROUP_ARCHIVES = 1024
_GROUP_BYTES = 64 << 30

#: What a task tells of an archive: some of its members, or what went wrong after all of them were told.
_TOLD = pa.schema(
    [
        pa.field("archive", pa.string()),
        pa.field("members", pa.binary()),
        pa.field("problem", pa.string()),
        pa.field("is_damaged", pa.bool_()),
    ]
)


def open_archives(
    session: Any, tasks: Callable[[], int], archives: Sequence[dict], selection: Selection, home: Home
) -> Iterator[tuple[dict, Iterator[pa.RecordBatch]]]:
    """Do what `dbx.pixels.catalog.archives.open_archives` does, on executors, in so many tasks as there then are."""
    for group in _groups(archives):
        listed = spread(session, pa.Table.from_pylist(group, LISTED_SCHEMA), tasks=tasks(), least_rows=1)
        told: dict[str, _Members] = {archive["path"]: _Members() for archive in group}
        with telling():
            for row in SparkFrame.of(listed).map_task(_Listing(selection), _TOLD).collect():
                told[row.archive].add(row)
            if selection.archives is Archives.EXTRACT:
                _extract(session, tasks(), told, selection, home)
        for archive in group:
            yield archive, told[archive["path"]].batches()


@dataclass(frozen=True)
class _Listing:
    """What executors do with archives: the operation from their rows to what is told of them."""

    selection: Selection

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for archive in rows_of(batch):
                for told in self._told(archive):
                    yield pa.RecordBatch.from_pylist([{"archive": archive["path"], **told}], schema=_TOLD)

    def _told(self, archive: dict) -> Iterator[dict]:
        try:
            for batch in member_batches(archive, self.selection):
                yield {"members": packed(pa.Table.from_batches([batch]))}
        except StorageError as error:
            yield {"problem": error.problem, "is_damaged": isinstance(error, ArchiveError)}


class _Members:
    """The members of one archive, as far as it could be read."""

    def __init__(self) -> None:
        self.rows = LISTED_SCHEMA.empty_table()
        self._failure: type[StorageError] | None = None
        self._problem = ""

    def add(self, row: Any) -> None:
        if row.members is None:
            self._failure, self._problem = ArchiveError if row.is_damaged else StorageError, row.problem
        else:
            self.rows = pa.concat_tables([self.rows, unpacked(row.members).read_all()])

    def batches(self) -> Iterator[pa.RecordBatch]:
        yield from self.rows.to_batches()
        if self._failure:
            raise self._failure("", self._problem)


def _extract(session: Any, tasks: int, told: dict[str, _Members], selection: Selection, home: Home) -> None:
    """Extract all members, and put where they are now in place of where they were."""
    rows = pa.concat_tables(members.rows for members in told.values())
    df = SparkFrame.of(spread(session, rows, tasks=tasks, least_rows=1)).map_batches(
        partial(extracted_batch, selection=selection, home=home), LISTED_SCHEMA
    )
    extracted = pa.Table.from_batches(received(df, LISTED_SCHEMA), LISTED_SCHEMA)
    places: dict[str, list[int]] = {path: [] for path in told}
    for place, original in enumerate(extracted["original_path"].to_pylist()):
        places[outermost(original)].append(place)
    for path, members in told.items():
        members.rows = extracted.take(pa.array(places[path], pa.int64()))


def _groups(archives: Sequence[dict]) -> Iterator[list[dict]]:
    group: list[dict] = []
    for archive in archives:
        group.append(archive)
        if len(group) == _GROUP_ARCHIVES or sum(other["length"] or 0 for other in group) >= _GROUP_BYTES:
            yield group
            group = []
    if group:
        yield group
