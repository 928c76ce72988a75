"""What the requests of MONAI Label's clients say: forms, and parameters that MONAI would evaluate."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio.to_thread
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.types import Message

from dbx.pixels.errors import RunCancelledError
from dbx.pixels.web.asking import MOST_WORDS, json_object
from dbx.pixels.web.errors import HttpError

_T = TypeVar("_T")

#: First characters of what MONAI evaluates, or reads elsewhere, in a configuration.
_EVALUATED = ("$", "@", "%")
#: Levels of lists and mappings in a parameter: of ``label_info``, a list of mappings, which may hold a colour.
_DEEPEST = 3
#: Parameters that clients send with everything.
_ALWAYS = frozenset(("client_id",))
#: Threads of runs. One computes at a time; the others wait for their turn.
_RUNS = anyio.CapacityLimiter(16)
#: Seconds between two looks at whether the client still waits.
_PATIENCE = 0.5


@asynccontextmanager
async def form_of(request: Request, most: int) -> AsyncIterator[FormData]:
    """Read a form; its files are on disk where they are large, and gone when the context ends.

    Parameters
    ----------
    request : Request
        ``multipart/form-data``, or ``application/x-www-form-urlencoded``.
    most : int
        Bytes that its body may have.

    Raises
    ------
    HttpError
        400, if it is no form, or broken; 413, if it is larger.
    """
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > most:
            raise HttpError(413, f"the body is larger than {most} bytes")
        return message

    async with Request(request.scope, receive).form(max_part_size=MOST_WORDS) as form:
        yield form


def params_of(form: FormData) -> dict[str, Any]:
    """Return what a form says in its field ``params``.

    Raises
    ------
    HttpError
        400, if that is no JSON object.
    """
    params = form.get("params", "")
    if isinstance(params, UploadFile):
        raise HttpError(400, "params is a file, and has to be text")
    return json_object(params.encode(), "params")


def declared(params: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Return parameters, all of which are known, without those that every request has.

    Raises
    ------
    HttpError
        400, if one is not known, or its value is something that MONAI would evaluate, or nested deeper than any is.
    """
    for name, value in params.items():
        if name not in _ALWAYS and name not in known:
            raise HttpError(400, f"{name!r} is no parameter of this request; it has {', '.join(sorted(known))}")
        if not _is_plain(value):
            problem = (
                f"has a value that is no plain one: $, @ and % stand for expressions, and {_DEEPEST} levels are most"
            )
            raise HttpError(400, f"{name!r} {problem}")
    return {name: value for name, value in params.items() if name not in _ALWAYS}


def _is_plain(value: Any, depth: int = _DEEPEST) -> bool:
    if isinstance(value, str):
        return not value.lstrip().startswith(_EVALUATED)
    if isinstance(value, list | dict):
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        return depth > 0 and all(_is_plain(part, depth - 1) for part in parts)
    return True


def uploaded(form: FormData, name: str) -> UploadFile | None:
    """Return a file of a form.

    Raises
    ------
    HttpError
        400, if there is something of this name that is no file.
    """
    file = form.get(name)
    if isinstance(file, str) and file:
        raise HttpError(400, f"{name} is text, and has to be a file")
    return file if isinstance(file, UploadFile) else None


async def run_while_waited_for(request: Request, run: Callable[[Callable[[], bool]], _T]) -> _T:
    """Run a model on a thread; a client that leaves cancels it.

    Parameters
    ----------
    request : Request
        Whose body has been read.
    run : callable
        Gets what tells whether to give up.
    """
    left = threading.Event()
    task = asyncio.ensure_future(anyio.to_thread.run_sync(run, left.is_set, limiter=_RUNS))
    try:
        while not task.done():
            await asyncio.wait([task], timeout=_PATIENCE)
            if await request.is_disconnected():
                left.set()
        return task.result()
    except RunCancelledError as error:
        raise HttpError(499, "the client left before the run's end") from error
    finally:
        left.set()
