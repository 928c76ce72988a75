"""The central directory of a zip archive: which members there are and where their bytes lie."""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from dbx.pixels.errors import ArchiveError
from dbx.pixels.storage.reader import Reader

STORED = 0
DEFLATED = 8

#: A member that inflates to more than this, and by more than this factor, is taken for a zip bomb.
BOMB_BYTES = 32 * 1024 * 1024
BOMB_RATIO = 250

# The records of the zip format, as PKWARE's APPNOTE.TXT 4.3 lays them out.
_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_EXTRA = struct.Struct("<2H")
_END_SIGNATURE = b"PK\x05\x06"
_END64_LOCATOR_SIGNATURE = b"PK\x06\x07"
_END64_SIGNATURE = b"PK\x06\x06"
_ENTRY_SIGNATURE = b"PK\x01\x02"

_COMMENT_BYTES = 0xFFFF
_IN_ZIP64 = 0xFFFFFFFF
_ZIP64_EXTRA = 0x0001
_ENCRYPTED = 0x0001
_UTF8 = 0x0800
_UNIX = 3
_PIECE_BYTES = 1024 * 1024


class Entry(NamedTuple):
    """What the central directory says of a member."""

    name: str
    header_offset: int
    compressed: int
    length: int
    crc: int
    method: int
    flags: int
    is_link: bool

    @property
    def problem(self) -> str | None:
        """Why the member is not read, or None."""
        if self.flags & _ENCRYPTED:
            return "is encrypted; decrypt the archive first"
        if self.is_link:
            return "is a symbolic link, which is not followed"
        if self.method not in (STORED, DEFLATED):
            return f"is compressed by method {self.method}; only stored and deflated members are read"
        if self.length > BOMB_BYTES and self.length > BOMB_RATIO * self.compressed:
            return f"would inflate {self.compressed} bytes to {self.length}, as zip bombs do; extract it by hand"
        if self.crc and not self.length:
            return "is damaged: it is longer than it says"
        return None


@dataclass
class Directory:
    """The members of an archive by name.

    Attributes
    ----------
    entries : dict of str to Entry
        In the directory's order, without folders and what macOS adds. Of members of one name, the last.
    repeated : set of str
        Names that more than one member has.
    damage : str or None
        Why the directory could not be read to its end.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    repeated: set[str] = field(default_factory=set)
    damage: str | None = None


def read_directory(reader: Reader, address: str) -> Directory:
    """Read the central directory of an archive.

    Parameters
    ----------
    reader : Reader
        The opened archive.
    address : str
        Its address, for messages.

    Raises
    ------
    ArchiveError
        If there is none: the archive is truncated, or is no zip archive.
    """
    start, length, shift = _find_directory(reader, address)
    directory = Directory()
    for entry in _entries(reader, directory, start, length, shift):
        if _is_wanted(entry.name):
            # The last one counts, and in its own place: as `unzip` leaves it.
            if directory.entries.pop(entry.name, None):
                directory.repeated.add(entry.name)
            directory.entries[entry.name] = entry
    return directory


def _is_wanted(name: str) -> bool:
    """Leave out folders, and as in listings of folders, hidden names."""
    parts = name.replace("\\", "/").split("/")
    is_hidden = any(part.startswith(".") and part not in (".", "..") for part in parts)
    return parts[-1] != "" and parts[0] != "__MACOSX" and not is_hidden


def _find_directory(reader: Reader, address: str) -> tuple[int, int, int]:
    """Return where the directory starts, its length, and by how much all offsets are too small."""
    tail_start = max(0, reader.size - _END.size - _COMMENT_BYTES)
    tail = reader.read(tail_start, reader.size - tail_start)
    position = tail.rfind(_END_SIGNATURE)
    while position >= 0:
        if position + _END.size <= len(tail):
            end = _END.unpack_from(tail, position)
            if position + _END.size + end[7] <= len(tail):
                break
        position = tail.rfind(_END_SIGNATURE, 0, position)
    if position < 0:
        raise ArchiveError(address, "is truncated, or no zip archive: its directory is missing", "Copy it here again.")
    end_offset = tail_start + position
    length, offset = end[5], end[6]

    locator = reader.read(end_offset - _END64_LOCATOR.size, _END64_LOCATOR.size) if end_offset > _END64.size else b""
    if locator.startswith(_END64_LOCATOR_SIGNATURE):
        # The record lies right before its locator, whatever was put in front of the archive.
        end_offset -= _END64_LOCATOR.size + _END64.size
        record = reader.read(end_offset, _END64.size)
        if not record.startswith(_END64_SIGNATURE):
            raise ArchiveError(address, "is damaged: its zip64 record is missing", "Copy it here again.")
        length, offset = _END64.unpack(record)[8:]
    start = end_offset - length
    if start < 0 or offset > start:
        raise ArchiveError(address, "is truncated: its directory is not where it should be", "Copy it here again.")
    return start, length, start - offset


def _entries(reader: Reader, directory: Directory, start: int, length: int, shift: int) -> Iterator[Entry]:
    """Read the directory piece by piece; what is wrong with it goes to ``directory.damage``."""
    offset, end = start, start + length
    buffer, position = b"", 0
    while offset < end or position < len(buffer):
        if len(buffer) - position < _ENTRY.size + 3 * _COMMENT_BYTES and offset < end:
            piece = reader.read(offset, min(_PIECE_BYTES, end - offset))
            if not piece:
                directory.damage = "its directory is truncated"
                return
            offset += len(piece)
            buffer, position = buffer[position:] + piece, 0
        record = buffer[position : position + _ENTRY.size]
        if len(record) < _ENTRY.size or not record.startswith(_ENTRY_SIGNATURE):
            directory.damage = "its directory is damaged"
            return
        fields = _ENTRY.unpack(record)
        name_length, extra_length, comment_length = fields[10:13]
        name_start = position + _ENTRY.size
        extra_start = name_start + name_length
        extra = buffer[extra_start : extra_start + extra_length]
        position = extra_start + extra_length + comment_length
        yield _entry(fields, buffer[name_start:extra_start], extra, shift)


def _entry(fields: tuple, raw_name: bytes, extra: bytes, shift: int) -> Entry:
    system, flags, method, crc = fields[1] >> 8, fields[3], fields[4], fields[7]
    compressed, length, external, offset = fields[8], fields[9], fields[15], fields[16]
    if _IN_ZIP64 in (compressed, length, offset):
        length, compressed, offset = _zip64(extra, length, compressed, offset)
    # Without the flag the name is in the code page of the first IBM PC; bytes that fit neither are escaped.
    name = raw_name.decode("utf-8", "backslashreplace") if flags & _UTF8 else raw_name.decode("cp437")
    is_link = system == _UNIX and stat.S_ISLNK(external >> 16)
    return Entry(name, offset + shift, compressed, length, crc, method, flags, is_link)


def _zip64(extra: bytes, *sizes: int) -> list[int]:
    """Replace the sizes that do not fit into 32 bits by those of the extra field, which has only them, in order."""
    position = 0
    values: list[int] = []
    while position + _EXTRA.size <= len(extra):
        kind, length = _EXTRA.unpack_from(extra, position)
        position += _EXTRA.size
        if kind == _ZIP64_EXTRA:
            body = extra[position : position + length]
            values = [value for (value,) in struct.iter_unpack("<Q", body[: len(body) // 8 * 8])]
            break
        position += length
    return [values.pop(0) if size == _IN_ZIP64 and values else size for size in sizes]
