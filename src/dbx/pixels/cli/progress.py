"""The progress bar of an ingest: files per second and time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from dbx.pixels.catalog import Catalog
from dbx.pixels.catalog.selection import Archives, Selection
from dbx.pixels.errors import StorageError
from dbx.pixels.storage import list_objects
from dbx.pixels.storage.paths import is_remote, relative_path


class _FilesPerSecond(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:,.0f} files/s", style="progress.data.speed")


@contextmanager
def ingest_progress(catalog: Catalog, selection: Selection, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on standard error and give the function that advances it.

    How many files there are is counted beside the ingest, so that it need not wait for the number; see `count`.
    """
    if not shown:
        yield lambda _: None
        return
    columns = (TextColumn("ingest"), BarColumn(), MofNCompleteColumn(), _FilesPerSecond(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("ingest", total=None)
        stop = Event()
        counter = Thread(
            target=lambda: progress.update(task, total=count(catalog, selection, stop)), name="count", daemon=True
        )
        counter.start()
        try:
            yield lambda objects: progress.advance(task, objects)
        finally:
            stop.set()
            counter.join()


def count(catalog: Catalog, selection: Selection, stop: Event) -> int | None:
    """Count the files that an ingest of the selection is going to tell of.

    Returns
    -------
    int or None
        None where counting would cost as much as the ingest, in a store or in archives that are looked into, and where
        it fails.
    """
    if any(map(is_remote, selection.roots)):
        return None
    total = 0
    try:
        for root in selection.roots:
            listing = list_objects(root, catalog.home, recurse=selection.recurse)
            for batch in listing.batches():
                paths = batch["path"].to_pylist()
                plain = [path for path in paths if not path.lower().endswith(".zip")]
                if len(plain) < len(paths) and selection.archives is not Archives.SKIP:
                    return None
                total += sum(selection.wants(relative_path(path, root)) for path in plain)
                if stop.is_set():
                    return total
            total += len(listing.problems)
    except StorageError:
        return None  # the ingest itself meets the same error, and tells it
    return total
