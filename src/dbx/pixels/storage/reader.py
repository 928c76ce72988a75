"""What every opened object offers, wherever it lies: its size, and bytes from an offset."""

from __future__ import annotations

from typing import Protocol, Self, runtime_checkable

from dbx.pixels.errors import StorageError


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


class BrokenReader(ClosingReader):
    """A `Reader` of an object that could not be opened, which says why when it is read.

    So an object that cannot be opened costs its own row and not the batch that it is part of.
    """

    def __init__(self, size: int, error: StorageError) -> None:
        self.size = size
        self._error = error

    def read(self, offset: int, length: int) -> bytes:  # noqa: ARG002 - the protocol's arguments
        """Raise the error that opening the object raised."""
        raise self._error
