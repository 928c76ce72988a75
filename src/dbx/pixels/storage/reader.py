"""What every opened object offers, wherever it lies: its size, and bytes from an offset."""

from __future__ import annotations

from typing import Protocol, Self, runtime_checkable


@runtime_checkable
class Reader(Protocol):
    """An opened object.

    Attributes
    ----------
    size : int
        Length of the object in bytes.
    sequential : bool
        True if reading at an offset costs reading all before it, as in a deflated zip member: read it front to back.
    """

    size: int
    sequential: bool

    def read(self, offset: int, length: int) -> bytes:
        """Read `length` bytes from `offset`; fewer at the object's end, none beyond it.

        Raises
        ------
        StorageError
            If the object cannot be read.
        """

    def close(self) -> None:
        """Let go of what the reader holds open. It may be called twice."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc_info: object) -> None: ...


class ClosingReader:
    """The part of a `Reader` that is the same for all: a context manager that closes."""

    sequential: bool = False

    def close(self) -> None:
        """Hold nothing open; readers that do override it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
