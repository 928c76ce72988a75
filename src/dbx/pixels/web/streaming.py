"""Answers that are made while they are sent: what makes them is let go as soon as the client leaves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator, Mapping
from itertools import chain
from tempfile import TemporaryFile
from typing import IO, Any, TypeVar

from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from dbx.pixels.web.threads import made_on_threads

#: Bytes of an object that are read at once: of a store, each read is a request.
READ_BYTES = 1 << 20
#: Bytes of what lies in a file or in memory that are sent at once.
SENT_BYTES = 1 << 16

#: Bytes of an answer that may be in memory until a slow client has read them.
IN_MEMORY = 1 << 18

_Piece = TypeVar("_Piece")


class StreamedResponse(StreamingResponse):
    """Sends pieces, which are made on threads unless their iterator is an asynchronous one."""

    def __init__(self, content: AsyncIterable[bytes] | Iterable[bytes], *args: Any, **kwargs: Any) -> None:
        super().__init__(content if isinstance(content, AsyncIterable) else made_on_threads(content), *args, **kwargs)

    async def stream_response(self, send: Send) -> None:
        """Send the pieces, then close what makes them: else that would be left to the garbage collector."""
        try:
            await super().stream_response(send)
        finally:
            if isinstance(self.body_iterator, AsyncGenerator):
                await self.body_iterator.aclose()


def begun(pieces: Iterator[_Piece]) -> Iterator[_Piece]:
    """Make the first piece at once, so that the status of the answer still tells if that fails."""
    for first in pieces:
        return _resumed(first, pieces)
    return pieces


def _resumed(first: _Piece, others: Iterator[_Piece]) -> Iterator[_Piece]:
    yield first
    yield from others


async def answer_with(pieces: AsyncGenerator[bytes], headers: Mapping[str, str]) -> Response:
    """Answer with pieces: at once if they are `SENT_BYTES` bytes at most, else one after the other.

    What fails before is raised, so that the status of the answer tells.
    """
    begun, size = [], 0
    async for piece in pieces:
        begun.append(piece)
        size += len(piece)
        if size > SENT_BYTES:
            return StreamedResponse(_all_pieces(begun, pieces), headers=headers)
    return Response(b"".join(begun), headers=headers)


async def _all_pieces(begun: list[bytes], others: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    while begun:
        yield begun.pop(0)
    async for piece in others:
        yield piece


def spooled(pieces: Iterable[bytes], headers: Mapping[str, str]) -> Response:
    """Answer with pieces that are made at once; if they are more than `IN_MEMORY`, a file holds them for the client."""
    begun, size, pieces = [], 0, iter(pieces)
    for piece in pieces:
        begun.append(piece)
        size += len(piece)
        if size > IN_MEMORY:
            file = _written(chain(begun, pieces))
            return StreamedResponse(_pieces_of(file), headers={**headers, "Content-Length": str(file.tell())})
    return Response(b"".join(begun), headers=headers)


def _written(pieces: Iterable[bytes]) -> IO[bytes]:
    file = TemporaryFile()  # noqa: SIM115 - closed when it has been sent
    file.writelines(pieces)
    return file


def _pieces_of(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while piece := file.read(SENT_BYTES):
            yield piece
