"""Zip archives: their members where they are, and extracted to a folder."""

from __future__ import annotations

import errno
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO

from dbx.pixels.errors import ArchiveError, ObjectNotFoundError, StorageError
from dbx.pixels.storage.block_cache import BlockCache
from dbx.pixels.storage.changed import ANY, Listed
from dbx.pixels.storage.cloud import CloudReader, stat_remote
from dbx.pixels.storage.local import LocalReader, Object, stat_object, storage_error
from dbx.pixels.storage.paths import extension, is_zip_address, scheme_of, split_zip_address, zip_address
from dbx.pixels.storage.reader import ClosingReader, Reader
from dbx.pixels.storage.writing import appearing
from dbx.pixels.storage.zip_directory import Directory, read_directory
from dbx.pixels.storage.zip_member import open_entry

_OPEN_ARCHIVES = 8
#: How long a remote archive is taken to be the one that was opened, before its store is asked again.
_TRUSTED_SECONDS = 30
_SPOOLED_BYTES = 16 * 1024 * 1024
_COPIED_BYTES = 1024 * 1024
_DRIVE = re.compile(r"[A-Za-z]:")
#: What a file system says to a name that it does not take.
_NO_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an archive, or of an archive in it.

    Attributes
    ----------
    name : str
        As the archive has it.
    archive : str
        Address of the archive it lies in: a zip address if that lies in another one.
    length, compressed : int
        Its bytes, and those that it takes in the archive.
    problem : str or None
        Why it cannot be read.
    is_repeated : bool
        Whether the archive holds other members of the same name, of which this is the last.
    """

    name: str
    archive: str
    length: int
    compressed: int
    problem: str | None = None
    is_repeated: bool = False

    @property
    def address(self) -> str:
        """Its address, in the archive as it was opened."""
        return zip_address(self.name, self.archive)

    def address_in(self, archive: str) -> str:
        """Return its address when the outermost archive goes by another one, as in ``/Volumes``."""
        if is_zip_address(self.archive):
            archive = zip_address(split_zip_address(self.archive)[0], archive)
        return zip_address(self.name, archive)

    @property
    def relative_path(self) -> str:
        """Its path below the outermost archive: ``inner.zip/name`` in an archive within."""
        return _relative_path(self.name, self.archive)


def members(archive: str, listed: Listed = ANY) -> Iterator[Member]:
    """List the members of an archive, and of the archives in it, one level deep.

    Folders, hidden names and what macOS adds are left out. An archive within is replaced by its members; one that
    cannot be opened is a member with a problem.

    Parameters
    ----------
    archive : str
        Canonical address of a zip archive, as this machine opens it.
    listed : Listed, optional
        What is known of it.

    Raises
    ------
    ArchiveError
        If it is no zip archive, or its directory cannot be read to its end; then what could be read has been yielded.
    StorageError
        If it cannot be opened.
    """
    directory = _open_archive(archive, listed).directory()
    for entry in directory.entries.values():
        problem = entry.problem
        if problem is None and extension(entry.name) == "zip" and not is_zip_address(archive):
            try:
                yield from members(zip_address(entry.name, archive), listed)
                continue
            except StorageError as error:
                problem = error.problem
        is_repeated = entry.name in directory.repeated
        yield Member(entry.name, archive, entry.length, entry.compressed, problem, is_repeated)
    if directory.damage:
        raise ArchiveError(archive, f"cannot be read to its end: {directory.damage}", "Copy it here again.")


def open_member(address: str, listed: Listed = ANY) -> Reader:
    """Open a member of an archive.

    Parameters
    ----------
    address : str
        ``zip://member::archive``, with the archive as this machine opens it.
    listed : Listed, optional
        What is known of it.

    Returns
    -------
    Reader
        Of a deflated member it is `sequential`, and inflates no more than is read.

    Raises
    ------
    ObjectNotFoundError
        If the archive, or the member in it, does not exist.
    ObjectChangedError
        If the archive, or the member in it, is another one than was listed.
    ArchiveError
        If the member cannot be read, now or when it is read: it is encrypted, truncated, damaged, compressed by
        another method than deflate, or inflates beyond reason.
    """
    name, archive = split_zip_address(address)
    opened = _open_archive(archive, listed)
    reader = opened.open(name, address)
    listed.check(address, opened.modified, reader.size)
    return reader


def extract_member(address: str, target: str, modified: int) -> str:
    """Write a member to its place below a folder, at once or not at all.

    Parameters
    ----------
    address : str
        The `address` of a member.
    target : str
        A local folder; it is made.
    modified : int
        The archive's modification time, which the file gets, in microseconds since 1970.

    Returns
    -------
    str
        The path of the file below `target`.

    Raises
    ------
    ArchiveError
        If the member cannot be read, or its name would lead out of the folder.
    StorageError
        If the file cannot be written.
    """
    if scheme_of(target):
        raise StorageError(target, "is no local folder, and archives are extracted to local folders only")
    relative = _path_below(address)
    path = Path(target, relative)
    try:
        if not path.parent.resolve().is_relative_to(Path(target).resolve()):
            raise ArchiveError(address, "would be written through a link that leads out of the folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_member(address) as reader:
            _write(reader, path, modified)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise ArchiveError(address, "has the name of a folder, or a folder in it that of a file") from error
    except StorageError:
        raise
    except OSError as error:
        if error.errno in _NO_NAME:
            raise ArchiveError(address, f"has a name that no file can have here: {error.strerror}") from error
        raise storage_error(str(path), error) from error
    return relative


def _write(reader: Reader, path: Path, modified: int) -> None:
    with appearing(path) as unfinished:
        with unfinished.open("xb") as file:
            _copy(reader, file)
        os.utime(unfinished, ns=(modified * 1000, modified * 1000))


def _path_below(address: str) -> str:
    """Return where a member goes below its folder; a name that was made to lead elsewhere is refused."""
    name, archive = split_zip_address(address)
    parts = _parts(_relative_path(name, archive))
    if ".." in parts or parts[:1] in ([], ["/"]) or _DRIVE.match(parts[0]) or "\0" in name:
        raise ArchiveError(
            address, "has a name that leads out of the folder it is extracted to", "Read it in place instead."
        )
    plain_name = "/".join(_parts(name))
    if plain_name != name and plain_name in _open_archive(archive).directory().entries:
        raise ArchiveError(address, "has another member's name once it is written as a path")
    return "/".join(parts)


def _relative_path(name: str, archive: str) -> str:
    return f"{split_zip_address(archive)[0]}/{name}" if is_zip_address(archive) else name


def _parts(name: str) -> list[str]:
    """Split a name into folders and file; the first part of an absolute one is a slash."""
    # Archives made on Windows by careless writers have backslashes for separators.
    first, *others = name.replace("\\", "/").split("/")
    return [part for part in (first or "/", *others) if part not in ("", ".")]


def _copy(reader: Reader, file: IO[bytes]) -> None:
    offset = 0
    while piece := reader.read(offset, _COPIED_BYTES):
        file.write(piece)
        offset += len(piece)


class _Archive:
    """An opened archive, shared by the threads that read its members.

    Attributes
    ----------
    version : Object or _Archive
        Another one when the archive was replaced; for one within another, the other.
    asked : float
        When it was last made sure that this is so, on the monotonic clock.
    """

    def __init__(self, address: str, version: Object | _Archive) -> None:
        self.version = version
        self.asked = time.monotonic()
        self._address = address
        self._lock = threading.Lock()
        self._loaded: tuple[Reader, Directory] | None = None

    @property
    def modified(self) -> int:
        """When the archive was modified, or the one that it lies in, in microseconds since 1970."""
        return self.version.modified if isinstance(self.version, _Archive) else self.version[1]

    def directory(self) -> Directory:
        """Return the archive's directory."""
        return self._load()[1]

    def open(self, name: str, address: str) -> Reader:
        """Open one member."""
        reader, directory = self._load()
        entry = directory.entries.get(name)
        if entry is None:
            raise ObjectNotFoundError(address, "does not exist: the archive has no such member")
        return open_entry(reader, entry, address)

    def _load(self) -> tuple[Reader, Directory]:
        with self._lock:
            if self._loaded is None:
                reader = self._open_bytes()
                self._loaded = reader, read_directory(reader, self._address)
            return self._loaded

    def _open_bytes(self) -> Reader:
        """Open the archive so that its every byte is at hand."""
        if not isinstance(self.version, _Archive):
            listed = Listed(*self.version[1:])
            if scheme_of(self._address):
                return BlockCache(CloudReader(self._address, listed))
            return LocalReader(self._address, listed)
        if isinstance(self.version.version, _Archive):
            raise ArchiveError(
                self._address, "is an archive in an archive in an archive; one level is read", "Extract it first."
            )
        reader = open_member(self._address)
        return _SpooledReader(reader) if reader.sequential else reader


# Opened archives, the least recently used first. Nobody closes those that fall out, since their members may still be
# read: their files close when the last of these is forgotten.
_archives: OrderedDict[str, _Archive] = OrderedDict()
_archives_lock = threading.Lock()


def _open_archive(address: str, listed: Listed = ANY) -> _Archive:
    with _archives_lock:
        known = _archives.get(address)
    version = _version(address, known, listed)
    with _archives_lock:
        archive = _archives.get(address)
        if archive is None or archive.version != version:
            archive = _archives[address] = _Archive(address, version)
        _archives.move_to_end(address)
        while len(_archives) > _OPEN_ARCHIVES:
            _archives.popitem(last=False)
    return archive


def _version(address: str, known: _Archive | None, listed: Listed) -> Object | _Archive:
    """Return what changes when an archive is replaced."""
    if is_zip_address(address):
        return _open_archive(split_zip_address(address)[1], listed)
    if not scheme_of(address):
        return stat_object(address)
    is_trusted = known and time.monotonic() < known.asked + _TRUSTED_SECONDS
    if known and is_trusted and listed.was_modified(address, known.modified):
        return known.version
    version = stat_remote(address)
    if known:
        known.asked = time.monotonic()
    return version


class _SpooledReader(ClosingReader):
    """A copy of what can only be read front to back: in memory if it is small, else in a temporary file."""

    def __init__(self, reader: Reader) -> None:
        self.size = reader.size
        self._lock = threading.Lock()
        self._file = SpooledTemporaryFile(max_size=_SPOOLED_BYTES)  # noqa: SIM115 - closed with the reader
        try:
            _copy(reader, self._file)
        except BaseException:
            self._file.close()
            raise

    def read(self, offset: int, length: int) -> bytes:
        """Read `length` bytes from `offset`; fewer at the end."""
        with self._lock:
            self._file.seek(offset)
            return self._file.read(max(length, 0))

    def close(self) -> None:
        """Forget the copy."""
        self._file.close()
