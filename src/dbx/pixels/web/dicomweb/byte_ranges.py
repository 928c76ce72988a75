"""Ranges of bytes that a client asks for instead of all (RFC 9110 section 14)."""

from __future__ import annotations

import re
from typing import NamedTuple

from starlette.requests import Request

from dbx.pixels.web.errors import HttpError

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class ByteRange(NamedTuple):
    """What is sent of something, and how the answer says so.

    Attributes
    ----------
    first, end : int
        Where it begins and ends.
    status : int
        206, or 200 for all.
    headers : dict
        Of the answer.
    """

    first: int
    end: int
    status: int
    headers: dict[str, str]


def requested_range(request: Request, length: int) -> ByteRange:
    """Read which bytes of a value of this length a client wants; all, unless it asks for one range.

    Raises
    ------
    HttpError
        416, if it has none of them.
    """
    headers = {"Accept-Ranges": "bytes"}
    wanted = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if not wanted:
        return ByteRange(0, length, 200, headers)
    first, last = wanted.groups()
    if first:
        begin, end = int(first), min(int(last or length) + 1, length)
    else:  # so many bytes from the end
        begin, end = max(length - int(last or 0), 0), length
    if begin >= end:
        raise HttpError(416, "the range lies outside of the value", {"Content-Range": f"bytes */{length}"})
    return ByteRange(begin, end, 206, {**headers, "Content-Range": f"bytes {begin}-{end - 1}/{length}"})
