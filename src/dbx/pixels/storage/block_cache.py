"""A cache of blocks in front of a reader whose every read is a request."""

from __future__ import annotations

import threading
from collections import OrderedDict

from dbx.pixels.storage.reader import ClosingReader, Reader

BLOCK_BYTES = 256 * 1024
_BLOCKS = 64


class BlockCache(ClosingReader):
    """A `Reader` that reads another one in blocks and keeps those used last; threads may share it.

    Parameters
    ----------
    reader : Reader
        Closed with the cache.
    """

    def __init__(self, reader: Reader) -> None:
        self.size = reader.size
        self._reader = reader
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, offset: int, length: int) -> bytes:
        """Read `length` bytes from `offset`; fewer at the object's end."""
        end = min(offset + length, self.size)
        if end <= offset:
            return b""
        first, last = offset // BLOCK_BYTES, (end - 1) // BLOCK_BYTES
        if last - first > 1:
            return self._reader.read(offset, end - offset)  # long reads would only drive out what is read again
        data = b"".join(self._block(number) for number in range(first, last + 1))
        return data[offset - first * BLOCK_BYTES : end - first * BLOCK_BYTES]

    def _block(self, number: int) -> bytes:
        with self._lock:
            if number in self._blocks:
                self._blocks.move_to_end(number)
                return self._blocks[number]
        # Not under the lock: other threads need other blocks meanwhile.
        block = self._reader.read(number * BLOCK_BYTES, BLOCK_BYTES)
        with self._lock:
            self._blocks[number] = block
            while len(self._blocks) > _BLOCKS:
                self._blocks.popitem(last=False)
        return block

    def close(self) -> None:
        """Close the reader behind."""
        self._reader.close()
