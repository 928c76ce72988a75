"""The serving index follows the table, in SQLite and in PostgreSQL."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest

from dbx.pixels import Catalog
from dbx.pixels.index import Level, Search, ServingIndex
from dbx.pixels.table import EVERYTHING, ObjectTable, optimize
from index_table import instance, paths, shown
from table_rows import ct_slice, rows

if TYPE_CHECKING:
    from index_fixtures import OpenIndex

pytest_plugins = ["postgres", "index_fixtures"]


def test_a_table_that_does_not_exist_is_an_empty_one(open_index: OpenIndex) -> None:
    index = open_index()

    assert index.sync() == -1
    assert index.search(Search(Level.STUDY), EVERYTHING).datasets == []
    assert index.find("1.2.1.1.1", EVERYTHING) is None


def test_rows_appear_change_and_go(open_index: OpenIndex, table: ObjectTable) -> None:
    index = open_index()
    table.save(rows(instance("/a"), instance("/b", number=2)))
    assert index.sync() == table.version
    assert paths(index) == {"/a", "/b"}

    table.save(rows(instance("/b", number=2, minutes=5, PatientID="renamed"), instance("/c", study=2)))
    index.sync()
    assert paths(index) == {"/a", "/b", "/c"}
    assert shown(index, Level.STUDY, "00201208") == {"1.2.1": [2], "1.2.2": [1]}

    table.remove_under("/c")
    index.sync()
    assert shown(index, Level.STUDY, "00201208") == {"1.2.1": [2]}


def test_an_index_that_another_process_brought_up_to_date_shows_it(open_index: OpenIndex, table: ObjectTable) -> None:
    one, other = open_index(), open_index()
    table.save(rows(instance("/a")))
    one.sync()

    assert paths(other) == {"/a"}
    table.save(rows(instance("/b", number=2)))
    other.sync()
    assert paths(one) == {"/a", "/b"}
    assert one.sync() == table.version


def test_compaction_and_vacuum_change_nothing(open_index: OpenIndex, table: ObjectTable) -> None:
    index = open_index()
    for number in range(1, 7):
        table.save(rows(instance(f"/{number}", study=number % 3, number=number)))
        index.sync()
    before = answers(index)

    optimize(table)
    assert len(table.files()) == 1
    assert index.sync() == table.version
    assert answers(index) == before
    table.save(rows(instance("/7", study=0, number=7)))
    table.remove_under("/3")
    index.sync()
    assert answers(index) == answers(rebuilt(index))


def test_whatever_happens_it_equals_an_index_made_anew(open_index: OpenIndex, table: ObjectTable) -> None:
    index = open_index()
    for step in range(8):
        chunk = [
            instance(f"/{step}-{number}", study=(step + number) % 4, series=number % 2, number=number, minutes=step)
            for number in range(5)
        ]
        table.save(rows(*chunk))
        if step % 3 == 2:
            table.remove_under(f"/{step - 1}-1", f"/{step - 2}-0")
        if step == 5:
            optimize(table)
        index.sync()
    followed = answers(index)

    assert followed == answers(rebuilt(index))


@pytest.mark.parametrize("pack_bytes", [1500, 2**20])
def test_a_series_that_grows_object_by_object_equals_one_made_anew(
    open_index: OpenIndex, table: ObjectTable, monkeypatch: pytest.MonkeyPatch, pack_bytes: int
) -> None:
    monkeypatch.setattr("dbx.pixels.index.packing.PACK_BYTES", pack_bytes)
    index = open_index()
    blob = bytes(range(256)) * 8
    for number in (5, 7, 2, 9, 1, 8, 3, 10, 6, 4, None):  # now and then the first one is new
        table.save(
            rows(
                instance(
                    f"/{number}",
                    SOPInstanceUID=f"1.2.1.1.{number or 0}",
                    InstanceNumber=number,
                    SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{number or 0}",
                    SeriesDescription=f"as {number} tells",
                    RedPaletteColorLookupTableData=blob,
                    Rows=number and 512 + number % 2,
                )
            )
        )
        index.sync()
    followed, packs = answers(index), len(list(index.packed_metadata("1.2.1", "1.2.1.1", EVERYTHING)))

    assert shown(index, Level.SERIES, "0008103E") == {"1.2.1.1": ["as 1 tells"]}
    assert (packs > 2) == (pack_bytes < 2**20)
    assert followed == answers(rebuilt(index))


def test_what_shares_a_uid_with_a_growing_series_is_found_out(open_index: OpenIndex, table: ObjectTable) -> None:
    index = open_index()
    for number in range(1, 4):
        table.save(rows(instance(f"/{number}", number=number)))
        index.sync()
    table.save(
        rows(
            instance("/4", number=4),
            instance("/newer 2", number=2, minutes=1),
            instance("/3 elsewhere", study=2, number=3, SOPInstanceUID="1.2.1.1.3"),
            instance("/twice", study=3, number=1),
            instance("/twice, newer", study=3, number=1, minutes=1),
        )
    )
    index.sync()

    assert paths(index) == {"/1", "/newer 2", "/3", "/4", "/twice, newer"}
    assert answers(index) == answers(rebuilt(index))


def test_of_objects_with_one_uid_the_newest_is_shown_until_it_goes(open_index: OpenIndex, table: ObjectTable) -> None:
    index = open_index()
    table.save(rows(instance("/old"), instance("/new", minutes=1), instance("/new copy", minutes=1)))
    index.sync()
    assert paths(index) == {"/new"}
    assert shown(index, Level.SERIES, "00201209") == {"1.2.1.1": [1]}

    table.remove_under("/new")
    index.sync()
    assert paths(index) == {"/new copy"}
    table.remove_under("/new copy")
    index.sync()
    assert paths(index) == {"/old"}


def test_a_copy_in_another_series_hides_and_gives_back(open_index: OpenIndex, table: ObjectTable) -> None:
    index = open_index()
    table.save(rows(instance("/a")))
    index.sync()
    table.save(rows(instance("/moved", study=9, SOPInstanceUID="1.2.1.1.1", minutes=1)))
    index.sync()
    assert shown(index, Level.STUDY, "00201208") == {"1.2.9": [1]}

    table.remove_under("/moved")
    index.sync()
    assert shown(index, Level.STUDY, "00201208") == {"1.2.1": [1]}


def test_a_table_that_was_made_anew_is_followed(open_index: OpenIndex, catalog: Catalog, table: ObjectTable) -> None:
    index = open_index()
    for number in range(3):
        table.save(rows(instance(f"/{number}", number=number)))
    index.sync()
    shutil.rmtree(catalog.location())
    assert index.sync() == -1
    assert paths(index) == set()

    ObjectTable.create_if_missing(catalog.location()).save(rows(instance("/again")))
    index.sync()
    assert paths(index) == {"/again"}


def test_objects_without_uids_are_left_out(open_index: OpenIndex, table: ObjectTable) -> None:
    index = open_index()
    table.save(rows(instance("/a"), instance("/no series", SeriesInstanceUID=None), {"path": "/text", "length": 1}))
    index.sync()

    assert paths(index) == {"/a"}


def test_several_threads_and_processes_may_sync_at_once(
    open_index: OpenIndex, table: ObjectTable, catalog: Catalog, index_url: str | None
) -> None:
    index = open_index()
    for number in range(4):
        table.save(rows(instance(f"/{number}", number=number)))
    spawn = multiprocessing.get_context("spawn")
    workers: list = [threading.Thread(target=index.sync) for _ in range(3)]
    workers += [spawn.Process(target=_sync, args=(str(catalog.home.root), index_url)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert [process.exitcode for process in workers[3:]] == [0, 0]
    assert len(index.instances("1.2.1", None, None, EVERYTHING)) == 4


def _sync(home: str, url: str | None) -> None:
    index = ServingIndex.open(Catalog(home=home), url)
    index.sync()
    index.close()


@pytest.mark.parametrize(
    "lose", [Path.unlink, lambda file: file.write_bytes(b"no database" * 1000)], ids=["deleted", "damaged"]
)
def test_a_file_that_is_lost_is_made_anew(
    catalog: Catalog, table: ObjectTable, home: Path, lose: Callable[[Path], object]
) -> None:
    table.save(rows(instance("/a")))
    index = ServingIndex.open(catalog)
    index.sync()
    before = answers(index)
    index.close()
    for file in (home / "index").iterdir():
        lose(file)

    again = ServingIndex.open(catalog)
    again.sync()
    assert answers(again) == before


def answers(index: ServingIndex) -> dict[str, object]:
    """All that the index tells, in no order."""
    told: dict[str, object] = {}
    for level in Level:
        found = index.search(Search(level, include_all=True), EVERYTHING).datasets
        told[level] = sorted(json.dumps(data_set, sort_keys=True) for data_set in found)
    for data_set in index.search(Search(Level.SERIES), EVERYTHING).datasets:
        study, series = data_set["0020000D"]["Value"][0], data_set["0020000E"]["Value"][0]
        told[series] = (
            [found.path for found in index.instances(study, series, None, EVERYTHING)],
            sorted(map(orjson.loads, index.metadata(study, series, None, EVERYTHING)), key=str),
        )
    return told


def rebuilt(index: ServingIndex) -> ServingIndex:
    index.rebuild()
    return index


def test_much_metadata_that_is_added_at_once_fits_into_little_memory(
    open_index: OpenIndex, table: ObjectTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbx.pixels.index.source._MEMORY_LIMIT", "160MB")
    index = open_index()
    table.save(rows(instance("/first", 2)))
    index.sync()
    comments = json.dumps({"00204000": {"vr": "LT", "Value": ["o" * 20_000]}})
    table.save(rows(*(ct_slice(f"/{at}", instance=at, meta=comments) for at in range(15_000))))
    index.sync()
    assert index.totals() == {Level.STUDY: 2, Level.SERIES: 2, Level.INSTANCE: 15_001}
