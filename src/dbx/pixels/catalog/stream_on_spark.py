"""Streams on Spark: our discovery is the source."""

from __future__ import annotations

import base64
import pickle
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

from pyspark.sql.datasource import DataSource, DataSourceStreamReader, InputPartition
from pyspark.sql.streaming.datasource import SupportsTriggerAvailableNow

from dbx.pixels.catalog.engines import Address
from dbx.pixels.catalog.objects import LISTED_SCHEMA
from dbx.pixels.catalog.streaming import Stream, plan
from dbx.pixels.engine.spark.frame import PARTS, parts_of, unpacked_parts
from dbx.pixels.engine.spark.types import spark_schema
from dbx.pixels.table.objects import ObjectTable

_SOURCE = "pixels_objects"


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

    def initialOffset(self) -> dict:
        return {"plan": 0}

    def prepareForTriggerAvailableNow(self) -> None:
        pass  # whoever runs a stream that ends has planned its batches before

    def latestOffset(self, start: dict, limit: Any) -> dict:  # noqa: ARG002
        after = start["plan"]
        if self._stream.interval is not None and self._next(after) is None:
            plan(
                self._stream, self._checkpoint, ObjectTable.find(self._table) if isinstance(self._table, str) else None
            )
        return {"plan": self._next(after) or after}

    def partitions(self, start: dict, end: dict) -> Sequence[InputPartition]:
        return [
            InputPartition(part)
            for number in self._checkpoint.unsaved()
            if start["plan"] < number <= end["plan"]
            for part in parts_of(self._checkpoint.objects(number))
        ]

    def read(self, partition: InputPartition) -> Iterator[tuple]:
        yield partition.value

    def commit(self, end: dict) -> None:
        self._checkpoint.mark_all_saved(end["plan"])

    def _next(self, after: int) -> int | None:
        return next((number for number in self._checkpoint.unsaved() if number > after), None)


def stream_frame(session: Any, stream: Stream, table: Address, alias: str) -> Any:
    """Make the streaming DataFrame of a stream's objects, which is known by the alias in its plan."""
    session.dataSource.register(ObjectSource)
    packed = base64.b64encode(pickle.dumps((stream, table))).decode()
    source = session.readStream.format(_SOURCE).option("stream", packed).load().alias(alias)
    return unpacked_parts(source, LISTED_SCHEMA)
