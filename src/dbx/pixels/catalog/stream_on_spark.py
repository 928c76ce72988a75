"""Streams on Spark: our discovery is the source, Structured Streaming runs it, and each batch is one commit."""

from __future__ import annotations

import base64
import json
import pickle
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql.datasource import DataSource, DataSourceStreamReader, InputPartition
from pyspark.sql.streaming.datasource import SupportsTriggerAvailableNow

from dbx.pixels.catalog.checkpoint import Checkpoint, identity
from dbx.pixels.catalog.chunks import Tally
from dbx.pixels.catalog.engines import Address, Table
from dbx.pixels.catalog.objects import LISTED_SCHEMA
from dbx.pixels.catalog.streaming import Stream, plan_batches
from dbx.pixels.engine.spark.failures import telling
from dbx.pixels.engine.spark.frame import PARTS, parts_of, unpacked_parts
from dbx.pixels.engine.spark.types import spark_schema
from dbx.pixels.table.named import NamedTable
from dbx.pixels.table.objects import ObjectTable, StreamTransaction
from dbx.pixels.table.upkeep import optimize_if_due

_SOURCE = "pixels_objects"

#: Spark gives the Python of a source ten seconds to start, which can be too few where all cores are busy.
_ATTEMPTS = 6
_TOO_SLOW = "Python worker failed to connect back"


class ObjectSource(DataSource):
    """New and changed objects. Spark makes it in Python processes of its own, from the option `stream`."""

    def __init__(self, options: MutableMapping[str, str]) -> None:
        self._stream, self._table = pickle.loads(base64.b64decode(options["stream"]))

    @classmethod
    def name(cls) -> str:
        return _SOURCE

    def schema(self) -> Any:
        return spark_schema(PARTS)

    def streamReader(self, schema: Any) -> ObjectReader:  # noqa: ARG002 - the base class's argument
        return ObjectReader(self._stream, self._table)


class ObjectReader(DataSourceStreamReader, SupportsTriggerAvailableNow):
    """Tells Spark of batches by the numbers of their plans in the stream's checkpoint.

    Parameters
    ----------
    stream : Stream
        Where to look.
    table : Address
        Of where the stream goes. What a table that lies somewhere knows is not read again; one that only a session
        knows cannot be asked from here.
    """

    def __init__(self, stream: Stream, table: Address) -> None:
        self._stream = stream
        self._table = table
        self._checkpoint = stream.checkpoint(str(table))
        self._is_planned = False

    def initialOffset(self) -> dict:
        return {"plan": 0}

    def prepareForTriggerAvailableNow(self) -> None:
        self._plan()
        self._is_planned = True

    def latestOffset(self, start: dict, limit: Any) -> dict:  # noqa: ARG002
        after = start["plan"]
        if self._next(after) is None and not self._is_planned:
            self._plan()
        return {"plan": self._next(after) or after}

    def partitions(self, start: dict, end: dict) -> Sequence[InputPartition]:
        return [
            InputPartition(part)
            for number, rows in self._checkpoint.unsaved()
            if start["plan"] < number <= end["plan"]
            for part in parts_of(rows)
        ]

    def read(self, partition: InputPartition) -> Iterator[tuple]:
        yield partition.value

    def commit(self, end: dict) -> None:
        self._checkpoint.mark_all_saved(end["plan"])

    def _next(self, after: int) -> int | None:
        return next((number for number, _ in self._checkpoint.unsaved() if number > after), None)

    def _plan(self) -> None:
        table = ObjectTable.find(self._table) if isinstance(self._table, str) else None
        for _ in plan_batches(self._stream, self._checkpoint, table):
            pass


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
        with self.tallies.open("a") as file:
            file.write(json.dumps(asdict(tally)) + "\n")
        if isinstance(table, ObjectTable):
            optimize_if_due(table)


def stream_frame(session: Any, stream: Stream, table: Address) -> Any:
    """Make the streaming DataFrame of a stream's objects."""
    session.dataSource.register(ObjectSource)
    packed = base64.b64encode(pickle.dumps((stream, table))).decode()
    source = session.readStream.format(_SOURCE).option("stream", packed).load()
    return unpacked_parts(source, LISTED_SCHEMA)


def run_stream(
    df: Any, stream: Stream, table: Table, save: Callable[[Any, Table, Tally, StreamTransaction], None]
) -> Tally:
    """Save a stream's batches until it ends, or for as long as nobody interrupts it.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
        What was made of `stream_frame`.
    stream : Stream
        The stream that it came from.
    table : ObjectTable
        Where to save.
    save : callable
        Saves one batch: a DataFrame, the table, a tally to add to, and the transaction that it is.

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
        tallies.unlink(missing_ok=True)
        batches = _SaveBatch(table.address, identity(spark_checkpoint), tallies, save)
        writer = df.writeStream.foreachBatch(batches).option("checkpointLocation", f"file://{spark_checkpoint}")
        if stream.interval is None:
            writer = writer.trigger(availableNow=True)
        else:
            writer = writer.trigger(processingTime=f"{stream.interval * 1000:.0f} milliseconds")
        _mark_saved(_run(writer), checkpoint)
        table.refresh()
        lines = tallies.read_text().splitlines() if tallies.exists() else []
    tally = Tally()
    for line in lines:
        tally.add_tally(Tally(**json.loads(line)))
    return tally


def _run(writer: Any) -> Any:
    """Run a query to its end and return it; one whose source did not start in time begins again."""
    for attempt in range(1, _ATTEMPTS + 1):
        query = writer.start()
        try:
            query.awaitTermination()
            break
        except KeyboardInterrupt:
            query.stop()
            break
        except PySparkException as error:
            if attempt == _ATTEMPTS or _TOO_SLOW not in str(error):
                raise
    return query


def _mark_saved(query: Any, checkpoint: Checkpoint) -> None:
    """Remember the last batches, of which Spark tells the source only when it goes on."""
    progress = query.lastProgress
    for source in progress["sources"] if progress else ():
        end = source["endOffset"]
        end = json.loads(end) if isinstance(end, str) else end
        if end:
            checkpoint.mark_all_saved(end["plan"])
