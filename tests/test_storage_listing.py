"""Listing local folders: everything once, in order, and nothing said to be complete that is not."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dbx.pixels.errors import ArgumentError, ObjectNotFoundError, StorageError
from dbx.pixels.storage import LISTING_SCHEMA, Home, Listing, list_objects
from dbx.pixels.storage.listing import FIRST_ROWS


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty folder to be listed."""
    root = tmp_path / "root"
    root.mkdir()
    return root


def write(root: Path, *names: str) -> None:
    """Write small files, and the folders that they lie in."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"bytes")


def write_many(root: Path, count: int) -> None:
    """Write files named by their number; links to one another are made faster than files."""
    write(root, f"{0:05}")
    for number in range(1, count):
        os.link(root / f"{0:05}", root / f"{number:05}")


def listing_of(root: Path | str, tmp_path: Path, **options: object) -> Listing:
    """Prepare a listing with a home folder of its own."""
    return list_objects(str(root), Home(tmp_path / "home"), **options)  # type: ignore[arg-type]


def names(listing: Listing) -> list[str]:
    """List, and return the paths below the root."""
    paths = [path for batch in listing.batches() for path in batch["path"].to_pylist()]
    assert all(path.startswith(listing.root) for path in paths)
    return [path[len(listing.root) + 1 :] for path in paths]


def test_files_come_in_order_with_time_and_length(root: Path, tmp_path: Path) -> None:
    write(root, "b", "a/z", "a/b/1", "é", "a.dcm")
    modified = datetime(2024, 2, 29, 12, 0, 0, 123456, UTC)
    os.utime(root / "b", ns=(0, int(modified.timestamp()) * 10**9 + 123_456_789))
    listing = listing_of(root, tmp_path)
    (batch,) = listing.batches()
    assert batch.schema == LISTING_SCHEMA
    assert [path[len(str(root)) + 1 :] for path in batch["path"].to_pylist()] == ["a.dcm", "b", "é", "a/z", "a/b/1"]
    assert batch.slice(1, 1).to_pylist() == [
        {"path": f"{root}/b", "modificationTime": modified, "length": 5, "is_anon": False}
    ]
    assert listing.complete
    assert not listing.problems


def test_a_listing_can_be_repeated_and_sees_what_changed(root: Path, tmp_path: Path) -> None:
    write(root, "a", "b")
    listing = listing_of(root, tmp_path)
    assert names(listing) == ["a", "b"]
    (root / "a").unlink()
    write(root, "c")
    assert names(listing) == ["b", "c"]


def test_many_files_come_in_batches_that_grow(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbx.pixels.storage.listing.MOST_ROWS", 2 * FIRST_ROWS)
    write_many(root, 5 * FIRST_ROWS + 2)
    listing = listing_of(root, tmp_path)
    assert [batch.num_rows for batch in listing.batches()] == [FIRST_ROWS, 2 * FIRST_ROWS, 2 * FIRST_ROWS, 2]
    assert listing.complete


def test_a_listing_that_was_not_read_to_its_end_is_not_complete(root: Path, tmp_path: Path) -> None:
    write(root, "a")
    listing = listing_of(root, tmp_path)
    assert not listing.complete
    next(listing.batches())
    assert not listing.complete


def test_a_root_may_be_one_file(root: Path, tmp_path: Path) -> None:
    write(root, "a")
    listing = listing_of(root / "a", tmp_path)
    assert [batch["path"].to_pylist() for batch in listing.batches()] == [[f"{root}/a"]]


def test_a_root_that_is_neither_file_nor_folder_is_told_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError, match="neither a folder nor a regular file"):
        listing_of(tmp_path / "pipe", tmp_path)


def test_a_file_that_vanishes_before_it_is_listed_is_a_problem(root: Path, tmp_path: Path) -> None:
    write(root, "a")
    listing = listing_of(root / "a", tmp_path)
    (root / "a").unlink()
    assert list(listing.batches()) == []
    assert [problem.message for problem in listing.problems] == ["does not exist"]
    assert not listing.complete


def test_a_root_that_does_not_exist_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ObjectNotFoundError, match="does not exist"):
        listing_of(tmp_path / "nothing", tmp_path)


def test_the_inside_of_an_archive_is_no_root(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="archive"):
        listing_of("zip://a::/x.zip", tmp_path)


def test_without_recursion_only_the_root_itself_is_listed(root: Path, tmp_path: Path) -> None:
    write(root, "a.dcm", "a.txt", "ct/b.dcm", "mr/c.dcm")
    assert names(listing_of(root, tmp_path, recurse=False)) == ["a.dcm", "a.txt"]


def test_a_volume_is_listed_under_its_public_name(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    write(home.volumes, "main/scans/incoming/ct/1.dcm")
    listing = list_objects("/Volumes/main/scans/incoming", home)
    assert names(listing) == ["ct/1.dcm"]
    assert listing.root == "/Volumes/main/scans/incoming"
    assert listing.local_root == f"{home.volumes}/main/scans/incoming"


def test_hidden_files_delta_tables_and_the_home_folders_own_are_left_out(root: Path) -> None:
    home = Home(root / "home")
    write(root, "a", ".hidden", ".git/config", "table/_delta_log/0.json", "table/part.parquet", "_a")
    write(home.root, "tables/c/s/t/x", "models/m", "index/i", "mlflow/m", "ai/sessions/a", "Volumes/c/s/v/1.dcm")
    listing = list_objects(str(root), home)
    assert names(listing) == ["_a", "a", "home/Volumes/c/s/v/1.dcm"]
    assert listing.complete


def test_special_files_are_left_out(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, "a")
    os.mkfifo(root / "pipe")
    monkeypatch.chdir(root)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        listing = listing_of(root, tmp_path)
        assert names(listing) == ["a"]
    assert listing.complete


def test_links_are_followed_and_nothing_comes_twice(root: Path, tmp_path: Path) -> None:
    write(tmp_path / "other disk", "1.dcm", "deep/2.dcm")
    write(root, "real/a", "b")
    (root / "0 link to real").symlink_to("real")
    (root / "disk").symlink_to(tmp_path / "other disk")
    (root / "disk again").symlink_to(tmp_path / "other disk")
    (root / "file").symlink_to(tmp_path / "other disk" / "1.dcm")
    (root / "real" / "loop").symlink_to(root)
    (root / "real" / "everything").symlink_to("/")
    listing = listing_of(root, tmp_path)
    assert names(listing) == ["b", "file", "real/a", "disk/1.dcm", "disk/deep/2.dcm"]
    assert listing.complete


def test_a_link_to_nothing_may_be_a_disk_that_was_taken_away(root: Path, tmp_path: Path) -> None:
    write(root, "a")
    (root / "disk").symlink_to(tmp_path / "unmounted")
    (root / "loop").symlink_to("loop")
    listing = listing_of(root, tmp_path)
    assert names(listing) == ["a"]
    assert [problem.path for problem in listing.problems] == [f"{root}/disk", f"{root}/loop"]
    assert not listing.complete


@pytest.mark.skipif(os.uname().sysname == "Darwin", reason="macOS refuses such names")
def test_a_name_that_is_no_utf8_is_a_problem_of_its_own(root: Path, tmp_path: Path) -> None:
    write(root, "a", "z")
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9")).write_bytes(b"")
    listing = listing_of(root, tmp_path)
    assert names(listing) == ["a", "z"]
    assert [tuple(problem) for problem in listing.problems] == [
        (f"{root}/caf\\xe9", "has a name that is not UTF-8; rename it to take it in")
    ]
    assert listing.complete  # no table can have held it, so nothing may be taken for vanished


@pytest.fixture
def unprivileged_root(tmp_path: Path) -> Iterator[Path]:  # noqa: ARG001 - made before the user changes
    """A folder below which not all may be read, and a user who may not."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        root.chmod(0o755)
        write(root, "a", "locked/b", "open/c")
        (root / "locked").chmod(0)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)  # nobody
        try:
            yield root
        finally:
            os.seteuid(user)
            (root / "locked").chmod(0o755)


def test_a_folder_that_may_not_be_read_is_a_problem_and_stops_nothing(unprivileged_root: Path, tmp_path: Path) -> None:
    listing = listing_of(unprivileged_root, tmp_path)
    assert names(listing) == ["a", "open/c"]
    assert [problem.path for problem in listing.problems] == [f"{unprivileged_root}/locked"]
    assert "read" in listing.problems[0].message
    assert not listing.complete


def test_files_may_vanish_while_they_are_listed(root: Path, tmp_path: Path) -> None:
    write_many(root, 20_000)
    remover = threading.Thread(target=lambda: [path.unlink() for path in sorted(root.iterdir(), reverse=True)])
    remover.start()
    listing = listing_of(root, tmp_path)
    while remover.is_alive():
        assert len(names(listing)) <= 20_000
        assert listing.complete
    remover.join()
    assert names(listing) == []


def test_a_folder_that_vanishes_before_it_is_reached_makes_the_listing_incomplete(root: Path, tmp_path: Path) -> None:
    write_many(root / "a", FIRST_ROWS)
    write(root, "b/1")
    listing = listing_of(root, tmp_path)
    batches = listing.batches()
    next(batches)
    (root / "b").rename(tmp_path / "unmounted")
    assert list(batches) == []
    assert [problem.path for problem in listing.problems] == [f"{root}/b"]
    assert not listing.complete
