"""Files on their way in: written beside their volume's folders, synced, and gone unless they are placed."""

from __future__ import annotations

import fcntl
import shutil
import threading
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dbx.pixels.storage.writing import sync, writing

#: Listings leave out names that begin with a dot.
_FOLDER = ".incoming"
_LOCK = "lock"

#: A disk that is asked for many things at once writes them together.
_SYNCS_AT_ONCE = 16


class IncomingFile:
    """One file that is being received.

    Attributes
    ----------
    path : pathlib.Path
        Where it lies.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with writing(path):
            self._file = path.open("xb", buffering=0)  # what a full disk refuses does not wait for another try

    @classmethod
    def create(cls, folder: Path) -> IncomingFile:
        """Begin a file in a folder that an `Incoming` of this or of another process has made.

        Raises
        ------
        StorageError
            If the folder cannot be written.
        """
        return cls(folder / uuid.uuid4().hex)

    def write(self, data: bytes) -> None:
        """Add some more bytes."""
        with writing(self.path):
            left = memoryview(data)
            while left:
                left = left[self._file.write(left) :]

    def finish(self) -> None:
        """Close the file."""
        with writing(self.path):
            self._file.close()

    def discard(self) -> None:
        """Delete the file, unless it has been placed."""
        with writing(self.path):
            self._file.close()
            self.path.unlink(missing_ok=True)


class Incoming:
    """Where a volume's files are received.

    Every process has a folder of its own there, which it keeps locked; what a killed process left behind is deleted by
    the next one that starts or receives.

    Parameters
    ----------
    volume : pathlib.Path
        The volume's folder; made when it is first needed.
    """

    def __init__(self, volume: Path) -> None:
        self._folder = volume / _FOLDER
        self._own: Path | None = None
        self._own_lock: BinaryIO | None = None
        self._first = threading.Lock()

    def folder(self) -> Path:
        """Return this process's folder.

        Raises
        ------
        StorageError
            If the volume cannot be written.
        """
        with writing(self._folder), self._first:
            if self._own is None or not self._own.is_dir():
                self._own = self._make_own()
            return self._own

    def create(self) -> IncomingFile:
        """Begin a file in it.

        Raises
        ------
        StorageError
            If the volume cannot be written.
        """
        return IncomingFile.create(self.folder())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only process that places files of this volume."""
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = (self._folder / _LOCK).open("ab")
        with lock:
            with writing(self._folder):
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def tidy(self) -> None:
        """Delete what killed processes left behind.

        Raises
        ------
        StorageError
            If the volume cannot be written.
        """
        with writing(self._folder):
            if self._folder.is_dir():
                with self.locked():
                    self._delete_left()

    def _delete_left(self) -> None:
        for folder in self._folder.iterdir():
            if folder.is_dir() and _is_left_behind(folder):
                shutil.rmtree(folder, ignore_errors=True)

    def _make_own(self) -> Path:
        with self.locked():
            self._delete_left()
            own = self._folder / uuid.uuid4().hex
            own.mkdir()
            self._own_lock = (own / _LOCK).open("ab")
            fcntl.flock(self._own_lock, fcntl.LOCK_EX)
        return own


def sync_to_disk(paths: Iterable[Path]) -> None:
    """Make sure that files, or the names in folders, would survive a loss of power.

    Raises
    ------
    StorageError
        If they cannot be written.
    """
    with ThreadPoolExecutor(_SYNCS_AT_ONCE, thread_name_prefix="pixels-sync") as pool:
        for _ in pool.map(_sync, paths):
            pass


def _sync(path: Path) -> None:
    with writing(path):
        sync(path)


def _is_left_behind(folder: Path) -> bool:
    """Tell whether the process whose folder it was is gone; its lock is gone with it."""
    with (folder / _LOCK).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
