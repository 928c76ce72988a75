"""Reading what is in memory of files, and nothing that has to be waited for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dbx.pixels.storage.page_cache import read_cached, remember

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is in memory")

CONTENT = bytes(range(256)) * 64


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A file on a disk, whose folder is remembered."""
    path = tmp_path / "a.dcm"
    path.write_bytes(CONTENT)
    status = path.stat()
    if not os.major(status.st_dev):
        pytest.skip("temporary files lie on no disk of this machine")
    remember(str(path), status)
    return str(path)


def read(path: str, offset: int, length: int) -> bytes:
    buffer = bytearray(length)
    read_cached(path, offset, memoryview(buffer))
    return bytes(buffer)


def test_what_is_in_memory_is_read(path: str) -> None:
    assert read(path, 300, 1000) == CONTENT[300:1300]
    assert read_cached(path, 0, memoryview(bytearray(1))).st_size == len(CONTENT)


def read_anew(path: str, *, attempts: int) -> None:
    """Read what is not in memory. A disk that happens to be faster than the answer is no disk to wait for."""
    for _ in range(attempts):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
        assert read(path, 0, len(CONTENT)) == CONTENT


def test_what_is_not_in_memory_has_to_be_waited_for(path: str) -> None:
    with pytest.raises(BlockingIOError):
        read_anew(path, attempts=20)


def test_files_in_folders_that_nobody_has_waited_for_are_not_opened(path: str) -> None:
    folder = Path(path).with_name("other")
    folder.mkdir()
    other = Path(path).rename(folder / "a.dcm")
    with pytest.raises(BlockingIOError, match="network"):
        read(str(other), 0, 1)
    remember(str(other), other.stat())
    assert read(str(other), 0, 1) == CONTENT[:1]


def test_folders_that_may_lie_on_a_network_are_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(CONTENT)
    status = list(path.stat())
    status[2] = 0x2A  # a device without a major number, as of NFS
    remember(str(path), os.stat_result(status))
    with pytest.raises(BlockingIOError, match="network"):
        read(str(path), 0, 1)


def test_files_that_are_not_there_or_end_before_are_left_to_who_waits(path: str) -> None:
    with pytest.raises(BlockingIOError):
        read(path, len(CONTENT) - 1, 2)
    Path(path).unlink()
    with pytest.raises(BlockingIOError):
        read(path, 0, 1)
