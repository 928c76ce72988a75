"""Opening any address."""

from __future__ import annotations

from collections.abc import Sequence

from dbx.pixels.errors import StorageError
from dbx.pixels.storage.cloud import CloudReader, prefetch
from dbx.pixels.storage.local import LocalReader
from dbx.pixels.storage.paths import is_zip_address, scheme_of
from dbx.pixels.storage.reader import BrokenReader, Reader


def open_object(path: str) -> Reader:
    """Open the object at an address.

    Parameters
    ----------
    path : str
        A canonical address that this machine can open: a ``local_path``.

    Raises
    ------
    StorageError
        If it cannot be opened.
    """
    if is_zip_address(path):
        raise StorageError(path, "archives come next")
    return CloudReader(path) if scheme_of(path) else LocalReader(path)


def sources(paths: Sequence[str], lengths: Sequence[int]) -> list[str | Reader]:
    """Return what the native core reads each object through.

    A local file's path stays as it is, for native code to open. Members of archives and objects in stores become
    readers, the latter with their first bytes fetched concurrently. Nothing is raised: what cannot be opened raises
    when it is read.

    Parameters
    ----------
    paths : sequence of str
        Addresses, as for `open_object`.
    lengths : sequence of int
        The objects' lengths, as they were listed.
    """
    remote = [index for index, path in enumerate(paths) if scheme_of(path) and not is_zip_address(path)]
    opened: dict[int, str | Reader] = dict(
        zip(remote, prefetch([paths[i] for i in remote], [lengths[i] for i in remote]), strict=True)
    )
    for index, path in enumerate(paths):
        if is_zip_address(path):
            opened[index] = _open_or_break(path, lengths[index])
    return [opened.get(index, path) for index, path in enumerate(paths)]


def _open_or_break(path: str, length: int) -> Reader:
    try:
        return open_object(path)
    except StorageError as error:
        return BrokenReader(length, error)
