"""The embedded frame: lazy, re-iterable Arrow batches with bounded memory."""

from __future__ import annotations

import html
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from dbx.pixels.engine.pool import map_ordered
from dbx.pixels.engine.showing import WIDTH_WITHOUT_TERMINAL, show_rows

BatchFunction = Callable[[pa.RecordBatch], pa.RecordBatch]
Operation = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]

#: Objects that are read by one call of the native core: enough to be fast, few enough to keep memory flat.
BATCH_ROWS = 256

#: Rows that `show` and the notebook rendering look at, and characters they show of a value.
SHOWN_ROWS = 20
SHOWN_CHARACTERS = 40


@dataclass(frozen=True)
class _Mapping:
    """The operation that applies functions to every batch, one after the other, on a pool of threads."""

    functions: tuple[BatchFunction, ...]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return map_ordered(self._apply, batches)

    def _apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        for function in self.functions:
            batch = function(batch)
        return batch


class Frame:
    """A table that is computed batch by batch, each time it is read.

    Anything that speaks Arrow's C stream takes a frame as it is: ``duckdb.sql("SELECT * FROM frame")``,
    ``polars.DataFrame(frame)``, ``pyarrow.table(frame)``.

    Parameters
    ----------
    schema : pyarrow.Schema
        Schema of every batch.
    make_batches : callable
        Called without arguments once a reading; returns the batches. Nothing is read before.
    operations : tuple of callable
        What happens to these batches then, in order; the last one makes batches of `schema`.

    See Also
    --------
    dbx.pixels.catalog.Catalog.catalog : Makes frames from folders, buckets and archives.
    """

    def __init__(
        self,
        schema: pa.Schema,
        make_batches: Callable[[], Iterable[pa.RecordBatch]],
        operations: tuple[Operation, ...] = (),
    ) -> None:
        self.schema = schema
        self._make_batches = make_batches
        self._operations = operations

    @classmethod
    def from_arrow(cls, data: Any) -> Frame:
        """Make a frame from anything in memory that `pyarrow.table` understands."""
        table = pa.table(data)
        return cls(table.schema, table.to_batches)

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in order."""
        return list(self.schema.names)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read the frame once, from its start."""
        batches = iter(self._make_batches())
        for operation in self._operations:
            batches = operation(batches)
        return batches

    def map_batches(self, function: BatchFunction, schema: pa.Schema) -> Frame:
        """Apply a function to every batch, on a pool of threads, in order.

        Functions that follow each other run on a batch in one go.

        Parameters
        ----------
        function : callable
            Takes a record batch and returns one of `schema`. It runs in several threads at once.
        schema : pyarrow.Schema
            Schema of what `function` returns.

        Returns
        -------
        Frame
            Lazy, like this one.
        """
        *before, last = self._operations or (None,)
        if isinstance(last, _Mapping):
            return self._of(schema, (*before, _Mapping((*last.functions, function))))
        return self._derive(schema, _Mapping((function,)))

    def select(self, *columns: str) -> Frame:
        """Keep the named columns, in the order given."""
        schema = pa.schema([self.schema.field(name) for name in columns])
        return self._derive(schema, lambda batches: (batch.select(list(columns)) for batch in batches))

    def filter(self, predicate: Callable[[pa.RecordBatch], pa.BooleanArray]) -> Frame:
        """Keep the rows for which `predicate`, called once a batch, is true."""
        return self._derive(self.schema, lambda batches: (batch.filter(predicate(batch)) for batch in batches))

    def limit(self, rows: int) -> Frame:
        """Keep the first `rows` rows; no more than needed is computed."""

        def first(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            left = rows
            while left > 0 and (batch := next(batches, None)) is not None:
                yield batch.slice(0, left)
                left -= batch.num_rows

        return self._derive(self.schema, first)

    def _derive(self, schema: pa.Schema, operation: Operation) -> Frame:
        """Make the frame of this one's batches after one more operation."""
        return self._of(schema, (*self._operations, operation))

    def _of(self, schema: pa.Schema, operations: tuple[Operation, ...]) -> Frame:
        """Make the frame of the same source after other operations."""
        return Frame(schema, self._make_batches, operations)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Export the frame as an Arrow C stream, computed while it is consumed."""
        reader = pa.RecordBatchReader.from_batches(self.schema, self.batches())
        return reader.__arrow_c_stream__(requested_schema)

    def count(self) -> int:
        """Count the rows; the frame is computed for it."""
        return sum(batch.num_rows for batch in self.batches())

    def to_arrow(self) -> pa.Table:
        """Compute the frame into memory as an Arrow table."""
        return pa.Table.from_batches(self.batches(), self.schema)

    def to_pandas(self) -> Any:
        """Compute the frame into memory as a pandas data frame."""
        return self.to_arrow().to_pandas()

    def show(self, n: int = SHOWN_ROWS, truncate: int = SHOWN_CHARACTERS) -> None:
        """Print the first `n` rows, and of each value the first `truncate` characters.

        In a terminal that is too narrow for a table each row is a record: lines of name and value, without nulls.
        """
        # Imported here because only people who look at a frame need it.
        from rich.console import Console

        # A file or a pipe has no edge to wrap at.
        console = Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL)
        columns = [column.to_pylist() for column in self.limit(n).to_arrow().columns]
        rows = [
            [None if value is None else _shorten(value, truncate) for value in row]
            for row in zip(*columns, strict=True)
        ]
        show_rows(console, self.columns, rows)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.columns)
        body = "".join(
            "<tr>"
            + "".join(f"<td>{html.escape(_shorten(value, SHOWN_CHARACTERS))}</td>" for value in row.values())
            + "</tr>"
            for row in self.limit(SHOWN_ROWS).to_arrow().to_pylist()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        fields = ", ".join(f"{field.name}: {field.type}" for field in self.schema)
        return f"{type(self).__name__}[{fields}]"


def _shorten(value: Any, characters: int) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    text = str(value)
    return text if len(text) <= characters else text[: characters - 1] + "…"
