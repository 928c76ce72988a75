"""Answers to MONAI Label's clients: JSON, files, and forms of both."""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from dbx.pixels.web.streaming import SENT_BYTES, StreamedResponse

JSON = dict[str, Any]

_BINARY = "application/octet-stream"


async def answer_json(function: Callable[..., Any], *arguments: object) -> Response:
    """Answer with what a function, which is run on a thread, returns."""
    content = await run_in_threadpool(lambda: orjson.dumps(function(*arguments)))
    return Response(content, media_type="application/json")


def answer_file(file: io.BytesIO, name: str, media_type: str = _BINARY) -> Response:
    """Answer with a file to be saved by a name."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Length": str(_size(file))}
    return StreamedResponse(_pieces(file), headers=headers, media_type=media_type)


def answer_form(params: Mapping[str, Any], file: io.BytesIO, name: str) -> Response:
    """Answer with ``multipart/form-data``: a field ``params`` of JSON, and a file ``image``."""
    boundary = secrets.token_hex(16)
    before = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="params"\r\nContent-Type: application/json\r\n\r\n'
        f"{orjson.dumps(params).decode()}\r\n"
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
        f"Content-Type: {_BINARY}\r\n\r\n"
    ).encode()
    after = f"\r\n--{boundary}--\r\n".encode()

    def pieces() -> Iterator[bytes]:
        yield before
        yield from _pieces(file)
        yield after

    headers = {"Content-Length": str(len(before) + _size(file) + len(after))}
    return StreamedResponse(pieces(), headers=headers, media_type=f"multipart/form-data; boundary={boundary}")


def _size(file: io.BytesIO) -> int:
    return file.getbuffer().nbytes


def _pieces(file: io.BytesIO) -> Iterator[bytes]:
    while piece := file.read(SENT_BYTES):
        yield piece
