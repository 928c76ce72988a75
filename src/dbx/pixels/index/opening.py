"""Opening the objects of instances, as they were indexed: of any other nobody knows where its frames lie."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from dbx.pixels.dicom.sources import Source
from dbx.pixels.errors import ObjectChangedError
from dbx.pixels.index.model import Instance
from dbx.pixels.storage import open_object
from dbx.pixels.storage.changed import Listed
from dbx.pixels.storage.local import storage_error
from dbx.pixels.storage.page_cache import read_cached, remember

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@contextmanager
def opened(instance: Instance) -> Iterator[Source]:
    """Open the object of an instance.

    Yields
    ------
    str or Reader
        What its bytes are read through.

    Raises
    ------
    ObjectNotFoundError
        If it is not there.
    ObjectChangedError
        If it is another one than was indexed; of objects in stores it may be reading that tells.
    StorageError
        If it cannot be opened.
    """
    path = instance.local_path
    if "://" in path:
        with open_object(path, instance.length, _modified(instance)) as reader:
            yield reader
        return
    try:
        status = os.stat(path)  # noqa: PTH116 - Path.stat costs twice as much
    except OSError as error:
        raise storage_error(path, error) from error
    remember(path, status)
    _check(instance, status)
    yield path


def read_at_once(instance: Instance, offset: int, buffer: memoryview) -> None:
    """Fill a buffer with bytes of the object of an instance, without waiting for a disk or a store.

    Raises
    ------
    BlockingIOError
        If that is not possible, or the object is not the one that was indexed: `opened` says which.
    """
    if "://" in instance.local_path:
        raise BlockingIOError(f"{instance.path} has to be opened")
    status = read_cached(instance.local_path, offset, buffer)
    try:
        _check(instance, status)
    except ObjectChangedError as error:
        raise BlockingIOError(str(error)) from error


def _check(instance: Instance, status: os.stat_result) -> None:
    listed = Listed(_modified(instance), instance.length)
    listed.check(instance.local_path, status.st_mtime_ns // 1000, status.st_size)


def _modified(instance: Instance) -> int | None:
    time = instance.modificationTime
    return None if time is None else (time - _EPOCH) // _MICROSECOND
