"""Rows that several machines stage, while others write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from dbx.pixels.table.objects import ObjectTable, StreamTransaction
from dbx.pixels.table.schema import MODIFICATION_TIME
from dbx.pixels.table.staging import Staged, commit_staged, stage
from dbx.pixels.table.upkeep import optimize


@pytest.fixture
def table(tmp_path: Path) -> ObjectTable:
    """A table that knows two objects."""
    table = ObjectTable.create_if_missing(str(tmp_path / "table"))
    table.save(objects("a", "b"))
    return table


def objects(*paths: str, length: int = 1) -> pa.Table:
    times = pa.array([0] * len(paths), pa.int64()).cast(MODIFICATION_TIME)
    return pa.table({"path": list(paths), "modificationTime": times, "length": [length] * len(paths)})


def staged(table: ObjectTable, *chunks: pa.Table) -> list[Staged]:
    """What machines send of a chunk each."""
    return [Staged.from_json(stage(chunk, table.location, table.version).to_json()) for chunk in chunks]


def rows(table: ObjectTable) -> list[tuple[str, int]]:
    """Path and length of all objects."""
    table.refresh()
    known = table.known().read_all()
    return sorted(zip(known["path"].to_pylist(), known["length"].to_pylist(), strict=True))


def data_files(table: ObjectTable) -> set[str]:
    return {Path(file).name for file in table.files()}


def test_one_commit_takes_in_what_all_staged(table: ObjectTable) -> None:
    version = table.version
    done = commit_staged(table, staged(table, objects("b", "c"), objects("a", length=2), objects("d")), version)
    assert (done.new, done.changed, done.unchanged, done.version) == (2, 1, 1, version + 1)
    assert rows(table) == [("a", 2), ("b", 1), ("c", 1), ("d", 1)]


def save_another(table: ObjectTable) -> None:
    table.save(objects("other"))


@pytest.mark.parametrize("meanwhile", [save_another, optimize])
def test_writers_of_other_objects_cost_nothing(table: ObjectTable, meanwhile: Callable[[ObjectTable], object]) -> None:
    table.save(objects("e"))
    parts, version = staged(table, objects("c"), objects("d")), table.version
    meanwhile(ObjectTable.open(table.location))
    done = commit_staged(table, parts, version)
    assert done.new == 2
    assert {file.path for part in parts for file in part.files} <= data_files(table)
    assert {("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1)} <= set(rows(table))


def test_of_objects_that_another_writer_saved_there_is_one_row(table: ObjectTable) -> None:
    parts, version = staged(table, objects("c", "d"), objects("e")), table.version
    ObjectTable.open(table.location).save(objects("d"))
    done = commit_staged(table, parts, version)
    assert (done.new, done.unchanged) == (2, 1)
    assert rows(table) == [("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1)]


def test_a_changed_row_leaves_the_file_that_it_is_in_by_now(table: ObjectTable) -> None:
    table.save(objects("e"))
    parts, version = staged(table, objects("a", length=2)), table.version
    optimize(ObjectTable.open(table.location))
    assert commit_staged(table, parts, version).changed == 1
    assert rows(table) == [("a", 2), ("b", 1), ("e", 1)]


def test_a_row_that_several_staged_is_saved_once(table: ObjectTable) -> None:
    commit_staged(table, staged(table, objects("c"), objects("c", "d")), table.version)
    assert rows(table) == [("a", 1), ("b", 1), ("c", 1), ("d", 1)]


def test_a_transaction_that_another_writer_has_committed_is_not_repeated(table: ObjectTable) -> None:
    transaction = StreamTransaction("stream", 1)
    parts, version = staged(table, objects("c")), table.version
    ObjectTable.open(table.location).save(objects("x"), transaction=transaction)
    commit_staged(table, parts, version, transaction=transaction)
    assert rows(table) == [("a", 1), ("b", 1), ("x", 1)]
