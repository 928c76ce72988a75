"""Rows as people see them in a terminal: a table where it fits, else a record each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

WIDTH_WITHOUT_TERMINAL = 10_000

#: All of them but the tabulator and the line feed: a terminal would do what they say.
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def show_rows(console: Console, names: Sequence[str], rows: Sequence[Sequence[str | None]]) -> None:
    """Print rows as a table; if it is wider than the console, as lines of name and value, without the nulls."""
    # Imported here because only people who look at a frame need it.
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    names = [_printable(name) for name in names]
    rows = [[None if value is None else _printable(value) for value in row] for row in rows]
    # Text and not strings, which rich would take for its markup.
    table = Table()
    for name in names:
        table.add_column(Text(name))
    for row in rows:
        table.add_row(*(Text(value or "") for value in row))
    unlimited = console.options.update(width=10 * WIDTH_WITHOUT_TERMINAL)
    if Measurement.get(console, unlimited, table).maximum <= console.width or not rows:
        console.print(table)
        return
    for number, row in enumerate(rows, 1):
        console.rule(f"{number:,}", align="left")
        record = Table.grid(padding=(0, 2))
        for name, value in zip(names, row, strict=True):
            if value is not None:
                record.add_row(Text(name, overflow="fold"), Text(value, overflow="fold"))
        console.print(record)


def _printable(text: str) -> str:
    return _CONTROL_CHARACTERS.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
