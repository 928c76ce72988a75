"""Several writers at once, and writers that are killed: every path once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from deltalake import DeltaTable

from dbx.pixels.errors import CommitConflictError
from dbx.pixels.table import ObjectTable, optimize
from table_rows import live, row, rows

#: Saves paths from..to in chunks, in an order of its own, until it is done or killed.
WRITER = """
import random, sys
from table_rows import row, rows
from dbx.pixels.table import ObjectTable
location, first, last, seed = sys.argv[1], *map(int, sys.argv[2:])
chunks = [range(start, min(start + 7, last)) for start in range(first, last, 7)]
random.Random(seed).shuffle(chunks)
table = ObjectTable.create_if_missing(location)
print("ready", flush=True)
sys.stdin.readline()
for chunk in chunks:
    table.save(rows(*(row(f"/a/{number:04}") for number in chunk)))
"""


def start_writer(location: str, first: int, last: int, seed: int) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-c", WRITER, location, *map(str, (first, last, seed))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def let_go(*writers: subprocess.Popen[str]) -> None:
    """Wait until all writers are ready, then let them write at the same time."""
    for writer in writers:
        assert writer.stdout
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("\n")
        writer.stdin.flush()


def test_two_writers_of_overlapping_paths_both_complete_and_double_nothing(tmp_path: Path) -> None:
    location = str(tmp_path / "objects")
    writers = [start_writer(location, 0, 84, seed=1), start_writer(location, 42, 126, seed=2)]
    let_go(*writers)
    assert [writer.wait() for writer in writers] == [0, 0]
    assert live(ObjectTable.open(location)) == {f"/a/{number:04}": 1000 for number in range(126)}


def test_a_writer_and_compactions_at_once_lose_nothing(tmp_path: Path) -> None:
    table = ObjectTable.create_if_missing(str(tmp_path / "objects"))
    writer = start_writer(table.location, 0, 140, seed=3)
    let_go(writer)
    compacted = 0
    while writer.poll() is None:
        compacted += optimize(table).compacted
        time.sleep(0.05)  # leaves the writer a core
    assert writer.returncode == 0
    assert compacted > 0
    assert live(table) == {f"/a/{number:04}": 1000 for number in range(140)}


def test_killed_at_any_moment_and_run_again_every_path_is_there_once(tmp_path: Path) -> None:
    location = str(tmp_path / "objects")
    chance = random.Random(7)
    for attempt in range(2):
        writer = start_writer(location, 0, 140, seed=attempt)
        let_go(writer)
        time.sleep(chance.uniform(0.02, 0.4))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        live(ObjectTable.open(location))  # readable, nothing doubled
    writer = start_writer(location, 0, 140, seed=9)
    let_go(writer)
    assert writer.wait() == 0
    assert live(ObjectTable.open(location)) == {f"/a/{number:04}": 1000 for number in range(140)}


def test_a_commit_that_loses_is_decided_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between reading the newest version and the commit, another writer saves the same paths."""
    table = ObjectTable.create_if_missing(str(tmp_path / "objects"))
    other = ObjectTable.open(table.location)
    refresh = table.log.refresh

    def refresh_then_lose() -> bool:
        changed = refresh()
        monkeypatch.undo()
        other.save(rows(row("/a/1"), row("/a/2", length=5)))
        return changed

    monkeypatch.setattr(table.log, "refresh", refresh_then_lose)
    saved = table.save(rows(row("/a/1"), row("/a/2"), row("/a/3")))
    assert (saved.new, saved.changed, saved.unchanged) == (1, 1, 1)
    assert live(table) == {"/a/1": 1000, "/a/2": 1000, "/a/3": 1000}
    assert len(list(Path(table.location).glob("*.parquet"))) == 3, "the lost attempt left its file behind"


def test_a_row_that_is_saved_anew_while_its_removal_is_committed_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = ObjectTable.create_if_missing(str(tmp_path / "objects"))
    table.save(rows(row("/a/1"), row("/a/2")))
    known = table.known().read_all()
    other = ObjectTable.open(table.location)
    commit = table.log.commit

    def commit_too_late(*arguments: object, **options: object) -> bool:
        monkeypatch.undo()
        other.save(rows(row("/a/1", minutes=5)))
        return commit(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(table.log, "commit", commit_too_late)
    assert table.remove(known).removed == 1
    assert live(table) == {"/a/1": 1000}


def test_a_foreign_compaction_in_between_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = ObjectTable.create_if_missing(str(tmp_path / "objects"))
    table.save(rows(row("/a/1"), row("/a/2")))
    table.save(rows(row("/a/3")))
    refresh = table.log.refresh

    def refresh_then_compact() -> bool:
        changed = refresh()
        monkeypatch.undo()
        DeltaTable(table.location).optimize.compact()
        return changed

    monkeypatch.setattr(table.log, "refresh", refresh_then_compact)
    assert table.save(rows(row("/a/1", length=5))).changed == 1
    assert live(table) == {"/a/1": 5, "/a/2": 1000, "/a/3": 1000}


def test_losing_without_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = ObjectTable.create_if_missing(str(tmp_path / "objects"))
    other = ObjectTable.open(table.location)
    lost = iter(range(100))
    commit = table.log.commit

    def commit_after_another(*arguments: object, **options: object) -> bool:
        other.save(rows(row(f"/other/{next(lost)}")))
        return commit(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("dbx.pixels.table.objects.ATTEMPTS", 3)
    monkeypatch.setattr(table.log, "commit", commit_after_another)
    with pytest.raises(CommitConflictError, match="faster 3 times"):
        table.save(rows(row("/a/1")))
    assert len(live(table)) == 3
    assert len(list(Path(table.location).glob("*.parquet"))) == 3
