"""What the machine has in memory of local files, and can be read without waiting: on an event loop, for instance."""

from __future__ import annotations

import os
import sys

#: Folders that are remembered; then all are forgotten.
_MOST_FOLDERS = 10_000

_on_disks: set[str] = set()


def remember(path: str, status: os.stat_result) -> None:
    """Remember the folder of a file that somebody waited for, if it lies on a disk of this machine.

    The files in it can then be opened without waiting for a network. Network disks have no device of their own; nor
    have some others, which are taken for them.
    """
    if os.major(status.st_dev):
        if len(_on_disks) >= _MOST_FOLDERS:
            _on_disks.clear()
        _on_disks.add(_folder(path))


def read_cached(path: str, offset: int, buffer: memoryview) -> os.stat_result:
    """Fill a buffer with bytes of a file, if they are in memory.

    Parameters
    ----------
    path : str
        Of a local file.
    offset : int
        Of the first byte.
    buffer : memoryview
        Filled.

    Returns
    -------
    os.stat_result
        Of the file that was read.

    Raises
    ------
    BlockingIOError
        If it cannot be read, or not without waiting: whoever waits will know which.
    """
    if sys.platform != "linux" or _folder(path) not in _on_disks:
        raise BlockingIOError(f"{path} may lie on a network disk")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            if os.preadv(descriptor, [buffer], offset, os.RWF_NOWAIT) == len(buffer):
                return os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise BlockingIOError(f"{path} cannot be read at once") from error
    raise BlockingIOError(f"{path} is not all in memory")


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
