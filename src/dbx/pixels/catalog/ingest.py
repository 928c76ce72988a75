"""The one door by which folders, buckets and archives enter the table."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from dbx.pixels.catalog.catalog import Catalog
from dbx.pixels.catalog.chunks import Tally
from dbx.pixels.catalog.discovery import Counts, Discovery
from dbx.pixels.catalog.filling import lacking
from dbx.pixels.catalog.known import Known
from dbx.pixels.catalog.objects import LISTED_SCHEMA
from dbx.pixels.catalog.selection import Selection
from dbx.pixels.dicom.transformers import DicomMetaExtractor, DicomThumbnailExtractor, TagExtractor
from dbx.pixels.table.objects import ObjectTable
from dbx.pixels.table.upkeep import optimize_if_due


@dataclass(frozen=True)
class Summary:
    """What an ingest did.

    Attributes
    ----------
    listed : int
        Objects seen.
    new, changed, removed, unchanged : int
        Of these, and of what the table knew, by comparison.
    indexed : int
        DICOM rows written.
    other : int
        Objects that are no DICOM, catalogued with their `file_type`.
    failed : int
        Rows with an `error`.
    issues : int
        What `pixels issues` shows for the rows written.
    seconds : float
        From the start to the last commit.
    table_version : int or None
        The table's version after it; None where only Spark knows it.
    archives_skipped : int
        Zip archives that were not looked into.
    kept : int
        Rows of objects that were not met and were kept, because their root was found empty or not listed to its end.
    """

    listed: int
    new: int
    changed: int
    removed: int
    unchanged: int
    indexed: int
    other: int
    failed: int
    issues: int
    seconds: float
    table_version: int | None
    archives_skipped: int
    kept: int


def ingest(
    catalog: Catalog,
    selection: Selection,
    *,
    thumbnails: bool = False,
    deep: bool = False,
    on_progress: Callable[[int], None] = lambda _: None,
    started: float | None = None,
) -> Summary:
    """Bring the catalog's table up to date with what lies under the selected roots.

    New and changed objects are read. Of known ones, only those are read again that lack what is asked for.

    Parameters
    ----------
    catalog : Catalog
        Whose table is written.
    selection : Selection
        Where to look and for what.
    thumbnails : bool
        Whether to make thumbnails.
    deep : bool
        Whether to read objects to their ends, for pixel statistics and content hashes.
    on_progress : callable
        Told how many objects are done since it was told last.
    started : float, optional
        `time.perf_counter` at the start, if that was before this call.

    Returns
    -------
    Summary
        What was done.

    Raises
    ------
    StorageError
        If a root does not exist or cannot be opened.
    TableError
        If the table cannot be written.
    """
    started = time.perf_counter() if started is None else started
    known = Known.under(selection.roots, catalog.find_table())
    discovery = Discovery(selection, catalog.home, known, catalog.engine.open_archives)
    table = catalog.create_table()
    catalog.engine.check(table)

    def read(objects: Any) -> Any:
        frame = DicomMetaExtractor(catalog, deep=deep).transform(objects)
        return DicomThumbnailExtractor().transform(frame) if thumbnails else frame

    tally = Tally()
    progress = _Progress(discovery.counts, on_progress)
    catalog.engine.work(
        discovery.batches,
        LISTED_SCHEMA,
        lambda objects: read(TagExtractor().transform(objects)),
        table,
        tally,
        progress.done,
    )
    progress.done(0)
    if discovery.counts.unchanged and (thumbnails or deep):
        incomplete = lacking(table, selection, thumbnails=thumbnails, deep=deep)
        catalog.engine.work(incomplete.batches, incomplete.schema, read, table, tally, lambda _: None)
    vanished, kept = discovery.gone()
    removed = table.remove(vanished).removed if vanished.num_rows else 0
    ended = time.perf_counter()
    if isinstance(table, ObjectTable):
        optimize_if_due(table)
    return Summary(
        removed=removed,
        kept=kept,
        seconds=round(ended - started, 3),
        table_version=table.version,
        **asdict(discovery.counts),
        **asdict(tally),
    )


class _Progress:
    """Tells of the objects that are done, and of what was left out meanwhile because it is known."""

    def __init__(self, counts: Counts, on_progress: Callable[[int], None]) -> None:
        self._counts = counts
        self._on_progress = on_progress
        self._unchanged = 0

    def done(self, objects: int) -> None:
        unchanged = self._counts.unchanged
        self._on_progress(objects + unchanged - self._unchanged)
        self._unchanged = unchanged
