"""Patients found by letters of their names, out of many, while studies come and go."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dbx.pixels import Catalog
from dbx.pixels.index import Level, ServingIndex, names
from dbx.pixels.index.matching import matcher
from dbx.pixels.table import ObjectTable
from index_fixtures import OpenIndex
from index_table import found, instance, shown
from table_rows import rows

pytest_plugins = ["postgres", "index_fixtures"]

NAME = "00100010"
LETTERS = 'aän"[-\\^ =山太郎\0'
NAMES = ["Anna", 'An"an^Na', "Nana^Ann", "anän na", "a[n]a", "山太郎=ana=nan", "An\\na", "ann\0ana", "", "n-a-n"]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingIndex]:
    """A study of each name."""
    catalog = Catalog(home=str(tmp_path_factory.mktemp("home")))
    table = ObjectTable.create_if_missing(catalog.location())
    table.save(rows(*(instance(f"/{at}", at, PatientName=name) for at, name in enumerate(NAMES))))
    index = ServingIndex.open(catalog)
    index.sync()
    yield index
    index.close()


@settings(max_examples=200, deadline=None)
@example("*\0", False)
@example("*^", False)
@given(st.text(LETTERS + "*?", max_size=8), st.booleans())
def test_a_pattern_finds_the_names_that_it_matches(index: ServingIndex, pattern: str, fuzzy: bool) -> None:
    demanded = matcher("PatientName", "PN", pattern, fuzzy=fuzzy)
    values = shown(index, Level.STUDY, NAME)
    expected = {uid for uid, told in values.items() if demanded is None or demanded.holds(told[0] if told else {})}
    assert set(found(index, Level.STUDY, (NAME, pattern), fuzzy=fuzzy)) == expected


def test_long_patterns_are_looked_up(index: ServingIndex) -> None:
    pattern = "".join(f"{number:04}" for number in range(240))
    assert found(index, Level.STUDY, (NAME, f"*{pattern}*")) == []


@pytest.mark.parametrize("most", [1, names.MOST])
def test_names_that_come_and_go_are_found_and_not(
    open_index: OpenIndex, table: ObjectTable, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Whether few or many have the name."""
    monkeypatch.setattr(names, "MOST", most)
    index = open_index()

    table.save(rows(*(instance(f"/{at}", at, PatientName="Berg^Ida") for at in range(3))))
    index.sync()
    assert found(index, Level.STUDY, (NAME, "*berg*"), fuzzy=True) == ["1.2.0", "1.2.1", "1.2.2"]
    assert found(index, Level.SERIES, (NAME, "*berg*"), fuzzy=True) == ["1.2.0.1", "1.2.1.1", "1.2.2.1"]
    table.save(rows(instance("/1", 1, PatientName="Dahl^Ida", minutes=1)))
    table.remove_under("/2")
    for bring_up_to_date in (index.sync, index.rebuild):
        bring_up_to_date()
        assert found(index, Level.STUDY, (NAME, "*berg*")) == ["1.2.0"]
        assert found(index, Level.STUDY, (NAME, "*dahl*")) == ["1.2.1"]
        assert found(index, Level.STUDY, (NAME, "*ida*")) == ["1.2.0", "1.2.1"]
