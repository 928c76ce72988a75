"""Where the fragments of encapsulated pixel data lie, and which frame each belongs to (PS3.5 A.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

#: Stands for the frame of a fragment of which nothing tells it.
_UNKNOWN = -1


class Fragments:
    """The fragments of one object as a table of numbers, since a slide has a hundred thousand of them.

    Parameters
    ----------
    numbers : numpy.ndarray
        Of 64 bits; a row of frame, offset and length for each fragment.
    """

    def __init__(self, numbers: NDArray[np.int64]) -> None:
        self._numbers = numbers

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, Any]]) -> Self:
        """Take them from the column `fragments` of a row."""
        numbers = [
            (_UNKNOWN if row["frame"] is None else row["frame"], row["offset"], row["length"] or 0) for row in rows
        ]
        return cls(np.array(numbers, np.int64).reshape(-1, 3))

    @classmethod
    def from_bytes(cls, packed: bytes) -> Self:
        """Take them from what `to_bytes` has made."""
        return cls(np.frombuffer(packed, np.int64).reshape(-1, 3))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fragments) and np.array_equal(self._numbers, other._numbers)

    def to_bytes(self) -> bytes:
        """Write them, 24 bytes each."""
        return self._numbers.tobytes()

    def of_frame(self, frame: int) -> list[tuple[int, int]]:
        """Return offset and length of each fragment of a frame, from 0; nothing if there is no such frame."""
        return [(offset, length) for _, offset, length in self._numbers[self._numbers[:, 0] == frame].tolist()]

    def as_one_frame(self) -> Self:
        """Return the same fragments as those of frame 0: all frames of a video are in one stream."""
        numbers = self._numbers.copy()
        numbers[:, 0] = 0
        return type(self)(numbers)
