"""Splitting a multipart body into its parts while it arrives (RFC 2046 5.1), with bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

#: Bytes that the headers of one part, and the padding behind a boundary, may have.
LARGEST_HEADERS = 16 << 10
LARGEST_PADDING = 1 << 10

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_FOLD = re.compile(r"\r\n[ \t]+")


class MultipartError(ValueError):
    """A body that is not what RFC 2046 calls multipart."""


@dataclass(frozen=True)
class PartBegins:
    """A part begins.

    Attributes
    ----------
    headers : dict of str to str
        By name in small letters.
    """

    headers: dict[str, str]


@dataclass(frozen=True)
class PartEnds:
    """The part that began last is complete."""


#: What happens in a body; bytes are some more of the content of a part.
Event = PartBegins | bytes | PartEnds


class _State(Enum):
    PREAMBLE = auto()
    HEADERS = auto()
    CONTENT = auto()
    EPILOGUE = auto()


class Splitter:
    """Splits one body.

    Parameters
    ----------
    boundary : str
        Of the body's Content-Type, without quotes.

    Raises
    ------
    MultipartError
        If it cannot be a boundary.
    """

    def __init__(self, boundary: str) -> None:
        if not _BOUNDARY.fullmatch(boundary):
            raise MultipartError(f"{boundary[:80]!r} is no boundary")
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        # The line break that belongs to a delimiter may be missing before the first.
        self._buffer = bytearray(b"\r\n")
        self._state = _State.PREAMBLE

    def feed(self, data: bytes) -> Iterator[Event]:
        """Take some more of the body and yield what happens in it; how the body is cut does not matter.

        Raises
        ------
        MultipartError
            If the body is broken.
        """
        self._buffer += data
        while self._state is not _State.EPILOGUE:
            if self._state is _State.HEADERS:
                headers = self._take_headers()
                if headers is None:
                    return
                self._state = _State.CONTENT
                yield PartBegins(headers)
                continue
            in_part = self._state is _State.CONTENT
            content, is_delimiter = self._take_content()
            if in_part and content:
                yield content
            if not is_delimiter:
                return
            if in_part:
                yield PartEnds()
        self._buffer.clear()

    def finish(self) -> None:
        """Tell that the body has ended.

        Raises
        ------
        MultipartError
            If it lacks its last delimiter.
        """
        if self._state is not _State.EPILOGUE:
            raise MultipartError("the body ends before its closing boundary")

    def _take_content(self) -> tuple[bytes, bool]:
        """Take what comes before the next delimiter, and the delimiter; or what surely is no part of one."""
        start = 0
        while (found := self._buffer.find(self._delimiter, start)) >= 0:
            behind = found + len(self._delimiter)
            end = self._delimiter_end(behind)
            if end is None:  # what follows decides
                return self._take(found), False
            if end >= 0:
                content = self._take(found)
                del self._buffer[: end - found]
                return content, True
            start = found + 1  # the content has a line that begins like the delimiter
        # The beginning of a delimiter may be the end of what has come so far.
        return self._take(max(len(self._buffer) - len(self._delimiter) + 1, start)), False

    def _delimiter_end(self, position: int) -> int | None:
        """Tell where a delimiter's line ends: -1 if it is none, None if more must come; and what begins behind it."""
        buffer = self._buffer
        if buffer[position : position + 2] == b"--":
            self._state = _State.EPILOGUE
            return position + 2
        if len(buffer) < position + 2 and b"--".startswith(buffer[position:]):
            return None
        end = position
        while end < len(buffer) and buffer[end] in b" \t":
            end += 1
        if end - position > LARGEST_PADDING:
            raise MultipartError(f"more than {LARGEST_PADDING} bytes of padding follow a boundary")
        if buffer[end : end + 2] == b"\r\n":
            self._state = _State.HEADERS
            return end  # this line break is also the first half of the empty line that ends headers
        return None if b"\r\n".startswith(buffer[end : end + 2]) else -1

    def _take_headers(self) -> dict[str, str] | None:
        end = self._buffer.find(b"\r\n\r\n")
        if (len(self._buffer) - 3 if end < 0 else end) > LARGEST_HEADERS:
            raise MultipartError(f"a part has more than {LARGEST_HEADERS} bytes of headers")
        if end < 0:
            return None
        text = self._take(end).decode("latin-1")
        del self._buffer[:4]
        headers = {}
        for line in filter(None, _FOLD.sub(" ", text).split("\r\n")):
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise MultipartError("a part has a header without a name")
            headers[name.lower()] = value.strip()
        return headers

    def _take(self, length: int) -> bytes:
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken
