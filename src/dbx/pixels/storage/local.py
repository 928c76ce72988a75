"""Local files: walking a folder and reading ranges."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator
from pathlib import Path

from dbx.pixels.errors import ObjectChangedError, ObjectNotFoundError, StorageError
from dbx.pixels.storage._folder import look, scan
from dbx.pixels.storage.changed import ANY, Listed
from dbx.pixels.storage.paths import printable
from dbx.pixels.storage.reader import ClosingReader

#: Path, modification time in microseconds since 1970, length.
Object = tuple[str, int, int]
#: Called with a path and what is wrong with it.
Report = Callable[[str, str], None]
#: Called with a folder that has nothing in it, and when its last entry left it, in microseconds since 1970.
ReportEmpty = Callable[[str, int], None]

#: Names of one folder that are looked at before their files are handed on.
_NAMES_AT_ONCE = 4096

#: Of a name that was there a moment ago. A disk that was taken away says something else.
_GONE = (errno.ENOENT, errno.ENOTDIR)


def storage_error(path: str, error: OSError) -> StorageError:
    """Say an operating system's error in the words of Pixels."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return ObjectNotFoundError(printable(path), "does not exist", "Check the spelling, and that its disk is there.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return StorageError(printable(path), "may not be read by this user", "Ask its owner for read access.")
    return StorageError(printable(path), error.strerror or str(error))


def is_folder(path: str) -> bool:
    """Tell a folder from a regular file.

    Raises
    ------
    StorageError
        If there is neither, or it cannot be looked at.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - Path.stat costs twice as much
    except OSError as error:
        raise storage_error(path, error) from error
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise StorageError(printable(path), "is neither a folder nor a regular file")
    return stat.S_ISDIR(mode)


def stat_object(path: str) -> Object:
    """Return path, modification time and length of one file.

    Raises
    ------
    StorageError
        If there is no such file, or it cannot be looked at.
    """
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError as error:
        raise storage_error(path, error) from error
    return path, status.st_mtime_ns // 1000, status.st_size


def one_file(path: str, report: Report) -> Iterator[Object]:
    """Yield a single file, as `walk` does those of a folder."""
    try:
        yield stat_object(path)
    except StorageError as error:
        report(path, error.problem)


def walk(
    root: str, report: Report, report_empty: ReportEmpty, *, recurse: bool = True, leave_out: Collection[Path] = ()
) -> Iterator[Object]:
    """Yield the regular files below a folder, in a fixed order: files by name, then folders by name.

    Links to folders are followed, since archives are often put together from links to several disks: leaving them out
    would lose data without a word. They come after all real folders, no folder is visited twice, and none that contains
    the root, so that neither loops nor a link to ``/`` do harm. Names that begin with a dot are left out, as shells and
    Spark do: that is how writers mark files that are not finished. So are folders that hold a Delta table.

    Parameters
    ----------
    root : str
        An absolute path of a folder.
    report : callable
        Told each folder or link behind which files may have been missed.
    report_empty : callable
        Told each folder with nothing in it: that is what a disk leaves behind that is not mounted any more.
    recurse : bool
        Whether to go into folders.
    leave_out : collection of pathlib.Path
        Folders that are not gone into.
    """
    real_root = Path(root).resolve()
    visited = {key for key in map(_folder_key, [*real_root.parents, *leave_out]) if key}
    pending = deque([root])
    links: deque[str] = deque()
    while pending or links:
        folder = pending.popleft() if pending else links.popleft()
        try:
            key, names, folders, empty_since = scan(folder)
        except OSError as error:
            report(folder, storage_error(folder, error).problem)
            continue
        if key in visited:
            continue
        visited.add(key)
        if "_delta_log" in folders:
            continue
        if empty_since is not None:
            report_empty(folder, empty_since)
        links_to_folders = yield from _look(folder, names, report)
        if recurse:
            prefix = folder if folder.endswith("/") else folder + "/"
            pending.extendleft(prefix + name for name in reversed(folders))
            links.extend(prefix + name for name in links_to_folders)


def _look(folder: str, names: list[str], report: Report) -> Generator[Object, None, list[str]]:
    """Yield the regular files among the names in a folder, and return those that are links to folders."""
    links_to_folders = []
    for start in range(0, len(names), _NAMES_AT_ONCE):
        try:
            paths, times, lengths, links, failures = look(folder, names[start : start + _NAMES_AT_ONCE])
        except OSError as error:  # it vanished meanwhile
            report(folder, storage_error(folder, error).problem)
            break
        yield from zip(paths, times, lengths, strict=True)
        links_to_folders += links
        for path, number in failures:
            if number not in _GONE:
                report(path, storage_error(path, OSError(number, os.strerror(number))).problem)
            elif os.path.islink(path):  # noqa: PTH114
                report(path, "links to something that does not exist")
            # Any other name was a file's that is gone by now.
    return links_to_folders


def _folder_key(folder: str | Path) -> tuple[int, int] | None:
    try:
        status = os.stat(folder)  # noqa: PTH116
    except OSError:
        return None
    return status.st_dev, status.st_ino


class LocalReader(ClosingReader):
    """A `Reader` of a local file.

    Parameters
    ----------
    path : str
        Of the file.
    listed : Listed, optional
        What is known of it.

    Raises
    ------
    StorageError
        If the file cannot be opened, or is another one.
    """

    def __init__(self, path: str, listed: Listed = ANY) -> None:
        self._path = path
        self._descriptor = -1
        try:
            # Without O_NONBLOCK, opening a FIFO would wait for a writer for ever.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            status = os.fstat(self._descriptor)
        except OSError as error:
            self.close()
            raise storage_error(path, error) from error
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise StorageError(printable(path), "is no regular file")
        self.size = status.st_size
        try:
            listed.check(path, status.st_mtime_ns // 1000, self.size)
        except ObjectChangedError:
            self.close()
            raise

    def read(self, offset: int, length: int) -> bytes:
        """Read `length` bytes from `offset`; fewer at the file's end."""
        try:
            pieces = []
            # One pread returns at most 2 GiB, and on network disks sometimes less than asked for.
            while length > 0 and (piece := os.pread(self._descriptor, min(length, 1 << 30), offset)):
                pieces.append(piece)
                offset += len(piece)
                length -= len(piece)
        except OSError as error:
            raise storage_error(self._path, error) from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()
