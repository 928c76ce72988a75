"""Opening the objects of instances for a request, and telling the client about those that are not as they were."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from dbx.pixels.dicom.sources import Source
from dbx.pixels.errors import ObjectNotFoundError, StorageError
from dbx.pixels.index import Instance
from dbx.pixels.storage import open_object
from dbx.pixels.storage.page_cache import read_cached, remember
from dbx.pixels.web.errors import HttpError
from dbx.pixels.web.vanished import Vanished

#: What the index gives for objects whose modification time is not known.
_UNKNOWN_TIME = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@contextmanager
def opened(instance: Instance, vanished: Vanished) -> Iterator[Source]:
    """Open the object of an instance.

    Parameters
    ----------
    instance : Instance
        As the index knows it.
    vanished : Vanished
        Told if the object is not there.

    Yields
    ------
    str or Reader
        What its bytes are read through.

    Raises
    ------
    HttpError
        410, if it has vanished, or is another one than was indexed: where its frames lie is not known then.
    """
    try:
        if "://" in instance.local_path:
            with open_object(instance.local_path, instance.length) as reader:
                yield reader
        else:
            _check_unchanged(instance)
            yield instance.local_path
    except (ObjectNotFoundError, FileNotFoundError) as error:
        raise _gone(instance, vanished) from error
    except StorageError as error:
        if "://" not in instance.local_path and not os.path.exists(instance.local_path):  # noqa: PTH110 - one of many
            raise _gone(instance, vanished) from error
        raise


def read_at_once(instance: Instance, offset: int, buffer: memoryview) -> None:
    """Fill a buffer with bytes of the object of an instance, without waiting for a disk or a store.

    Raises
    ------
    BlockingIOError
        If that is not possible, or the object is not as it was indexed: `opened` says which.
    """
    if "://" in instance.local_path or not _is_unchanged(instance, read_cached(instance.local_path, offset, buffer)):
        raise BlockingIOError(f"{instance.path} has to be opened")


def is_there(instance: Instance, vanished: Vanished) -> bool:
    """Tell whether the object of an instance is as it was indexed, as far as looking at a file tells."""
    try:
        if "://" not in instance.local_path:
            _check_unchanged(instance)
    except FileNotFoundError:
        vanished.note(instance.path)
        return False
    except HttpError:
        return False
    return True


def _gone(instance: Instance, vanished: Vanished) -> HttpError:
    vanished.note(instance.path)
    return HttpError(410, "the object has vanished from its storage since it was indexed")


def _check_unchanged(instance: Instance) -> None:
    try:
        status = os.stat(instance.local_path)  # noqa: PTH116 - Path.stat costs twice as much
    except NotADirectoryError as error:
        raise FileNotFoundError(instance.local_path) from error
    remember(instance.local_path, status)
    if not _is_unchanged(instance, status):
        raise HttpError(410, "the object has changed since it was indexed; another ingest is needed")


def _is_unchanged(instance: Instance, status: os.stat_result) -> bool:
    indexed = (instance.modificationTime - _UNKNOWN_TIME) // _MICROSECOND
    return status.st_size == instance.length and (not indexed or status.st_mtime_ns // 1000 == indexed)
