"""Files on their way in: whole and on disk, or gone."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from dbx.pixels.catalog.incoming import Incoming
from dbx.pixels.errors import StorageError


def received(folder: Path) -> list[Path]:
    """The files that are being received."""
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]


def test_a_file_is_written_finished_and_discarded(tmp_path: Path) -> None:
    incoming = Incoming(tmp_path / "volume")
    file, other = incoming.create(), incoming.create()
    file.write(b"one ")
    file.write(b"two")
    file.finish()
    assert file.path.read_bytes() == b"one two"
    file.discard()
    file.discard()
    assert received(tmp_path) == [other.path]


def test_a_file_that_was_placed_is_not_discarded(tmp_path: Path) -> None:
    file = Incoming(tmp_path).create()
    file.finish()
    file.path.replace(tmp_path / "placed")
    file.discard()
    assert received(tmp_path) == [tmp_path / "placed"]


def test_a_file_that_the_disk_does_not_hold_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    file = Incoming(tmp_path).create()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(StorageError, match="cannot be written"):
            file.write(bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    file.discard()
    assert received(tmp_path) == []


def test_files_of_processes_that_are_gone_are_deleted_and_those_of_others_kept(tmp_path: Path) -> None:
    left = tmp_path / ".incoming" / "gone" / "half a file"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    alive, other = Incoming(tmp_path), Incoming(tmp_path)
    file = alive.create()
    assert not left.parent.exists()
    other.create()
    assert file.path.exists()


def test_what_is_left_is_deleted_before_anything_is_received(tmp_path: Path) -> None:
    Incoming(tmp_path).tidy()
    assert not list(tmp_path.iterdir())
    alive = Incoming(tmp_path)
    file = alive.create()
    left = tmp_path / ".incoming" / "gone" / "half a file"
    left.parent.mkdir()
    left.write_bytes(b"half")
    Incoming(tmp_path).tidy()
    assert received(tmp_path) == [file.path]


def test_a_volume_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "volume").write_bytes(b"a file")
    with pytest.raises(StorageError, match="cannot be written"):
        Incoming(tmp_path / "volume").create()
