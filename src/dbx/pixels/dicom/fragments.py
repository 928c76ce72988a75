"""Where the fragments of encapsulated pixel data lie, and which frame each belongs to (PS3.5 A.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
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

    @staticmethod
    def column_to_bytes(column: pa.ChunkedArray) -> list[bytes | None]:
        """Return what `to_bytes` writes of each row of a column `fragments`."""
        values = pa.chunked_array([pc.list_flatten(chunk) for chunk in column.chunks], column.type.value_type)
        missing = {"frame": _UNKNOWN, "offset": 0, "length": 0}
        numbers = [pc.struct_field(values, name).fill_null(value).to_numpy() for name, value in missing.items()]
        packed = np.stack(numbers, axis=1).astype(np.int64).tobytes()
        ends = np.cumsum(pc.fill_null(pc.list_value_length(column), 0).to_numpy()) * (3 * np.int64().itemsize)
        begins = [0, *ends.tolist()]
        return [
            packed[begin:end] if is_there else None
            for begin, end, is_there in zip(begins, begins[1:], column.is_valid().to_pylist(), strict=False)
        ]

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
