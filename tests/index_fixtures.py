"""A table and serving indexes over it, in either database."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from dbx.pixels import Catalog
from dbx.pixels.index import ServingIndex
from dbx.pixels.table import ObjectTable

OpenIndex = Callable[[], ServingIndex]


@pytest.fixture
def table(catalog: Catalog) -> ObjectTable:
    """The catalog's table, without rows."""
    return ObjectTable.create_if_missing(catalog.location())


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def index_url(request: pytest.FixtureRequest) -> str | None:
    """What `--index` says: every test runs over both databases."""
    return request.getfixturevalue("postgres") if request.param == "postgresql" else None


@pytest.fixture
def open_index(catalog: Catalog, index_url: str | None) -> Iterator[OpenIndex]:
    """Open the index of the catalog's table, as often as a test likes."""
    opened: list[ServingIndex] = []

    def open_one() -> ServingIndex:
        opened.append(ServingIndex.open(catalog, index_url))
        return opened[-1]

    yield open_one
    for index in opened:
        index.close()
