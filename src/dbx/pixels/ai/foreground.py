"""What somebody waits for comes first: runs and trainings, in whichever process, before scoring in the background."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from dbx.pixels.ai.training import Queue
from dbx.pixels.storage import Home
from dbx.pixels.storage.writing import writing


class Foreground:
    """The runs and trainings of a home folder that somebody waits for.

    Parameters
    ----------
    home : Home
        The home folder.
    """

    def __init__(self, home: Home) -> None:
        self._path = home.ai / "running.lock"
        self._trainings = Queue(home.trainings)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let it be known that a run is wanted, until the context, or the process, ends.

        Raises
        ------
        StorageError
            If the home folder cannot be written.
        """
        with writing(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = self._path.open("ab")
        with lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for a run or a training."""
        if self._trainings.next():
            return False
        if not self._path.exists():
            return True
        with self._path.open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True
