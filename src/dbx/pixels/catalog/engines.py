"""Who spreads the work of a catalog: this machine, or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import pyarrow as pa

from dbx.pixels.catalog.archives import open_archives
from dbx.pixels.catalog.chunks import Tally
from dbx.pixels.catalog.discovery import OpenArchives
from dbx.pixels.catalog.known import Known
from dbx.pixels.catalog.objects import LISTED_SCHEMA, object_frame
from dbx.pixels.catalog.saving import save_frame
from dbx.pixels.catalog.streaming import Stream, StreamingFrame, run_stream
from dbx.pixels.engine.frame import Frame
from dbx.pixels.engine.transformer import is_spark
from dbx.pixels.errors import ArgumentError, EngineError
from dbx.pixels.table.names import TableName, table_location
from dbx.pixels.table.objects import ObjectTable
from dbx.pixels.table.principal import Principal
from dbx.pixels.table.sql import query

if TYPE_CHECKING:
    from dbx.pixels.table.named import NamedTable

#: Where a table lies; or its name, if only a session of Spark knows where.
Address: TypeAlias = str | TableName
Table: TypeAlias = "ObjectTable | NamedTable"

Batches = Callable[[], Iterable[pa.RecordBatch]]

_Item = TypeVar("_Item")
_Outcome = TypeVar("_Outcome")


class Engine(Protocol):
    """Makes frames of its own kind, and saves what was made of them."""

    def address(self, table: str, tables_folder: Path) -> Address:
        """Tell how to reach a table that is given by its name, which may lie in a folder, or by where it lies."""

    def find_table(self, address: Address) -> Table | None:
        """Open a table, or return None if there is none."""

    def create_table(self, address: Address) -> Table:
        """Open a table, made before if it was not there."""

    def check(self, table: Any) -> None:
        """Find out at the start whether rows can be saved to a table."""

    def objects(self, make_batches: Batches) -> Any:
        """Make a frame of listed objects, in batches of `LISTED_SCHEMA`."""

    def save(self, df: Any, table: Any, tally: Tally, met: Known) -> None:
        """Save a frame's rows; add them to `tally`, and compare them with what is known."""

    def load(self, address: Any, principal: Principal) -> Any:
        """Make a frame of a table's rows."""

    def stream(self, stream: Stream, address: Any) -> Any:
        """Make the frame of a stream's objects, on their way to a table."""

    def run_stream(self, df: Any, table: Any) -> Tally:
        """Save the batches of what was made of such a frame."""

    @property
    def open_archives(self) -> OpenArchives:
        """What does the work of `dbx.pixels.catalog.archives.open_archives`."""

    def work(
        self,
        make_batches: Batches,
        schema: pa.Schema,
        transform: Callable[[Any], Any],
        table: Any,
        tally: Tally,
        on_done: Callable[[int], None],
    ) -> None:
        """Save what `transform` makes of objects while they are listed; tell how many are done."""

    def each(
        self, function: Callable[[_Item], _Outcome], items: Iterable[_Item], reach: Callable[[], None]
    ) -> Iterator[tuple[_Item, _Outcome | EngineError]]:
        """Call a function with each of some items that take long, and yield what it returned when it has.

        `reach` finds out whether a machine has what the function needs. An item for which the engine fails has the
        error as its outcome; what the function raises ends all.
        """


class EmbeddedEngine:
    """This machine."""

    def address(self, table: str, tables_folder: Path) -> str:
        """Tell where a table lies."""
        return table_location(table, tables_folder)

    def find_table(self, address: Any) -> ObjectTable | None:
        """Open a table, or return None if there is none."""
        return ObjectTable.find(address)

    def create_table(self, address: Any) -> ObjectTable:
        """Open a table, made before if it was not there."""
        return ObjectTable.create_if_missing(address)

    open_archives = staticmethod(open_archives)

    def stream(self, stream: Stream, address: str) -> Frame:  # noqa: ARG002 - the protocol's argument
        """Make a frame that `run_stream` runs."""
        if stream.cloud_files:
            raise EngineError(
                "cloudFiles", "needs a session of Databricks", "Leave it out, or give one: Catalog(spark)."
            )
        return StreamingFrame(LISTED_SCHEMA, stream)

    def run_stream(self, df: Any, table: ObjectTable) -> Tally:
        """Save batch after batch."""
        return run_stream(df, table)

    def check(self, table: ObjectTable) -> None:
        """Nothing is far away."""

    def objects(self, make_batches: Batches) -> Frame:
        """Make a lazy frame, for which objects are listed each time it is read."""
        return object_frame(make_batches)

    def save(self, df: Any, table: ObjectTable, tally: Tally, met: Known) -> None:
        """Compute a frame and save it, chunk by chunk."""
        if not isinstance(df, Frame):
            remedy = "Make one of it: dbx.pixels.engine.frame.Frame.from_arrow(df)."
            if is_spark(df):
                remedy = "Give the catalog its session: Catalog(spark)."
            name = f"{type(df).__module__.partition('.')[0]}.{type(df).__name__}"
            raise ArgumentError("df", f"{name} is no frame", remedy)

        def on_chunk(chunk: pa.Table) -> None:
            tally.add(chunk)
            met.compare(chunk)

        save_frame(df, table, on_chunk)

    def load(self, address: str, principal: Principal) -> Frame:
        """Make a lazy frame of the table as it is when it is read."""

        def read() -> pa.RecordBatchReader:
            return query(ObjectTable.find(address), "SELECT * FROM object_catalog", principal=principal)

        return Frame(read().schema, read)

    def work(
        self,
        make_batches: Batches,
        schema: pa.Schema,
        transform: Callable[[Any], Any],
        table: ObjectTable,
        tally: Tally,
        on_done: Callable[[int], None],
    ) -> None:
        """Compute and save, chunk by chunk, while objects are listed."""
        frame = transform(object_frame(make_batches, schema))

        def observed() -> Iterator[pa.RecordBatch]:
            for batch in frame.batches():
                on_done(batch.num_rows)
                yield batch

        save_frame(Frame(frame.schema, observed), table, tally.add)

    def each(
        self,
        function: Callable[[_Item], _Outcome],
        items: Iterable[_Item],
        reach: Callable[[], None],  # noqa: ARG002 - nothing is far away
    ) -> Iterator[tuple[_Item, _Outcome | EngineError]]:
        """Call it here, with one after the other."""
        for item in items:
            yield item, function(item)


def engine_for(spark: Any) -> Engine:
    """Return the engine for a session of Spark, or for None.

    Raises
    ------
    EngineError
        If it is neither.
    """
    if spark is None:
        return EmbeddedEngine()
    if not is_spark(spark):
        raise EngineError(
            "spark", f"a {type(spark).__name__} is no SparkSession", "Give a session, or leave it out: Catalog()."
        )
    # Imported here because whoever has no session needs no Spark.
    from dbx.pixels.catalog.on_spark import SparkEngine

    return SparkEngine(spark)
