"""What requests say."""

from __future__ import annotations

from typing import Any, TypeVar

from starlette.requests import Request

from dbx.pixels.web.errors import HttpError
from dbx.pixels.web.json_bodies import json_object, small_body

_T = TypeVar("_T")


async def json_body(request: Request) -> dict[str, Any]:
    """Read the JSON object that a request has as its body; without a body it is empty.

    Raises
    ------
    HttpError
        400, if it is something else; 413, if it is large.
    """
    body = await small_body(request)
    return json_object(body, "the body") if body else {}


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
    """Return a parameter that a request's query has to have.

    Raises
    ------
    HttpError
        400, if it has not.
    """
    if key not in request.query_params:
        raise HttpError(400, f'"{key}" is missing in the query')
    return request.query_params[key]
