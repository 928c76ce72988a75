"""Opening any address."""

from __future__ import annotations

from collections.abc import Sequence

from dbx.pixels.storage.local import LocalReader
from dbx.pixels.storage.paths import is_remote, is_zip_address
from dbx.pixels.storage.reader import Reader


def open_object(path: str) -> Reader:
    """Open the object at an address.

    Raises
    ------
    StorageError
        If it cannot be opened.
    """
    return LocalReader(path)


def sources(paths: Sequence[str], lengths: Sequence[int]) -> list[str | Reader]:
    """Return what the native core reads each object through: a local file's path as it is, else a `Reader`."""
    return [path if not is_remote(path) and not is_zip_address(path) else open_object(path) for path in paths]
