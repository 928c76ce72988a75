"""What can hold a serving index, SQLite or PostgreSQL: one small interface, and the choice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa

from dbx.pixels.errors import ArgumentError, EngineError
from dbx.pixels.index.postgres import PostgresStore
from dbx.pixels.index.sqlite import SqliteStore


class Store(Protocol):
    """A database with the tables of one index. What goes wrong with it is an `IndexUnavailableError`."""

    def reading(self) -> Any:
        """Open a connection that sees one state of the index as long as it is open."""

    def at_once(self, query: sa.Select, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Return what a query finds, as far as that can be said without waiting: nothing if it cannot."""

    def writing(self) -> Any:
        """Open a connection that is the only one to write, and commit at its end."""

    def fresh(self, connection: sa.Connection) -> Any:
        """Put empty tables in the place of all others, for the time of a bulk load, after which they get indexes."""

    def insert(
        self,
        connection: sa.Connection,
        table: sa.Table,
        rows: Iterable[Sequence[Any]],
        columns: Sequence[str] | None = None,
    ) -> None:
        """Insert rows, whose values are those of the named columns, or of all, in order."""

    def has_tables(self) -> bool:
        """Tell whether there is an index already."""

    def close(self) -> None:
        """Close all connections."""


def open_store(location: str, folder: Path, url: str | None) -> Store:
    """Open the database of a table's index.

    Parameters
    ----------
    location : str
        The table's; every table has its own SQLite file or PostgreSQL schema.
    folder : pathlib.Path
        Where SQLite files lie.
    url : str, optional
        ``postgresql://user@host/database``.

    Raises
    ------
    ArgumentError
        If the URL names another kind of database, or is none.
    EngineError
        If what is needed for PostgreSQL is not installed.
    """
    digest = hashlib.sha256(location.encode()).hexdigest()[:12]
    if url is None:
        return SqliteStore(folder / f"{location.rstrip('/').rpartition('/')[2]}-{digest}.sqlite")
    kind, _, rest = url.partition("://")
    remedy = "Write postgresql://user@host/database."
    if kind not in ("postgresql", "postgres"):
        raise ArgumentError(kind, "is no database for an index", remedy)
    try:
        return PostgresStore(f"postgresql+psycopg://{rest}", f"pixels_{digest}")
    except ModuleNotFoundError as error:
        missing = f"needs {error.name}, which is not installed"
        raise EngineError("PostgreSQL", missing, "pip install 'dbx-pixels[postgresql]'") from error
    except (ValueError, sa.exc.ArgumentError):  # which may quote a password
        raise ArgumentError(f"{kind}://...", "is no address of a database", remedy) from None
