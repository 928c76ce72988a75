"""Opening any address, one or many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from dbx.pixels.errors import StorageError
from dbx.pixels.storage.archive import open_member
from dbx.pixels.storage.changed import Listed
from dbx.pixels.storage.cloud import CloudReader
from dbx.pixels.storage.local import LocalReader
from dbx.pixels.storage.paths import is_remote, is_zip_address, scheme_of
from dbx.pixels.storage.reader import BrokenReader, Reader

_FETCHES_AT_ONCE = 32


def open_object(path: str, length: int | None = None, modified: int | None = None) -> Reader:
    """Open the object at an address.

    Parameters
    ----------
    path : str
        A canonical address that this machine can open: a ``local_path``.
    length, modified : int, optional
        The object's length and modification time as they were listed, if they are known; the length saves a request to
        a store.

    Raises
    ------
    ObjectChangedError
        If it is another object than was listed. With objects in stores it may be reading that raises it.
    StorageError
        If it cannot be opened.
    """
    listed = Listed(modified, length)
    if is_zip_address(path):
        return open_member(path, listed)
    return CloudReader(path, listed) if scheme_of(path) else LocalReader(path, listed)


def sources(paths: Sequence[str], lengths: Sequence[int]) -> list[str | Reader]:
    """Return what the native core reads each object through.

    A local file's path stays as it is, for native code to open. Members of archives and objects in stores become
    readers; what comes from stores has its first bytes fetched already, many objects at a time. Nothing is raised: what
    cannot be opened raises when it is read.

    Parameters
    ----------
    paths : sequence of str
        Addresses, as for `open_object`.
    lengths : sequence of int
        The objects' lengths, as they were listed.
    """
    if not any("://" in path for path in paths):
        return list(paths)
    with ThreadPoolExecutor(_FETCHES_AT_ONCE, thread_name_prefix="pixels-fetch") as pool:  # starts threads when used
        fetched = {
            index: pool.submit(_open, path, lengths[index]) for index, path in enumerate(paths) if is_remote(path)
        }
        opened: list[str | Reader] = []
        for index, path in enumerate(paths):
            if index in fetched:
                opened.append(fetched[index].result())
            else:
                opened.append(_open(path, lengths[index]) if is_zip_address(path) else path)
    return opened


def _open(path: str, length: int) -> Reader:
    try:
        reader = open_object(path, length)
        if is_remote(path):
            reader.read(0, 1)  # readers fetch more than they are asked for, and keep it
    except StorageError as error:
        return BrokenReader(length, error)
    return reader
