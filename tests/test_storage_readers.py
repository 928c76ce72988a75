"""One set of tests over everything that can be opened: files, objects in stores, and members of archives."""

from __future__ import annotations

import random
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbx.pixels.errors import ObjectChangedError, StorageError
from dbx.pixels.storage import Reader, open_object
from dbx.pixels.storage.cloud import stat_remote
from dbx.pixels.storage.local import stat_object
from dbx.pixels.storage.paths import is_remote, zip_address

if TYPE_CHECKING:
    from servers import S3Bucket

pytest_plugins = ["servers"]

# Some of it random, some not, and longer than what any reader fetches or keeps at once.
CONTENT = b"".join(random.Random(2).randbytes(100) + bytes(100) for _ in range(9000))

KINDS = ["file", "s3", "stored", "deflated", "deflated on s3", "stored in deflated", "deflated in stored"]


@pytest.fixture(params=KINDS)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an object that holds `CONTENT`."""
    kind = request.param
    if kind == "file":
        (tmp_path / "object").write_bytes(CONTENT)
        return str(tmp_path / "object")
    if kind == "s3":
        bucket: S3Bucket = request.getfixturevalue("bucket")
        return bucket.put("object", CONTENT)
    archive = str(tmp_path / "archive.zip")
    if " in " not in kind:
        make_archive(archive, "folder/object", CONTENT, deflated=kind.startswith("deflated"))
        if kind.endswith("s3"):
            archive = request.getfixturevalue("bucket").put("archive.zip", Path(archive).read_bytes())
        return zip_address("folder/object", archive)
    inner = tmp_path / "inner.zip"
    make_archive(inner, "object", CONTENT, deflated=kind.startswith("deflated"))
    make_archive(archive, "inner.zip", inner.read_bytes(), deflated=kind.endswith("deflated"))
    return zip_address("object", zip_address("inner.zip", archive))


def make_archive(path: str | Path, name: str, content: bytes, *, deflated: bool) -> None:
    """Make an archive of one member."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED) as archive:
        archive.writestr(name, content)


def test_readers_are_readers_and_close_twice(address: str) -> None:
    with open_object(address) as reader:
        assert isinstance(reader, Reader)
        assert reader.size == len(CONTENT)
    reader.close()


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(ranges=st.lists(st.tuples(st.integers(0, len(CONTENT) + 10), st.integers(0, 200_000)), max_size=5))
def test_ranges_are_those_of_the_content(address: str, ranges: list[tuple[int, int]]) -> None:
    with open_object(address) as reader:
        for offset, length in [*ranges, (0, 132), (len(CONTENT) - 5, 100)]:
            assert reader.read(offset, length) == CONTENT[offset : offset + length]


def test_everything_at_once_and_front_to_back(address: str) -> None:
    with open_object(address) as reader:
        assert reader.read(0, 1 << 40) == CONTENT
        pieces = [reader.read(offset, 70_001) for offset in range(0, len(CONTENT), 70_001)]
        assert b"".join(pieces) == CONTENT


def test_threads_may_open_the_same_object(address: str) -> None:
    right: list[bool] = []

    def read() -> None:
        with open_object(address) as reader:
            right.append(all(reader.read(at, 1000) == CONTENT[at : at + 1000] for at in range(0, 1_500_000, 50_000)))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 4


def test_what_is_not_there_is_told(address: str) -> None:
    with pytest.raises(StorageError, match="not exist"):
        open_object(address.replace("object", "other"))


def test_what_is_there_has_to_be_what_was_listed(address: str) -> None:
    outermost = address.rpartition("::")[2]
    _, modified, _ = (stat_remote if is_remote(outermost) else stat_object)(outermost)
    with open_object(address, len(CONTENT), modified) as reader:
        assert reader.read(0, 10) == CONTENT[:10]
    for listed in ((len(CONTENT), modified - 2_000_000), (len(CONTENT) + 1, modified)):
        with pytest.raises(ObjectChangedError, match="changed"), open_object(address, *listed) as reader:
            reader.read(0, 10)


def test_an_object_in_a_store_is_another_one_beyond_its_end(bucket: S3Bucket) -> None:
    with open_object(bucket.put("object", b"short"), 1000) as reader, pytest.raises(ObjectChangedError):
        reader.read(900, 10)


def test_folders_and_pipes_are_no_objects(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(StorageError, match="no regular file"):
            open_object(str(path))
