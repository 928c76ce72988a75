"""JSON that requests say something with: small objects."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request

from dbx.pixels.web.errors import HttpError

#: Bytes of a request's words; what they say are names, numbers and some points.
MOST_WORDS = 1 << 20


async def small_body(request: Request) -> bytes:
    """Read the body of a request.

    Raises
    ------
    HttpError
        413, if it is larger than `MOST_WORDS`.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_WORDS:
            raise HttpError(413, f"the body is larger than {MOST_WORDS} bytes")
    return bytes(body)


def json_object(text: bytes, name: str) -> dict[str, Any]:
    """Return the JSON object that a text is.

    Raises
    ------
    HttpError
        400, if it is none.
    """
    try:
        values = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise HttpError(400, f"{name} is no JSON: {error}") from error
    if not isinstance(values, dict):
        raise HttpError(400, f"{name} is no JSON object")
    return values
