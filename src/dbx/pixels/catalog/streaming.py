"""Streams: frames that grow, saved in micro-batches, each object exactly once across restarts."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from dbx.pixels.catalog.archives import open_archives
from dbx.pixels.catalog.checkpoint import Checkpoint
from dbx.pixels.catalog.chunks import Tally
from dbx.pixels.catalog.discovery import Discovery, OpenArchives
from dbx.pixels.catalog.known import Knowing, Known
from dbx.pixels.catalog.objects import LISTED_SCHEMA, object_frame
from dbx.pixels.catalog.selection import Selection
from dbx.pixels.engine.frame import Frame, Operation
from dbx.pixels.errors import ArgumentError
from dbx.pixels.storage import Home
from dbx.pixels.table.objects import ObjectTable, StreamTransaction
from dbx.pixels.table.upkeep import optimize_if_due

_UNITS = {"millisecond": 0.001, "second": 1, "minute": 60, "hour": 3600}


@dataclass(frozen=True)
class Stream:
    """Where a stream comes from and when it looks again.

    Attributes
    ----------
    selection : Selection
        Where to look and for what.
    home : Home
        Resolves volume paths.
    checkpoints : pathlib.Path
        Folder of checkpoints; each stream into each table has its own in it.
    max_files : int
        Objects in a micro-batch at most; their rows are held in memory.
    interval : float or None
        Seconds between two looks; with None the stream ends when all that was there is saved.
    cloud_files : bool
        Whether Databricks finds the objects.
    """

    selection: Selection
    home: Home
    checkpoints: Path
    max_files: int
    interval: float | None
    cloud_files: bool = False

    def checkpoint(self, table: str) -> Checkpoint:
        """Open the checkpoint of this stream into a table, given by its name or location."""
        of_roots = hashlib.sha256("\n".join(self.selection.roots).encode()).hexdigest()[:12]
        return Checkpoint(self.checkpoints / re.sub(r"[^\w.-]+", "_", table).strip("_") / of_roots)


class StreamingFrame(Frame):
    """A frame whose rows are never all there: transform it, then `Catalog.save` runs it.

    Parameters
    ----------
    schema : pyarrow.Schema
        Schema of the rows after all operations.
    stream : Stream
        Where rows of `LISTED_SCHEMA` come from.
    operations : tuple of callable
        What happens to the batches of each micro-batch, in order.
    """

    isStreaming = True

    def __init__(self, schema: pa.Schema, stream: Stream, operations: tuple[Operation, ...] = ()) -> None:
        super().__init__(schema, self._refuse, operations)
        self.stream = stream

    def _of(self, schema: pa.Schema, operations: tuple[Operation, ...]) -> StreamingFrame:
        return StreamingFrame(schema, self.stream, operations)

    def of(self, listed: pa.Table) -> Frame:
        """Return the ordinary frame that the operations make of one micro-batch."""
        return object_frame(listed.to_batches)._of(self.schema, self._operations)

    @staticmethod
    def _refuse() -> Iterator[pa.RecordBatch]:
        raise ArgumentError(
            "streaming frame", "cannot be read like a table", "Give it to catalog.save(), which runs it."
        )


def run_stream(frame: StreamingFrame, table: ObjectTable) -> Tally:
    """Save a stream's micro-batches until it ends, or for as long as nobody interrupts it.

    What the table or the checkpoint knows is not read again. A batch that was planned and, as far as the checkpoint
    knows, not saved is looked up in the table's transactions, and saved if it is not there.

    Parameters
    ----------
    frame : StreamingFrame
        The stream with its operations.
    table : ObjectTable
        Where to save.

    Returns
    -------
    Tally
        What the rows held.

    Raises
    ------
    StorageError
        If another process runs the same stream, or a root does not exist.
    TableError
        If the table cannot be written.
    """
    stream = frame.stream
    checkpoint = stream.checkpoint(table.location)
    tally = Tally()

    def save(number: int, listed: pa.Table) -> None:
        if (table.transaction_version(checkpoint.id) or 0) < number:
            rows = frame.of(listed).to_arrow()
            tally.add(rows)
            table.save(rows, transaction=StreamTransaction(checkpoint.id, number))
        checkpoint.mark_saved(number)
        optimize_if_due(table)

    with checkpoint.exclusive():
        while True:
            for number in checkpoint.unsaved():
                save(number, checkpoint.objects(number))
            for number, listed in plan_batches(stream, checkpoint, ObjectTable.find(table.location)):
                save(number, listed)
            if stream.interval is None:
                return tally
            try:
                time.sleep(stream.interval)
            except KeyboardInterrupt:
                return tally


def plan(
    stream: Stream, checkpoint: Checkpoint, table: Knowing | None, open_archives: OpenArchives = open_archives
) -> None:
    """Plan all batches that there are, as `plan_batches`."""
    for _ in plan_batches(stream, checkpoint, table, open_archives):
        pass


def plan_batches(
    stream: Stream, checkpoint: Checkpoint, table: Knowing | None, open_archives: OpenArchives = open_archives
) -> Iterator[tuple[int, pa.Table]]:
    """Look for objects that neither the table nor the checkpoint knows, and plan the batches that they make.

    Parameters
    ----------
    stream : Stream
        Where to look.
    checkpoint : Checkpoint
        The stream's.
    table : Knowing or None
        Where the stream goes, if it is there.
    open_archives : callable
        Does what `dbx.pixels.catalog.archives.open_archives` does, here or elsewhere.

    Yields
    ------
    number : int
        The plan's.
    rows : pyarrow.Table
        Its objects, of `LISTED_SCHEMA`.
    """
    known = Known.under(stream.selection.roots, table)
    discovery = Discovery(stream.selection, stream.home, known, open_archives)
    wanted = _unplanned(discovery.batches(), Known(checkpoint.planned()), known)
    for listed in _micro_batches(wanted, stream.max_files):
        yield checkpoint.plan(listed), listed


def seconds(interval: str) -> float:
    """Read an interval as Spark writes it: ``"10 seconds"``, ``"1 minute"``.

    Raises
    ------
    ArgumentError
        If it is none.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+?)s?\s*", interval.lower())
    if not match or match[2] not in _UNITS:
        raise ArgumentError("triggerProcessingTime", f"{interval!r} is no interval", "Write for example '10 seconds'.")
    return float(match[1]) * _UNITS[match[2]]


def _unplanned(batches: Iterator[pa.RecordBatch], planned: Known, known: Known) -> Iterator[pa.RecordBatch]:
    """Leave out what was planned before, unless it is in the table and could not be read until now."""
    for batch in batches:
        new, changed, _ = planned.compare(batch)
        _, _, unreadable = known.compare(batch)
        yield batch.filter(pa.array(new | changed | unreadable))


def _micro_batches(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    gathered = LISTED_SCHEMA.empty_table()
    for batch in batches:
        gathered = pa.concat_tables([gathered, pa.Table.from_batches([batch])])
        while gathered.num_rows >= rows:
            yield gathered.slice(0, rows)
            gathered = gathered.slice(rows)
    if gathered.num_rows:
        yield gathered
