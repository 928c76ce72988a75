"""Threads on which pixels are read and decoded: what waits there, for a store or for room, delays no search."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from typing import Any, TypeVar

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

_THREADS = anyio.CapacityLimiter(40)
_END: Any = object()

_Result = TypeVar("_Result")


def on_threads(answer: Callable[[Request], Response]) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    """Make an endpoint of a function that answers requests on these threads."""

    async def endpoint(request: Request) -> Response:
        return await anyio.to_thread.run_sync(answer, request, limiter=_THREADS)

    return endpoint


async def made_on_threads(pieces: Iterable[_Result]) -> AsyncGenerator[_Result]:
    """Make pieces one after the other on these threads."""
    iterator = iter(pieces)
    while (piece := await anyio.to_thread.run_sync(next, iterator, _END, limiter=_THREADS)) is not _END:
        yield piece
