"""An index in PostgreSQL, which several servers may share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateSchema, DropSchema

from dbx.pixels.index import schema
from dbx.pixels.index.database import as_unavailable, quoted


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
        schema.create_tables(connection)
        yield
        schema.create_indexes(connection)
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
        names = quoted(columns or table.columns.keys())
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
        return as_unavailable(place, "check the address, and that the server is running.")


def _without_nul(value: Any) -> Any:
    """PostgreSQL's text cannot hold the character NUL, which broken elements may."""
    return value.replace("\0", "") if isinstance(value, str) and "\0" in value else value
