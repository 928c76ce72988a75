"""Object stores: S3, Google Cloud Storage and Azure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dbx.pixels.errors import StorageError
from dbx.pixels.storage.local import Object, Report


def lister(root: str, *, recurse: bool = True) -> tuple[bool, Callable[[Report], Iterator[Object]]]:
    raise StorageError(root, "object stores come next")
