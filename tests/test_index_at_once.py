"""Looking instances up without waiting: what is found is what `instances` finds, or nothing, and then that is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from dbx.pixels import Catalog
from dbx.pixels.index import ServingIndex
from dbx.pixels.table import EVERYTHING, ObjectTable, Principal
from index_table import instance
from table_rows import rows

pytest_plugins = ["postgres", "index_fixtures"]

FIRST, SECOND = ("1.2.1", "1.2.1.1", "1.2.1.1.1"), ("1.2.1", "1.2.1.1", "1.2.1.1.2")


class FirstSlices:
    """Someone who may see the first slice of each series."""

    def row_filter(self, table: str) -> str | None:  # noqa: ARG002 - the protocol's argument
        return "InstanceNumber = 1"


@pytest.fixture
def index(catalog: Catalog, table: ObjectTable) -> Iterator[ServingIndex]:
    """Two slices, indexed in a file."""
    table.save(rows(instance("/1"), instance("/2", number=2)))
    with closing(ServingIndex.open(catalog)) as index:
        index.sync()
        yield index


def test_what_is_looked_up_is_what_is_found(index: ServingIndex) -> None:
    (found,) = index.instances(*SECOND, EVERYTHING)
    assert index.look_up(*SECOND, EVERYTHING) == found
    assert index.look_up("1.2.1", "1.2.1.1", "1.2.3", EVERYTHING) is None
    assert index.look_up("1.2.3", *SECOND[1:], EVERYTHING) is None


def test_row_filters_hold(index: ServingIndex) -> None:
    visitor: Principal = FirstSlices()
    assert index.look_up(*FIRST, visitor) is None  # what the filter shows is worked out by who waits
    (found,) = index.instances(*FIRST, visitor)
    assert index.look_up(*FIRST, visitor) == found
    assert index.look_up(*SECOND, visitor) is None


def test_what_another_process_has_changed_is_seen(index: ServingIndex, catalog: Catalog, table: ObjectTable) -> None:
    assert index.look_up(*SECOND, EVERYTHING)
    index.instances(*FIRST, FirstSlices())
    table.remove_under("/2")
    table.save(rows(instance("/newer", minutes=5, StationName="elsewhere")))
    with closing(ServingIndex.open(catalog)) as other:
        other.sync()
    assert index.look_up(*SECOND, EVERYTHING) is None
    found = index.look_up(*FIRST, EVERYTHING)
    assert found
    assert found.path == "/newer"
    assert index.look_up(*FIRST, FirstSlices()) is None  # what the filter showed was of the version before


def test_an_index_that_is_made_anew_is_looked_into(index: ServingIndex, catalog: Catalog) -> None:
    assert index.look_up(*FIRST, EVERYTHING)
    with closing(ServingIndex.open(catalog)) as other:
        other.rebuild()
    assert index.look_up(*FIRST, EVERYTHING)


def test_a_database_server_is_waited_for(catalog: Catalog, table: ObjectTable, postgres: str) -> None:
    table.save(rows(instance("/1")))
    with closing(ServingIndex.open(catalog, postgres)) as index:
        index.sync()
        assert index.look_up(*FIRST, EVERYTHING) is None
        assert index.instances(*FIRST, EVERYTHING)
