"""Reading bytes of an object, be it a local path or a reader."""

from __future__ import annotations

import io
import os
from pathlib import Path

from dbx.pixels.errors import PixelDataError
from dbx.pixels.storage import Reader
from dbx.pixels.storage.local import storage_error

Source = str | Reader


def read_range(source: Source, offset: int, length: int) -> bytes:
    """Read exactly `length` bytes of an object.

    Raises
    ------
    PixelDataError
        If the object ends before.
    StorageError
        If it cannot be read.
    """
    # A header may lie about offsets and lengths: nothing is asked for but what is there.
    data, end = b"", offset + length
    if not isinstance(source, str):
        data = source.read(offset, length) if end <= source.size else b""
    else:
        try:
            with Path(source).open("rb", buffering=0) as file:
                if end <= os.fstat(file.fileno()).st_size:
                    file.seek(offset)
                    data = file.read(length)
        except OSError as error:
            raise storage_error(source, error) from error
    if len(data) < length:
        raise PixelDataError("", "the object ends within the pixel data")
    return data


def open_file(source: Source) -> io.BufferedReader:
    """Open an object as a binary file, for libraries that want one.

    Raises
    ------
    StorageError
        If it cannot be opened.
    """
    if isinstance(source, str):
        try:
            return Path(source).open("rb")
        except OSError as error:
            raise storage_error(source, error) from error
    return io.BufferedReader(_ReaderFile(source))


class _ReaderFile(io.RawIOBase):
    """A `Reader` with a position."""

    name = ""  # pydicom asks for it

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._reader.size}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._reader.read(self._position, len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
