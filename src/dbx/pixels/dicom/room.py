"""Room in memory for frames: what one may take, and what all may that are decoded at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dbx.pixels.errors import PixelDataError

#: Bytes of all frames that are decoded at the same time; a larger frame is refused. The greatest that are in use, of
#: whole slides and mammography, have 100 million pixels.
ROOM = 1 << 30

#: Frames of so many bytes wait for no others: there are only as many of them as there are threads.
_SMALL = 1 << 24

#: A larger frame is stored in a thousandth of its bytes at least. Of smaller ones that is not asked: if all their
#: pixels are the same, codecs store them in next to nothing.
_LARGEST_OF_NOTHING = 1 << 26
_GREATEST_RATIO = 1000


@contextmanager
def room_for(length: int) -> Iterator[None]:
    """Wait until there is room for some bytes of pixels, and keep it while the context lasts.

    Not to be nested: who has room and waits for more may wait for ever.

    Raises
    ------
    PixelDataError
        If there never will be.
    """
    if length > ROOM:
        raise PixelDataError("", f"cannot be decoded: {length >> 20} MiB of pixels are more than {ROOM >> 20} MiB")
    if length <= _SMALL:
        yield
        return
    _shared.take(length)
    try:
        yield
    finally:
        _shared.give_back(length)


def check_ratio(length: int, encoded: int) -> None:
    """Refuse a large frame of which next to nothing is stored, before memory is given for what it claims to be.

    Raises
    ------
    PixelDataError
        If a frame of `length` bytes is not encoded in as little as that.
    """
    if length > max(_LARGEST_OF_NOTHING, _GREATEST_RATIO * encoded):
        raise PixelDataError("", f"cannot be decoded: {encoded} bytes cannot hold a frame of {length >> 20} MiB")


class _SharedRoom:
    def __init__(self, length: int) -> None:
        self._free = length
        self._changed = threading.Condition()
        self._turn = threading.Lock()

    def take(self, length: int) -> None:
        with self._turn, self._changed:  # in turn, lest small frames for ever keep a large one from its room
            self._changed.wait_for(lambda: self._free >= length)
            self._free -= length

    def give_back(self, length: int) -> None:
        with self._changed:
            self._free += length
            self._changed.notify()


_shared = _SharedRoom(ROOM)
