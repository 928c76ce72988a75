"""DuckDB connections, and the SQL by which they read a table's files."""

from __future__ import annotations

import hashlib
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from dbx.pixels.errors import TableError
from dbx.pixels.storage.writing import appearing
from dbx.pixels.table.folder import FILE_ERRORS, TableFolder

#: Of the machine's memory; what needs more spills to the temporary folder.
MEMORY_LIMIT = "25%"


def connect(folder: TableFolder | None = None) -> duckdb.DuckDBPyConnection:
    """Open an in-memory database that can read the table's files, wherever they lie."""
    connection = duckdb.connect(
        config={
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": str(Path(tempfile.gettempdir()) / f"pixels-sql-{uuid.uuid4().hex}"),
            "python_enable_replacements": "false",
        }
    )
    connection.execute("SET TimeZone = 'UTC'")
    if folder:
        folder.let_read(connection)
    return connection


@contextmanager
def reading(folder: TableFolder) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open such a database for a while.

    Raises
    ------
    TableError
        If the table's files cannot be read.
    """
    with connect(folder) as connection, telling(folder):
        yield connection


@contextmanager
def telling(folder: TableFolder) -> Iterator[None]:
    """Say of which table it is that files cannot be read.

    Raises
    ------
    TableError
        If the table's files cannot be read.
    """
    try:
        yield
    except (duckdb.Error, *FILE_ERRORS) as error:
        problem = str(error).split("\n", 1)[0]
        raise TableError(folder.location, f"cannot be read: {problem}", "Check its files.") from error


def scan(uris: Iterable[str], schema: pa.Schema, *, filename: bool = False, file_row_number: bool = False) -> str:
    """Return the SQL table expression over Parquet files, with all columns of the schema.

    Parameters
    ----------
    uris : iterable of str
        May be empty.
    schema : pyarrow.Schema
        The table's; columns that a file lacks are null.
    filename : bool
        Whether to add the column `filename`, a file's address as given.
    file_row_number : bool
        Whether to add the column `file_row_number`, a row's number in its file.
    """
    # The first file has no rows but all columns: older files lack those that were added since, and there may be none.
    files = ", ".join(map(literal, (schema_file(schema), *uris)))
    places = {"filename": filename, "file_row_number": file_row_number}
    added = "".join(f", {name} = true" for name, is_wanted in places.items() if is_wanted)
    return f"read_parquet([{files}], union_by_name = true{added})"


def schema_file(schema: pa.Schema) -> str:
    """Return the path of a Parquet file with the schema and no rows, which belongs to this process."""
    folder = Path(_scratch().name)
    path = folder / f"{hashlib.sha256(schema.serialize()).hexdigest()}.parquet"
    if not path.exists():  # temporary folders are swept while servers run
        folder.mkdir(exist_ok=True)
        with appearing(path) as unfinished:
            pq.write_table(schema.empty_table(), unfinished)
    return str(path)


@lru_cache(maxsize=1)
def _scratch() -> tempfile.TemporaryDirectory[str]:
    """The process's folder for schema files, deleted when the process ends."""
    return tempfile.TemporaryDirectory(prefix="pixels-schema-")


def literal(text: str) -> str:
    """Quote a string for SQL."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Quote a column's name for SQL."""
    return '"' + name.replace('"', '""') + '"'
