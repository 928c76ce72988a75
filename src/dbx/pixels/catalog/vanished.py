"""Objects that were found missing while somebody read them: their rows stay, and say so until the next ingest."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from dbx.pixels.table.duck import literal
from dbx.pixels.table.objects import ObjectTable
from dbx.pixels.table.schema import MODIFICATION_TIME
from dbx.pixels.table.sql import query

_ERROR = "has vanished: it was not there when it was to be read"


def note_vanished(table: ObjectTable, paths: Iterable[str]) -> int:
    """Put an error on the rows of objects, so that `pixels issues` shows them.

    Everything else is kept: a disk that is away for a while must not empty a table. But the modification time becomes
    null, so that the next ingest reads the object again, if it is back, or removes its row.

    Parameters
    ----------
    table : ObjectTable
        Whose objects they are.
    paths : iterable of str
        As in the column `path`; unknown ones do not matter, nor those that have an error already.

    Returns
    -------
    int
        Rows that were marked.

    Raises
    ------
    TableError
        If the table cannot be read or written.
    """
    table.refresh()
    wanted = ", ".join(map(literal, paths))
    sql = f"SELECT * FROM object_catalog WHERE path IN ({wanted}) AND error IS NULL"
    rows = query(table, sql).read_all() if wanted else table.schema.empty_table()
    if rows.num_rows:
        unknown = {"modificationTime": pa.nulls(rows.num_rows, MODIFICATION_TIME)}
        unknown["error"] = pa.array([_ERROR] * rows.num_rows, pa.string())
        for name, column in unknown.items():
            rows = rows.set_column(rows.schema.get_field_index(name), name, column)
        table.save(rows)
    return rows.num_rows
