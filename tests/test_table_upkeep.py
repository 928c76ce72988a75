"""Compaction, checkpoints and vacuum."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from dbx.pixels.errors import TableError
from dbx.pixels.table import ObjectTable, optimize, optimize_if_due, query
from table_rows import ct_slice, live, row, rows


@pytest.fixture
def table(tmp_path: Path) -> ObjectTable:
    return ObjectTable.create_if_missing(str(tmp_path / "objects"))


def test_many_small_commits_become_one_sorted_file(table: ObjectTable) -> None:
    for number in range(100):
        table.save(rows(ct_slice(f"/a/{number}", study=number % 5, instance=number)))
    version = table.version
    done = optimize(table)
    assert (done.compacted, done.written, done.deleted, done.version) == (100, 1, 0, version + 1)
    (uri,) = table.files()
    studies = pq.read_table(uri)["StudyInstanceUID"].to_pylist()
    assert studies == sorted(studies)
    assert len(live(table)) == 100
    assert query(table, "SELECT count(*) AS n FROM instances").read_all().to_pylist() == [{"n": 100}]
    assert (Path(table.location) / "_delta_log" / "_last_checkpoint").exists()
    assert table.save(rows(ct_slice("/a/1", study=1, instance=1), row("/b"))).unchanged == 1


def test_compaction_changes_no_row(table: ObjectTable) -> None:
    table.save(rows(ct_slice("/a/1", thumbnail=b"jpeg", issues=[{"tag": "00100010", "vr": "PN", "message": "odd"}])))
    table.save(rows(ct_slice("/a/2", instance=2)).append_column("site", pa.array(["north"])))
    before = live(table, *table.schema.names[1:])
    optimize(table)
    assert len(table.files()) == 1
    assert live(table, *table.schema.names[1:]) == before
    feed = DeltaTable(table.location).load_cdf(starting_version=table.version, allow_out_of_range=True)
    assert pa.table(feed).num_rows == 0


def test_large_files_are_left_alone(table: ObjectTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbx.pixels.table.upkeep.SMALL_BYTES", 1)
    table.save(rows(row("/a/1")))
    table.save(rows(row("/a/2")))
    assert optimize(table).compacted == 0
    assert len(table.files()) == 2


def test_compacted_files_keep_to_their_size(table: ObjectTable, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(9):
        table.save(rows(ct_slice(f"/a/{number}", study=number)))
    monkeypatch.setattr("dbx.pixels.table.upkeep.TARGET_BYTES", 4 * max(file.size for file in table.log.files.values()))
    assert optimize(table).written == 2
    assert len(table.files()) == 3


def test_a_table_is_compacted_by_itself_when_it_is_due(table: ObjectTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbx.pixels.table.upkeep.DUE_FILES", 4)
    for number in range(3):
        table.save(rows(row(f"/a/{number}")))
        optimize_if_due(table)
    assert len(table.files()) == 3
    table.save(rows(row("/a/3")))
    optimize_if_due(table)
    assert len(table.files()) == 1
    assert len(live(table)) == 4


def test_rows_that_change_during_compaction_win(table: ObjectTable, monkeypatch: pytest.MonkeyPatch) -> None:
    table.save(rows(row("/a/1")))
    table.save(rows(row("/a/2")))
    other = ObjectTable.open(table.location)

    def save_while_compacting(*arguments: object, **options: object) -> object:
        monkeypatch.undo()
        other.save(rows(row("/a/1", length=5)))
        return write_batches(*arguments, **options)  # type: ignore[arg-type]

    from dbx.pixels.table.parquet import write_batches

    monkeypatch.setattr("dbx.pixels.table.upkeep.write_batches", save_while_compacting)
    assert optimize(table).compacted == 0
    assert live(table) == {"/a/1": 5, "/a/2": 1000}
    assert optimize(table).compacted == 2


def test_what_no_version_needs_is_deleted_after_the_retention(table: ObjectTable) -> None:
    table.save(rows(row("/a/1"), row("/a/2")))
    replaced = Path(table.files()[0])
    table.save(rows(row("/a/1", length=5)))
    being_written = Path(table.location) / "part-being-written.zstd.parquet"
    orphan = Path(table.location) / "part-orphan.zstd.parquet"
    for file in (being_written, orphan):
        pq.write_table(rows(row("/a/9")), file)
    long_ago = time.time() - 8 * 24 * 3600
    os.utime(orphan, (long_ago, long_ago))
    foreign = Path(table.location) / "notes.txt"
    foreign.write_text("not Delta's")
    os.utime(foreign, (long_ago, long_ago))
    assert optimize(table).deleted == 1
    assert foreign.exists()
    assert [file.exists() for file in (orphan, being_written, replaced)] == [False, True, True]
    DeltaTable(table.location).alter.set_table_properties({"delta.deletedFileRetentionDuration": "interval 0 hours"})
    assert optimize(ObjectTable.open(table.location)).deleted > 0
    assert not replaced.exists()
    assert live(table) == {"/a/1": 5, "/a/2": 1000}


def test_upkeep_that_fails_tells_its_caller_but_no_ingest(
    table: ObjectTable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("dbx.pixels.table.upkeep.DUE_FILES", 1)
    table.save(rows(row("/a/1")))
    table.save(rows(row("/a/2")))
    files = [Path(uri) for uri in table.files()]
    files[0].rename(files[0].with_suffix(".gone"))
    optimize_if_due(table)
    assert "compaction is put off" in caplog.text
    with pytest.raises(TableError):
        optimize(table)
