"""The seam between a function over record batches and the frames that it runs on."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from dbx.pixels.engine.frame import BatchFunction
from dbx.pixels.errors import EngineError


@runtime_checkable
class BatchFrame(Protocol):
    """A table that applies a function to its record batches, wherever they are."""

    schema: pa.Schema

    def map_batches(self, function: BatchFunction, schema: pa.Schema) -> Any:
        """Return a frame of what `function` makes of every batch."""


class BatchTransformer(ABC):
    """A step from frame to frame that looks at one record batch at a time.

    A transformer holds nothing but its own parameters, so that it can be pickled and sent to where the batches are.
    """

    @abstractmethod
    def output_schema(self, input_schema: pa.Schema) -> pa.Schema:
        """Tell the schema of what `transform_batch` makes of batches of `input_schema`."""

    @abstractmethod
    def transform_batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Transform one batch; called from several threads at once."""

    def transform(self, df: Any) -> Any:
        """Transform a frame, lazily.

        Parameters
        ----------
        df : Frame or pyspark.sql.DataFrame
            What `Catalog.catalog`, `Catalog.load` or another transformer returned.

        Returns
        -------
        Frame or pyspark.sql.DataFrame
            Of the same kind as `df`.

        Raises
        ------
        EngineError
            If batches cannot be mapped over `df`.
        """
        if is_spark(df):
            # Imported here because whoever has no DataFrame of Spark needs no Spark.
            from dbx.pixels.engine.spark.frame import SparkFrame

            df = SparkFrame.of(df)
        if not isinstance(df, BatchFrame):
            raise EngineError(
                type(self).__name__,
                f"cannot run over a {type(df).__name__}",
                "Pass what Catalog.catalog() or Catalog.load() returns, or Frame.from_arrow(data).",
            )
        return df.map_batches(self.transform_batch, self.output_schema(df.schema))

    def copy(self, extra: Any = None) -> BatchTransformer:
        """Return a copy, as pipelines of Spark ML ask for; `extra` values of parameters are theirs alone."""
        del extra
        return copy.copy(self)


def is_spark(df: Any) -> bool:
    """Tell whether something is a DataFrame or a session of Spark, without importing Spark."""
    return any(base.__module__.startswith("pyspark.sql") for base in type(df).__mro__)


class ColumnSelector(BatchTransformer):
    """Keep the named columns, in the order given."""

    def __init__(self, *columns: str) -> None:
        self.columns = columns

    def output_schema(self, input_schema: pa.Schema) -> pa.Schema:
        return pa.schema([input_schema.field(name) for name in self.columns])

    def transform_batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.select(list(self.columns))


class BatchRow(Mapping[str, Any]):
    """One row of a record batch, whose values become Python objects only when they are asked for."""

    __slots__ = ("_batch", "_index")

    def __init__(self, batch: pa.RecordBatch, index: int) -> None:
        self._batch = batch
        self._index = index

    def __getitem__(self, column: str) -> Any:
        return self._batch.column(column)[self._index].as_py()

    def __iter__(self) -> Iterator[str]:
        return iter(self._batch.schema.names)

    def __len__(self) -> int:
        return self._batch.num_columns


def merge_fields(schema: pa.Schema, fields: Iterable[pa.Field]) -> pa.Schema:
    """Put fields into a schema: in place of one of the same name, else at the end."""
    merged = {field.name: field for field in schema}
    merged.update((field.name, field) for field in fields)
    return pa.schema(list(merged.values()))


def merge_columns(batch: pa.RecordBatch, columns: Mapping[str, pa.Array], schema: pa.Schema) -> pa.RecordBatch:
    """Put columns into a batch, which then has `schema`, as `merge_fields` made it."""
    return pa.RecordBatch.from_arrays(
        [columns[name] if name in columns else batch.column(name) for name in schema.names], schema=schema
    )
