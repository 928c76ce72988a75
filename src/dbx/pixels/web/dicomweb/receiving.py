"""Receiving the bodies of store requests: straight to disk, a piece in memory at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio.to_thread
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from dbx.pixels.catalog.incoming import IncomingFile
from dbx.pixels.catalog.uploads import Uploads
from dbx.pixels.web.dicomweb.media import DICOM, OCTET_STREAM, MediaType
from dbx.pixels.web.dicomweb.multipart import MultipartError, PartBegins, PartEnds, Splitter
from dbx.pixels.web.errors import HttpError

#: Parts of one body: each is a file, however little is in it.
MOST_PARTS = 10_000
#: Bytes of a body that are gathered before they are written.
_PIECE_BYTES = 1 << 20

_Result = TypeVar("_Result")

#: Threads of all uploads; so many requests can share a commit, and reading does not wait for them.
_THREADS = anyio.CapacityLimiter(64)


async def run_storing(function: Callable[..., _Result], *arguments: object) -> _Result:
    """Run a function that writes on a thread."""
    return await anyio.to_thread.run_sync(function, *arguments, limiter=_THREADS)


@asynccontextmanager
async def received(request: Request, uploads: Uploads) -> AsyncIterator[list[Path]]:
    """Receive the files of a request's body; they are gone when the context ends, unless they were stored.

    Parameters
    ----------
    request : Request
        ``multipart/related`` with parts of ``application/dicom``, or that type itself (PS3.18 10.5.1).
    uploads : Uploads
        Where the files are received.

    Raises
    ------
    HttpError
        415, if the body is something else; 400, if it is broken, has too many parts or does not come to its end.
    StorageError
        If the files cannot be written.
    """
    body = _Body(_splitter(request), uploads)
    try:
        gathered = bytearray()
        async for data in request.stream():
            gathered += data
            if len(gathered) >= _PIECE_BYTES:
                await run_storing(body.write, bytes(gathered))
                gathered.clear()
        await run_storing(body.finish, bytes(gathered))
        yield [file.path for file in body.files]
    except MultipartError as error:
        raise HttpError(400, f"the body is broken: {error}") from error
    except ClientDisconnect as error:
        raise HttpError(400, "the client left before the body's end") from error
    finally:
        await run_storing(body.discard)


class _Body:
    """Writes a body's parts to files while it arrives.

    Parameters
    ----------
    splitter : Splitter or None
        None if the body as a whole is the one file.
    """

    def __init__(self, splitter: Splitter | None, uploads: Uploads) -> None:
        self.files: list[IncomingFile] = []
        self._splitter = splitter
        self._uploads = uploads

    def write(self, data: bytes) -> None:
        if self._splitter is None:
            if not self.files:
                self.files.append(self._uploads.receive())
            self.files[-1].write(data)
            return
        for event in self._splitter.feed(data):
            if isinstance(event, PartBegins):
                _refuse_other_types(event.headers)
                if len(self.files) == MOST_PARTS:
                    raise HttpError(400, f"the body has more than {MOST_PARTS} parts: store them in several requests")
                self.files.append(self._uploads.receive())
            elif isinstance(event, PartEnds):
                self.files[-1].finish()
            else:
                self.files[-1].write(event)

    def finish(self, data: bytes) -> None:
        self.write(data)
        if self._splitter is None:
            self.files[-1].finish()
            return
        self._splitter.finish()
        if not self.files:
            raise HttpError(400, "the body has no parts")

    def discard(self) -> None:
        for file in self.files:
            file.discard()


def _splitter(request: Request) -> Splitter | None:
    """Return what splits the request's body; None if it is one file."""
    content_type = request.headers.get("content-type", "")
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise HttpError(415, f"a body with Content-Encoding {encoding} is not understood: send it as it is")
    try:
        media_type = MediaType.parse(content_type)
    except HttpError:
        media_type = MediaType("")
    # Without a type, multipart/related is what this service takes.
    if media_type.name != DICOM and not (media_type.multipart and media_type.name == "*/*"):
        raise HttpError(415, f'store takes multipart/related; type="{DICOM}", or {DICOM}')
    if not media_type.multipart:
        return None
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if boundary is None:
        raise HttpError(400, "the Content-Type has no boundary")
    try:
        return Splitter(boundary.decode("latin-1"))
    except MultipartError as error:
        raise HttpError(400, str(error)) from error


def _refuse_other_types(headers: dict[str, str]) -> None:
    content_type = headers.get("content-type")
    if content_type and MediaType.parse(content_type).name not in (DICOM, OCTET_STREAM):
        raise HttpError(415, f"a part is {content_type[:80]}, not {DICOM}")
