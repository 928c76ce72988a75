"""Saving frames: chunk by chunk, one chunk written while the next is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pyarrow as pa

from dbx.pixels.catalog.chunks import chunks
from dbx.pixels.engine.frame import Frame
from dbx.pixels.table.objects import ObjectTable, StreamTransaction


def save_frame(
    frame: Frame,
    table: ObjectTable,
    on_chunk: Callable[[pa.Table], None],
    transaction: StreamTransaction | None = None,
) -> None:
    """Compute a frame and save its rows to the table.

    Parameters
    ----------
    frame : Frame
        With a column `path`. Columns of the table that it lacks are null; those that it has more are added.
    table : ObjectTable
        Where to save.
    on_chunk : callable
        Shown each chunk before it is saved.
    transaction : StreamTransaction, optional
        What the last commit carries.

    Raises
    ------
    ArgumentError
        If the frame has no `path`.
    TableError
        If a column's type differs from the table's, or the table cannot be written.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="pixels-save") as writer:
        saving: Future | None = None
        for chunk, is_last in _with_last(chunks(frame.batches(), frame.schema)):
            on_chunk(chunk)
            if saving:
                saving.result()
            saving = writer.submit(table.save, chunk, transaction=transaction if is_last else None)
        if saving:
            saving.result()


def _with_last(tables: Iterable[pa.Table]) -> Iterator[tuple[pa.Table, bool]]:
    """Yield each table with whether it is the last one."""
    remaining = iter(tables)
    table = next(remaining, None)
    while table is not None:
        following = next(remaining, None)
        yield table, following is None
        table = following
