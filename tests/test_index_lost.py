"""An index that is deleted, damaged or out of reach while somebody uses it: never wrong, and soon back."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from dbx.pixels import Catalog
from dbx.pixels.errors import IndexUnavailableError
from dbx.pixels.index import ServingIndex
from dbx.pixels.table import EVERYTHING, ObjectTable
from index_table import instance, paths
from table_rows import rows

if TYPE_CHECKING:
    from index_fixtures import OpenIndex
    from postgres import Postgres

pytest_plugins = ["postgres", "index_fixtures"]

UIDS = ("1.2.1", "1.2.1.1", "1.2.1.1.1")


@pytest.fixture
def delete_index(home: Path, index_url: str | None) -> Callable[[], None]:
    """Deletes all that the database holds of indexes."""

    def delete() -> None:
        if index_url is None:
            shutil.rmtree(home / "index")
            return
        engine = sa.create_engine(index_url.replace("postgresql:", "postgresql+psycopg:"))
        with engine.begin() as connection:
            for name in sa.inspect(connection).get_schema_names():
                if name.startswith("pixels_"):
                    connection.execute(sa.schema.DropSchema(name, cascade=True))
        engine.dispose()

    return delete


def test_one_that_is_deleted_is_not_read_and_made_anew(
    open_index: OpenIndex, table: ObjectTable, delete_index: Callable[[], None]
) -> None:
    index, other = open_index(), open_index()
    table.save(rows(instance("/a")))
    index.sync()
    assert paths(index) == paths(other) == {"/a"}
    assert index.look_up(*UIDS, EVERYTHING) == other.look_up(*UIDS, EVERYTHING)

    delete_index()
    for one in (index, other):
        assert one.look_up(*UIDS, EVERYTHING) is None
        with pytest.raises(IndexUnavailableError, match="the index cannot be used"):
            paths(one)
    assert index.sync() == table.version
    assert paths(index) == paths(other) == {"/a"}
    assert index.look_up(*UIDS, EVERYTHING) == other.look_up(*UIDS, EVERYTHING)
    assert other.sync() == table.version


def test_a_file_that_is_replaced_is_not_read_any_longer(catalog: Catalog, table: ObjectTable, home: Path) -> None:
    table.save(rows(instance("/a")))
    with closing(ServingIndex.open(catalog)) as index, closing(ServingIndex.open(catalog)) as other:
        index.sync()
        assert paths(index) == {"/a"}
        assert index.look_up(*UIDS, EVERYTHING)
        shutil.rmtree(home / "index")
        table.save(rows(instance("/a", minutes=5, StationName="elsewhere"), instance("/b", number=2)))
        other.sync()
        assert paths(index) == {"/a", "/b"}
        assert index.look_up(*UIDS, EVERYTHING) == index.find(UIDS[2], EVERYTHING)


def test_a_server_that_stops_is_an_error_and_comes_back(
    catalog: Catalog, table: ObjectTable, own_postgres: Postgres
) -> None:
    table.save(rows(instance("/a")))
    with closing(ServingIndex.open(catalog, own_postgres.url)) as index:
        index.sync()
        own_postgres.stop()
        for use in (
            index.sync,
            index.rebuild,
            lambda: paths(index),
            lambda: ServingIndex.open(catalog, own_postgres.url),
        ):
            with pytest.raises(IndexUnavailableError, match="check the address, and that the server is running"):
                use()
        own_postgres.start()
        table.save(rows(instance("/b", number=2)))
        index.sync()
        assert paths(index) == {"/a", "/b"}


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_bytes(b"a file")
    with pytest.raises(IndexUnavailableError, match="Check the folder"):
        ServingIndex.open(Catalog(home=str(tmp_path / "home")))


def test_what_a_database_says_of_values_is_left_out(open_index: OpenIndex) -> None:
    index = open_index()

    def write_twice() -> None:
        with index._store.writing() as connection:
            connection.execute(sa.text("CREATE TEMPORARY TABLE patients (name TEXT PRIMARY KEY)"))
            for _ in range(2):
                connection.execute(sa.text("INSERT INTO patients VALUES (:name)"), {"name": "SECRETNAME"})

    with pytest.raises(IndexUnavailableError, match="the index cannot be used") as raised:
        write_twice()
    assert "SECRETNAME" not in "".join(traceback.format_exception(raised.value))
