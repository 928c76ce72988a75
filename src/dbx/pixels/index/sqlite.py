"""An index in SQLite: a file of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dbx.pixels.errors import IndexUnavailableError
from dbx.pixels.index import names, schema
from dbx.pixels.index.database import as_unavailable, quoted
from dbx.pixels.index.glance import Glance, file_number

#: Seconds that a writer waits for another one: it may be rebuilding.
_PATIENCE = 900

#: Lets SQLite read pages where the system has them, without a copy.
_MAPPED = "PRAGMA mmap_size = 1073741824"


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
        schema.create_tables(connection)
        yield
        schema.create_indexes(connection)
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
            connection.exec_driver_sql(f'INSERT INTO "{table.name}" ({quoted(columns)}) VALUES ({places})', given)

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
        return as_unavailable(str(self.path), "check the folder and its permissions.")


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
