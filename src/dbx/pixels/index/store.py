"""The two databases that can hold a serving index, SQLite and PostgreSQL, behind one small interface."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateSchema, CreateTable, DropSchema

from dbx.pixels.errors import ArgumentError, EngineError, IndexUnavailableError
from dbx.pixels.index import names, schema
from dbx.pixels.index.glance import Glance, file_number

#: Seconds that a writer waits for another one: it may be rebuilding.
_PATIENCE = 900

#: Lets SQLite read pages where the system has them, without a copy.
_MAPPED = "PRAGMA mmap_size = 1073741824"


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


class SqliteStore:
    """An index in a file; readers see the last commit while somebody writes (WAL).

    A file that was deleted or replaced is read no longer.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = sa.create_engine(
            f"sqlite:///{path}",
            connect_args={"timeout": _PATIENCE},
            pool_size=16,
            max_overflow=64,
            pool_use_lifo=True,  # its pages are in its cache already
            hide_parameters=True,
        )
        sa.event.listen(self._engine, "connect", _configure)
        sa.event.listen(self._engine, "connect", self._note_file)
        sa.event.listen(self._engine, "checkout", self._check_file)
        sa.event.listen(self._engine, "begin", _begin)
        self._glance = Glance(path)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        with self._telling(), self._engine.connect() as connection, connection.begin():
            yield connection

    def at_once(self, query: sa.Select, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return self._glance.rows(query, parameters)

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        with self._telling(), self._engine.connect() as connection:
            connection = connection.execution_options(writes=True)
            with connection.begin():
                yield connection

    @contextmanager
    def fresh(self, connection: sa.Connection) -> Iterator[None]:
        connection.exec_driver_sql("PRAGMA mmap_size = 0")  # what is dropped is not to be in memory
        connection.exec_driver_sql(names.DROP)
        found = connection.exec_driver_sql("SELECT type, name FROM sqlite_schema WHERE type IN ('table', 'view')")
        for kind, name in found.fetchall():
            connection.exec_driver_sql(f'DROP {kind} "{name}"')
        for table in schema.metadata.sorted_tables:
            connection.execute(CreateTable(table))
        connection.execute(schema.CREATE_INSTANCE)
        yield
        for index in schema.INDEXES:
            connection.execute(CreateIndex(index))
        for statement in names.CREATE:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql("ANALYZE")
        connection.exec_driver_sql(_MAPPED)

    def insert(
        self,
        connection: sa.Connection,
        table: sa.Table,
        rows: Iterable[Sequence[Any]],
        columns: Sequence[str] | None = None,
    ) -> None:
        columns = columns or table.columns.keys()
        places = ", ".join("?" * len(columns))
        given = list(rows)
        if given:
            connection.exec_driver_sql(f'INSERT INTO "{table.name}" ({_quoted(columns)}) VALUES ({places})', given)

    def has_tables(self) -> bool:
        with self._telling():
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self._engine.connect() as connection:
                    return sa.inspect(connection).has_table(schema.state.name)
            except sa.exc.OperationalError:
                raise
            except sa.exc.DatabaseError:  # damaged, or no database at all
                self._engine.dispose()
                for suffix in ("", "-wal", "-shm"):
                    Path(f"{self.path}{suffix}").unlink(missing_ok=True)
                return False
            except OSError as error:
                raise IndexUnavailableError(
                    str(self.path),
                    f"the index cannot be made: {error.strerror}",
                    "Check the folder and its permissions.",
                ) from error

    def close(self) -> None:
        self._glance.close()
        self._engine.dispose()

    def _note_file(self, _connection: Any, record: Any) -> None:
        record.info["file"] = file_number(self.path)

    def _check_file(self, _connection: Any, record: Any, _proxy: Any) -> None:
        if record.info["file"] is None or record.info["file"] != file_number(self.path):
            raise sa.exc.DisconnectionError  # the pool opens another one

    def _telling(self) -> AbstractContextManager[None]:
        return _as_unavailable(str(self.path), "check the folder and its permissions.")


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where we say, not with the first INSERT
    for setting in (
        "page_size = 16384",  # of new files: names are looked through and packs are read in fewer pieces
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "cache_size = -32768",  # KiB
        "temp_store = MEMORY",
        "analysis_limit = 1000",  # rows of an index that ANALYZE looks at
    ):
        connection.execute(f"PRAGMA {setting}")
    connection.execute(_MAPPED)


def _begin(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


class PostgresStore:
    """An index that several servers share, in a schema of its own."""

    def __init__(self, url: str, name: str) -> None:
        self._name = name
        self._engine = sa.create_engine(url, pool_size=16, max_overflow=64, pool_pre_ping=True, hide_parameters=True)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        with self._telling(), self._engine.connect() as connection:
            connection = connection.execution_options(
                isolation_level="REPEATABLE READ", schema_translate_map={None: self._name}
            )
            with connection.begin():
                yield connection

    def at_once(self, query: sa.Select, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:  # noqa: ARG002
        return []

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        with self._telling(), self._engine.connect() as connection:
            connection = connection.execution_options(schema_translate_map={None: self._name})
            with connection.begin():
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(self._name))))
                yield connection

    @contextmanager
    def fresh(self, connection: sa.Connection) -> Iterator[None]:
        unfinished = f"{self._name}_next"
        connection.execute(DropSchema(unfinished, cascade=True, if_exists=True))
        connection.execute(CreateSchema(unfinished))
        connection.execution_options(schema_translate_map={None: unfinished})
        for table in schema.metadata.sorted_tables:
            connection.execute(CreateTable(table))
        connection.execute(schema.CREATE_INSTANCE)
        yield
        for index in schema.INDEXES:
            connection.execute(CreateIndex(index))
        for table in schema.metadata.sorted_tables:
            connection.exec_driver_sql(f'ANALYZE "{unfinished}"."{table.name}"')
        # Readers keep what they see until here; then the new tables take the old ones' name.
        connection.execute(DropSchema(self._name, cascade=True, if_exists=True))
        connection.exec_driver_sql(f'ALTER SCHEMA "{unfinished}" RENAME TO "{self._name}"')
        connection.execution_options(schema_translate_map={None: self._name})

    def insert(
        self,
        connection: sa.Connection,
        table: sa.Table,
        rows: Iterable[Sequence[Any]],
        columns: Sequence[str] | None = None,
    ) -> None:
        target = connection.get_execution_options()["schema_translate_map"][None]
        names = _quoted(columns or table.columns.keys())
        driver = connection.connection.driver_connection
        assert driver is not None
        with driver.cursor() as cursor, cursor.copy(f'COPY "{target}"."{table.name}" ({names}) FROM STDIN') as copy:
            for row in rows:
                copy.write_row([_without_nul(value) for value in row])

    def has_tables(self) -> bool:
        with self.reading() as connection:
            return sa.inspect(connection).has_table(schema.state.name, schema=self._name)

    def close(self) -> None:
        self._engine.dispose()

    def _telling(self) -> AbstractContextManager[None]:
        place = self._engine.url.render_as_string(hide_password=True).replace("+psycopg", "")
        return _as_unavailable(place, "check the address, and that the server is running.")


@contextmanager
def _as_unavailable(place: str, remedy: str) -> Iterator[None]:
    """Tell what a database says of itself. What it says of statements may quote the values in them, and is left out."""
    try:
        yield
    except sa.exc.OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0]
    except sa.exc.DBAPIError as error:
        reason = type(error.orig).__name__
    except sa.exc.SQLAlchemyError as error:
        reason = type(error).__name__
    else:
        return
    remedies = f"If it was deleted, ask again: a server makes it anew. Else {remedy}"
    raise IndexUnavailableError(place, f"the index cannot be used: {reason}", remedies) from None


def _without_nul(value: Any) -> Any:
    """PostgreSQL's text cannot hold the character NUL, which broken elements may."""
    return value.replace("\0", "") if isinstance(value, str) and "\0" in value else value
