"""Local files that are there whole or not at all, and what is said when they cannot be written."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dbx.pixels.errors import StorageError
from dbx.pixels.storage.paths import printable


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in the words of Pixels that a file or a folder cannot be written.

    Raises
    ------
    StorageError
        Instead of an operating system's error.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}"
        raise StorageError(printable(str(path)), problem, "Make space on its disk, or check its rights.") from error


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Give a file its name when all of it is written: until then, and if that fails, what had the name stays.

    Yields
    ------
    pathlib.Path
        Where to write it. What is to survive a loss of power is to be synced there, too.
    """
    unfinished = path.with_name(f".{uuid.uuid4().hex}.part")  # hidden, so that no listing takes it for an object
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a small file so that it is there whole or not at all, also after a crash."""
    with appearing(path) as unfinished:
        unfinished.write_bytes(content)
        sync(unfinished)


def sync(path: Path) -> None:
    """Make sure that a file, or the names in a folder, would survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
