"""What requests say: small JSON objects, and parameters of queries."""

from __future__ import annotations

from typing import Any, TypeVar

import orjson
from starlette.requests import Request

from dbx.pixels.web.errors import HttpError

_T = TypeVar("_T")

#: Bytes of a request's words; what they say are names, numbers and some points.
MOST_WORDS = 1 << 20


async def json_body(request: Request) -> dict[str, Any]:
    """Read the JSON object that a request has as its body; without a body, or with ``null``, it is empty.

    Raises
    ------
    HttpError
        400, if it is something else; 413, if it is larger than `MOST_WORDS`.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_WORDS:
            raise HttpError(413, f"the body is larger than {MOST_WORDS} bytes")
    return json_object(bytes(body), "the body")


def json_object(text: bytes, name: str) -> dict[str, Any]:
    """Return the JSON object that a text is; nothing, and ``null``, are an empty one.

    Raises
    ------
    HttpError
        400, if it is none.
    """
    if not text.strip():
        return {}
    try:
        values = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise HttpError(400, f"{name} is no JSON: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise HttpError(400, f"{name} is no JSON object")
    return values


def required(asked: dict[str, Any], key: str, kind: type[_T]) -> _T:
    """Return what a request has to say.

    Raises
    ------
    HttpError
        400, if it does not.
    """
    value = asked.get(key)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):  # which Python counts among int
        raise HttpError(400, f'"{key}" is missing' if value is None else f'"{key}" is not what it has to be')
    return value


def queried(request: Request, key: str) -> str:
    """Return a parameter that a request's query has to have, with a value.

    Raises
    ------
    HttpError
        400, if it has not.
    """
    value = request.query_params.get(key)
    if not value:
        raise HttpError(400, f'"{key}" is missing in the query')
    return value
