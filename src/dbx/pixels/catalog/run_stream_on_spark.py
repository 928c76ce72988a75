"""Running streams on Spark: Structured Streaming asks the source, and each batch is one commit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pyspark.errors import PySparkException

from dbx.pixels.catalog.checkpoint import Checkpoint, identity
from dbx.pixels.catalog.chunks import Tally
from dbx.pixels.catalog.discovery import OpenArchives
from dbx.pixels.catalog.engines import Address, Table
from dbx.pixels.catalog.streaming import Stream, plan
from dbx.pixels.engine.spark.failures import telling
from dbx.pixels.table.named import NamedTable
from dbx.pixels.table.objects import ObjectTable, StreamTransaction
from dbx.pixels.table.upkeep import optimize_if_due

#: Spark gives the Python of a source, or of what takes batches, ten seconds to start: too few where cores are busy.
_ATTEMPTS = 6
_TOO_SLOW = "Python worker failed to connect back"


@dataclass(frozen=True)
class _SaveBatch:
    """What Spark calls with each batch, perhaps again after a crash, and where its driver runs."""

    table: Address
    application_id: str
    tallies: Path
    save: Callable[[Any, Table, Tally, StreamTransaction], None]

    def __call__(self, df: Any, number: int) -> None:
        table: Table = (
            ObjectTable.open(self.table) if isinstance(self.table, str) else NamedTable(df.sparkSession, self.table)
        )
        done = table.transaction_version(self.application_id)
        if done is not None and done >= number:
            return
        tally = Tally()
        self.save(df, table, tally, StreamTransaction(self.application_id, number))
        self.tallies.mkdir(exist_ok=True)
        (self.tallies / str(number)).write_text(json.dumps(asdict(tally)))  # volumes let nobody append
        if isinstance(table, ObjectTable):
            optimize_if_due(table)


def run_stream(
    df: Any,
    stream: Stream,
    table: Table,
    save: Callable[[Any, Table, Tally, StreamTransaction], None],
    open_archives: OpenArchives,
) -> Tally:
    """Save a stream's batches until it ends, or for as long as nobody interrupts it.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
        What was made of the frame of the stream's objects.
    stream : Stream
        The stream that it came from.
    table : ObjectTable or NamedTable
        Where to save.
    save : callable
        Saves one batch: a DataFrame, the table, a tally to add to, and the transaction that it is.
    open_archives : callable
        Opens the archives of a stream that ends. Those of one that looks again are opened by the process that looks.

    Returns
    -------
    Tally
        What the rows held.

    Raises
    ------
    StorageError
        If another process runs the same stream, or a root does not exist.
    EngineError
        If Spark fails.
    """
    checkpoint = stream.checkpoint(str(table.address))
    spark_checkpoint = checkpoint.folder / "spark"
    tallies = checkpoint.folder / "tallies"
    with checkpoint.exclusive(), telling():
        if stream.interval is None and not stream.cloud_files:
            table.refresh()
            plan(stream, checkpoint, table, open_archives)
            if not checkpoint.unsaved():
                return Tally()  # at once: Spark takes seconds to find that there is nothing to do
        shutil.rmtree(tallies, ignore_errors=True)
        batches = _SaveBatch(table.address, identity(spark_checkpoint), tallies, save)
        writer = df.writeStream.foreachBatch(batches).option("checkpointLocation", _for_java(spark_checkpoint))
        if stream.interval is None:
            writer = writer.trigger(availableNow=True)
        else:
            writer = writer.trigger(processingTime=f"{stream.interval * 1000:.0f} milliseconds")
        query = _run(writer)
        if not stream.cloud_files:
            _mark_saved(query, checkpoint)
        table.refresh()
        of_batches = [Tally(**json.loads(file.read_text())) for file in tallies.glob("*")]
    tally = Tally()
    for of_batch in of_batches:
        tally.add_tally(of_batch)
    return tally


def _for_java(folder: Path) -> str:
    """Spell a folder for Spark's Java, to which a volume is no local folder."""
    return str(folder) if folder.is_relative_to("/Volumes") else f"file://{folder}"


def _run(writer: Any) -> Any:
    """Run a query to its end and return it; one whose Python did not start in time begins again."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return _ended(writer.start())
        except PySparkException as error:
            if _TOO_SLOW not in str(error):
                raise
    return _ended(writer.start())


def _ended(query: Any) -> Any:
    """Wait until a query ends, or end it when somebody interrupts."""
    try:
        query.awaitTermination()
    except KeyboardInterrupt:
        query.stop()
    return query


def _mark_saved(query: Any, checkpoint: Checkpoint) -> None:
    """Remember the last batches, of which Spark tells the source only when it goes on."""
    progress = query.lastProgress
    for source in progress["sources"] if progress else ():
        end = source["endOffset"]
        end = json.loads(end) if isinstance(end, str) else end
        if end:
            checkpoint.mark_all_saved(end["plan"])
