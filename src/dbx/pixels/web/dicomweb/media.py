"""Media types: what a client accepts (PS3.18 8.7), and multipart answers (PS3.18 8.6.1.2)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from python_multipart.multipart import parse_options_header
from starlette.requests import Request
from starlette.responses import Response

from dbx.pixels.web.errors import HttpError
from dbx.pixels.web.streaming import StreamedResponse, spooled

DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
DICOM_XML = "application/dicom+xml"
OCTET_STREAM = "application/octet-stream"

#: What commas separate, but for those in quotes. Nothing is looked at twice, however long it is.
_MEDIA_RANGE = re.compile(r'(?:[^,"]++|"[^"]*+"?+)++')


@dataclass(frozen=True)
class MediaType:
    """A media type, or in an Accept header a range of them.

    Attributes
    ----------
    name : str
        Such as ``application/dicom``; of a multipart type, that of its parts.
    multipart : bool
        Whether it is ``multipart/related``.
    transfer_syntax : str or None
        The parameter ``transfer-syntax``; ``"*"`` means as stored.
    quality : float
        The client's preference, 0 to 1.
    """

    name: str
    multipart: bool = False
    transfer_syntax: str | None = None
    quality: float = field(default=1, compare=False)

    @classmethod
    @lru_cache(maxsize=256)  # a client says the same with every request
    def parse(cls, text: str) -> MediaType:
        """Read one media type or range.

        Raises
        ------
        HttpError
            400, if it cannot be understood.
        """
        name, parameters = parse_options_header(text)
        options = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in parameters.items()}
        full_name = name.decode("latin-1").strip().lower()
        multipart = full_name == "multipart/related"
        if multipart:
            full_name = options.get("type", "*/*").lower()
        try:
            quality = float(options.get("q", 1))
        except ValueError:
            quality = -1
        if not re.fullmatch(r"[^/\s]+/[^/\s]+", full_name) or not 0 <= quality <= 1:
            raise HttpError(400, f"{text.strip()!r} is no media type")
        return cls(full_name, multipart, options.get("transfer-syntax"), quality)

    def admits(self, offered: MediaType) -> bool:
        """Tell whether a range of a client lets an offered type in; ``*/*`` lets multipart types in, too."""
        if self.name == "*/*" and not self.multipart:
            return True
        kind, _, subtype = self.name.partition("/")
        return self.multipart == offered.multipart and (
            self.name in ("*/*", offered.name) or (subtype == "*" and offered.name.startswith(f"{kind}/"))
        )

    def __str__(self) -> str:
        return f'multipart/related; type="{self.name}"' if self.multipart else self.name


def accepted(request: Request) -> list[MediaType]:
    """Return what the client accepts, what it prefers first; everything if it does not say.

    The query parameter ``accept`` takes the place of the header (PS3.18 8.3.3.1).

    Raises
    ------
    HttpError
        400, if a media range cannot be understood.
    """
    return ranges_of(accept_texts(request))


def accept_texts(request: Request) -> tuple[str, ...]:
    """Return the client's words for what it accepts; nothing if it does not say."""
    return tuple(request.query_params.getlist("accept") or request.headers.getlist("accept"))


def ranges_of(texts: tuple[str, ...]) -> list[MediaType]:
    """Return what a client accepts by its words; see `accepted`."""
    ranges = [MediaType.parse(piece) for text in texts for piece in _MEDIA_RANGE.findall(text) if piece.strip()]
    return sorted(ranges or [MediaType("*/*")], key=lambda range_: -range_.quality)


def negotiate(request: Request, offered: Sequence[MediaType]) -> MediaType:
    """Choose the media type of an answer.

    Parameters
    ----------
    request : Request
        Whose Accept header, or query parameter ``accept``, says what the client takes.
    offered : sequence of MediaType
        What could be answered, the default first.

    Returns
    -------
    MediaType
        One of those offered, with the `transfer_syntax` that the client asks for.

    Raises
    ------
    HttpError
        406, if the client takes none of them.
    """
    ranges = accepted(request)
    refused = {range_.name for range_ in ranges if range_.quality == 0}
    for range_ in ranges:
        for candidate in offered:
            if range_.quality and range_.admits(candidate) and candidate.name not in refused:
                return MediaType(candidate.name, candidate.multipart, range_.transfer_syntax)
    raise HttpError(406, f"can be had as {', '.join(map(str, offered))}")


class Part(NamedTuple):
    """One part of a multipart answer.

    Attributes
    ----------
    content_type : str
        With its parameters.
    content : bytes or iterable of bytes
        A large part comes in pieces.
    location : str or None
        Content-Location.
    """

    content_type: str
    content: bytes | Iterable[bytes]
    location: str | None = None


def multipart_related(parts: Iterable[Part], root_type: str) -> StreamedResponse:
    """Make a ``multipart/related`` answer of parts, which are made while they are sent.

    Parameters
    ----------
    parts : iterable of Part
        Consumed on a thread.
    root_type : str
        Media type of the parts.
    """
    boundary = uuid.uuid4().hex
    return StreamedResponse(_lines(parts, boundary), headers=_related(root_type, boundary))


def multipart_spooled(parts: Iterable[Part], root_type: str) -> Response:
    """Make a ``multipart/related`` answer of parts, which are made now; see `spooled`."""
    boundary = uuid.uuid4().hex
    return spooled(_lines(parts, boundary), _related(root_type, boundary))


def one_part(part: Part, media_type: MediaType) -> Response:
    """Make an answer of one part, multipart or not, which is sent at once if the part is no large one."""
    if not isinstance(part.content, bytes):
        if media_type.multipart:
            return multipart_related([part], media_type.name)
        return StreamedResponse(part.content, headers={"Content-Type": part.content_type})
    if media_type.multipart:
        boundary = uuid.uuid4().hex
        return Response(b"".join(_lines([part], boundary)), headers=_related(media_type.name, boundary))
    return Response(part.content, headers={"Content-Type": part.content_type})


def multipart_to_fill(content_type: str, length: int, root_type: str) -> tuple[Response, memoryview]:
    """Make a ``multipart/related`` answer of one part of known length, which is read to where it is sent from.

    Returns
    -------
    response : Response
        The answer.
    content : memoryview
        To be filled with the part's content.
    """
    boundary = uuid.uuid4().hex
    head = f"--{boundary}\r\nContent-Type: {content_type}\r\n\r\n".encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    body = memoryview(bytearray(len(head) + length + len(tail)))
    body[: len(head)] = head
    body[len(head) + length :] = tail
    return Response(body, headers=_related(root_type, boundary)), body[len(head) : len(head) + length]


def _related(root_type: str, boundary: str) -> dict[str, str]:
    return {"Content-Type": f'multipart/related; type="{root_type}"; boundary={boundary}'}


def _lines(parts: Iterable[Part], boundary: str) -> Iterator[bytes]:
    separator = f"--{boundary}\r\n"
    for part in parts:
        location = f"Content-Location: {part.location}\r\n" if part.location else ""
        head = f"{separator}Content-Type: {part.content_type}\r\n{location}\r\n".encode()
        if isinstance(part.content, bytes):
            yield head + part.content
        else:
            yield head
            yield from part.content
        separator = f"\r\n--{boundary}\r\n"
    yield f"\r\n--{boundary}--\r\n".encode()
