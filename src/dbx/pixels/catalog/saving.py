"""Saving frames: chunk by chunk, one chunk written while the next is computed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pyarrow as pa

from dbx.pixels.catalog.chunks import chunks
from dbx.pixels.engine.frame import Frame
from dbx.pixels.table.objects import ObjectTable


def save_frame(frame: Frame, table: ObjectTable, on_chunk: Callable[[pa.Table], None]) -> None:
    """Compute a frame and save its rows to the table, in as many commits as keep memory flat.

    Parameters
    ----------
    frame : Frame
        With a column `path`. Columns of the table that it lacks are null; those that it has more are added.
    table : ObjectTable
        Where to save.
    on_chunk : callable
        Shown each chunk before it is saved.

    Raises
    ------
    ArgumentError
        If the frame has no `path`.
    TableError
        If a column's type differs from the table's, or the table cannot be written.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="pixels-save") as writer:
        saving: Future | None = None
        for chunk in chunks(frame.batches(), frame.schema):
            on_chunk(chunk)
            if saving:
                saving.result()
            saving = writer.submit(table.save, chunk)
        if saving:
            saving.result()
