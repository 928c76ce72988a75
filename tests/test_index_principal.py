"""Row filters: reads of the index show what the principal may see, and tell nothing of the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
import pytest

from dbx.pixels.errors import TableError
from dbx.pixels.index import Level, Search, ServingIndex
from dbx.pixels.table import EVERYTHING, ObjectTable, Principal, optimize
from index_table import instance, uid_of
from table_rows import rows

if TYPE_CHECKING:
    from index_fixtures import OpenIndex

pytest_plugins = ["postgres", "index_fixtures"]


@dataclass(frozen=True)
class Visitor:
    """Someone who may see the rows of a predicate."""

    predicate: str

    def row_filter(self, table: str) -> str | None:  # noqa: ARG002 - the protocol's argument
        return self.predicate


ONE_PATIENT = Visitor("PatientID = 'P1'")
FIRST_SLICES = Visitor("InstanceNumber = 1 OR SeriesNumber = 7")
NOBODY = Visitor("false")


@pytest.fixture
def index(open_index: OpenIndex, table: ObjectTable) -> ServingIndex:
    """Two patients; a second slice and a second series that know more than the first."""
    table.save(
        rows(
            instance("/1", 1, StudyDescription=None),
            instance("/2", 1, number=2, Modality="OT", SOPClassUID="1.2.3", StudyDescription="Secret"),
            instance("/3", 1, 2, SeriesNumber=7, Modality="MR"),
            instance("/4", 2),
        )
    )
    index = open_index()
    index.sync()
    return index


def uids(index: ServingIndex, level: Level, principal: Principal) -> list[str]:
    return [uid_of(told, level) for told in index.search(Search(level), principal).datasets]


def test_whoever_may_see_nothing_is_shown_nothing(index: ServingIndex) -> None:
    assert [uids(index, level, NOBODY) for level in Level] == [[], [], []]
    assert index.instances("1.2.1", None, None, NOBODY) == []
    assert index.find("1.2.1.1.1", NOBODY) is None
    assert list(index.metadata("1.2.1", "1.2.1.1", None, NOBODY)) == []
    assert list(index.packed_metadata("1.2.1", "1.2.1.1", NOBODY)) == []


def test_reads_show_what_is_visible(index: ServingIndex) -> None:
    assert uids(index, Level.STUDY, ONE_PATIENT) == ["1.2.1"]
    assert uids(index, Level.SERIES, ONE_PATIENT) == ["1.2.1.2", "1.2.1.1"]
    assert index.find("1.2.2.1.1", ONE_PATIENT) is None
    assert len(index.instances("1.2.1", None, None, ONE_PATIENT)) == 3
    (seen, all_) = (index.packed_metadata("1.2.1", "1.2.1.1", principal) for principal in (ONE_PATIENT, EVERYTHING))
    assert list(seen) == list(all_)


def test_a_series_that_is_visible_in_part_tells_of_that_part(index: ServingIndex) -> None:
    (told,) = map(orjson.loads, index.metadata("1.2.1", "1.2.1.1", None, FIRST_SLICES))
    (pack,) = index.packed_metadata("1.2.1", "1.2.1.1", FIRST_SLICES)
    assert orjson.loads(pack.text()) == told
    assert told["00200013"]["Value"] == [1]
    series = index.search(Search(Level.SERIES, study="1.2.1", series="1.2.1.1"), FIRST_SLICES).datasets[0]
    assert series["00201209"]["Value"] == [1]
    study = index.search(Search(Level.STUDY, study="1.2.1", include_all=True), FIRST_SLICES).datasets[0]
    assert study["00201208"]["Value"] == [2]
    assert "1.2.3" not in study["00080062"]["Value"]
    assert "00081030" not in study


def test_of_doubled_uids_the_visible_one_is_shown(index: ServingIndex, table: ObjectTable) -> None:
    table.save(rows(instance("/newer", 1, minutes=5, StationName="elsewhere")))
    index.sync()
    visitor = Visitor("StationName IS NULL")

    newest, older = index.find("1.2.1.1.1", EVERYTHING), index.find("1.2.1.1.1", visitor)
    assert newest
    assert older
    assert (newest.path, older.path) == ("/newer", "/1")
    (pack,) = index.packed_metadata("1.2.1", "1.2.1.1", visitor)
    assert b"00081010" not in pack.text()
    assert all("00081010" not in orjson.loads(text) for text in index.metadata("1.2.1", None, None, visitor))
    (told,) = index.search(Search(Level.STUDY, study="1.2.1"), visitor).datasets
    assert told["00201208"]["Value"] == [3]


def test_what_is_visible_follows_the_table(index: ServingIndex, table: ObjectTable) -> None:
    assert len(uids(index, Level.INSTANCE, ONE_PATIENT)) == 3
    table.save(rows(instance("/5", 1, 3), instance("/6", 2, 2)))
    table.remove_under("/1")
    index.sync()

    assert uids(index, Level.SERIES, ONE_PATIENT) == ["1.2.1.2", "1.2.1.1", "1.2.1.3"]
    assert index.find("1.2.1.1.1", ONE_PATIENT) is None


@pytest.mark.parametrize("most_changed", [0, 5000])
def test_what_is_visible_after_changes_is_what_another_one_with_the_same_rights_sees(
    index: ServingIndex, table: ObjectTable, monkeypatch: pytest.MonkeyPatch, most_changed: int
) -> None:
    monkeypatch.setattr("dbx.pixels.index.following.MOST_CHANGED", most_changed)
    changes: list[Callable[[], object]] = [
        lambda: table.save(rows(instance("/5", 1, number=3), instance("/6", 1, 3, SeriesNumber=7))),
        lambda: table.save(rows(instance("/newer", 1, minutes=5, InstanceNumber=9), instance("/7", 3))),
        lambda: table.remove_under("/newer", "/4"),
        lambda: optimize(table),
        lambda: table.save(rows(instance("/8", 4), instance("/3", 1, 2, minutes=9, SeriesNumber=8))),
    ]
    seen = [answers(index, FIRST_SLICES)]
    for number, change in enumerate(changes):
        change()
        index.sync()
        seen.append(answers(index, FIRST_SLICES))
        assert seen[-1] == answers(index, Visitor(f"({FIRST_SLICES.predicate}) AND {number} = {number}"))
    assert len({str(told) for told in seen}) == len(seen) - 1  # all but `optimize` have changed something


def answers(index: ServingIndex, principal: Principal) -> list[object]:
    searches = [index.search(Search(level, include_all=True), principal).datasets for level in Level]
    told = [sorted(str(dict(sorted(data_set.items()))) for data_set in found) for found in searches]
    objects = [index.instances(uid, None, None, principal) for uid in uids(index, Level.STUDY, principal)]
    return [*told, *objects]


def test_a_filter_that_is_wrong_shows_nothing(index: ServingIndex) -> None:
    with pytest.raises(TableError, match="NoColumn"):
        uids(index, Level.STUDY, Visitor("NoColumn = 1"))
