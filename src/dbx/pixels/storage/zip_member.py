"""Reading one member of a zip archive, no further than is needed."""

from __future__ import annotations

import struct
import zlib

from dbx.pixels.errors import ArchiveError
from dbx.pixels.storage.reader import ClosingReader, Reader
from dbx.pixels.storage.zip_directory import STORED, Entry

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_LOCAL_SIGNATURE = b"PK\x03\x04"
#: Room for a local header's extra field; a longer one costs a second read.
_USUAL_EXTRA = 64

#: The least that is read and inflated at once: a DICOM header mostly fits.
_PIECE_BYTES = 16 * 1024
#: The most that is inflated at once, and that is kept for reading it again.
_KEPT_BYTES = 1024 * 1024


def open_entry(archive: Reader, entry: Entry, address: str) -> Reader:
    """Open a member.

    Parameters
    ----------
    archive : Reader
        The opened archive; it stays open for as long as the member is read.
    entry : Entry
        The member.
    address : str
        The member's address, for messages.

    Raises
    ------
    ArchiveError
        If the member cannot be read: `Entry.problem` says why.
    """
    if entry.problem:
        raise ArchiveError(address, entry.problem)
    return (StoredReader if entry.method == STORED else DeflatedReader)(archive, entry, address)


class _MemberReader(ClosingReader):
    """What stored and deflated members share: where their bytes are, and their checksum."""

    def __init__(self, archive: Reader, entry: Entry, address: str) -> None:
        self.size = entry.length
        self._archive = archive
        self._entry = entry
        self._address = address
        self._data_offset = -1
        self._checksum = 0
        self._checked = 0

    def _read_compressed(self, offset: int, length: int) -> bytes:
        """Read bytes of the member as they are in the archive."""
        entry = self._entry
        length = min(length, entry.compressed - offset)
        if length <= 0:
            return b""
        if self._data_offset >= 0:
            return self._archive.read(self._data_offset + offset, length)
        # The first read fetches the local header, whose extra field is of unknown length, and mostly the data with it.
        guess = _LOCAL_HEADER.size + len(entry.name) + _USUAL_EXTRA
        head = self._archive.read(entry.header_offset, guess + (0 if offset else length))
        if len(head) < _LOCAL_HEADER.size or not head.startswith(_LOCAL_SIGNATURE):
            raise self._error("is not where the archive's directory says")
        header = _LOCAL_HEADER.unpack_from(head)
        header_bytes = _LOCAL_HEADER.size + header[9] + header[10]
        self._data_offset = entry.header_offset + header_bytes
        if offset == 0 and len(head) >= header_bytes + length:
            return head[header_bytes : header_bytes + length]
        return self._archive.read(self._data_offset + offset, length)

    def _check(self, offset: int, data: bytes) -> None:
        """Sum up what is read front to back, and compare at the end."""
        if not offset <= self._checked < offset + len(data):
            return
        self._checksum = zlib.crc32(memoryview(data)[self._checked - offset :], self._checksum)
        self._checked = offset + len(data)
        if self._checked == self.size and self._checksum != self._entry.crc:
            raise self._error("is damaged: its checksum does not match")

    def _error(self, problem: str) -> ArchiveError:
        return ArchiveError(self._address, problem, "Copy or make the archive again.")


class StoredReader(_MemberReader):
    """A member that is not compressed: a range of its archive."""

    def __init__(self, archive: Reader, entry: Entry, address: str) -> None:
        super().__init__(archive, entry, address)
        if entry.length != entry.compressed:
            raise self._error("is damaged: it has two lengths")

    def read(self, offset: int, length: int) -> bytes:
        """Read `length` bytes from `offset`; fewer at the member's end."""
        length = min(length, self.size - offset)
        data = self._read_compressed(offset, length)
        if len(data) < length:
            raise self._error("is truncated")
        self._check(offset, data)
        return data


class DeflatedReader(_MemberReader):
    """A deflated member, inflated as far as it is read.

    The last `_KEPT_BYTES` stay at hand; reading what lies before them starts over.
    """

    sequential = True

    def __init__(self, archive: Reader, entry: Entry, address: str) -> None:
        super().__init__(archive, entry, address)
        self._start_over()

    def _start_over(self) -> None:
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._consumed = 0
        self._inflated = 0
        self._kept = bytearray()

    def read(self, offset: int, length: int) -> bytes:
        """Read `length` bytes from `offset`; fewer at the member's end."""
        end = min(offset + length, self.size)
        if offset < self._inflated - len(self._kept):
            self._start_over()
        pieces: list[bytes] = []
        while offset < end:
            if offset >= self._inflated:
                self._inflate(end - self._inflated)
                continue
            kept_from = offset - (self._inflated - len(self._kept))
            piece = bytes(self._kept[kept_from : kept_from + end - offset])
            pieces.append(piece)
            offset += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _inflate(self, wanted: int) -> None:
        """Inflate some more, and let go of what was inflated long ago."""
        most = min(max(wanted, _PIECE_BYTES), _KEPT_BYTES, self.size - self._inflated)
        data = b""
        while not data:
            compressed = self._more_input(max(_PIECE_BYTES, most // 2))
            data = self._decompress(compressed, most)
            if not data and self._inflater.eof:
                raise self._error("is damaged: it is shorter than it says")
            if not data and not compressed:
                raise self._error("is truncated")
        if self._inflated + len(data) == self.size:
            self._expect_end()
        self._check(self._inflated, data)
        self._inflated += len(data)
        self._kept += data
        del self._kept[:-_KEPT_BYTES]

    def _expect_end(self) -> None:
        """Make sure that nothing follows where the member says to end."""
        while not self._inflater.eof:
            compressed = self._more_input(_PIECE_BYTES)
            if self._decompress(compressed, 1):
                raise self._error("is longer than it says")
            if not compressed and not self._inflater.eof:
                raise self._error("is truncated")

    def _more_input(self, length: int) -> bytes:
        if self._inflater.unconsumed_tail:
            return self._inflater.unconsumed_tail
        compressed = self._read_compressed(self._consumed, length)
        self._consumed += len(compressed)
        return compressed

    def _decompress(self, compressed: bytes, most: int) -> bytes:
        try:
            return self._inflater.decompress(compressed, most)
        except zlib.error as error:
            raise self._error("is damaged: it cannot be inflated") from error
