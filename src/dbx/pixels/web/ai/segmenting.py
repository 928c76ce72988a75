"""Segmenting a series for the viewer: how far the run is, line by line, then the labelmap."""

from __future__ import annotations

import asyncio
import logging
import threading
import zlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import anyio.to_thread
import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dbx.pixels.ai.segmented import Segmented
from dbx.pixels.errors import ArgumentError, PixelsError, SeriesNotFoundError, ServingError
from dbx.pixels.web.ai.labels import described
from dbx.pixels.web.asking import json_body, required
from dbx.pixels.web.errors import status_of
from dbx.pixels.web.server import Server
from dbx.pixels.web.streaming import StreamedResponse

#: Seconds between two lines of progress.
_INTERVAL = 0.2
#: Of zlib: labelmaps are so even that the fastest level shrinks them to hundredths.
_COMPRESSION = 1
#: Threads of runs. One computes at a time; the others wait for their turn.
_THREADS = anyio.CapacityLimiter(16)

_log = logging.getLogger(__name__)


async def segment(request: Request) -> Response:
    """Answer ``POST {"model": ..., "series": ..., "params": {...}}``.

    Lines of ``{"progress": 0.4, "message": "segmenting"}`` are followed by one of ``{"result": {...}}`` and the
    labelmap, ``result.bytes`` of zlib (RFC 1950), or by one of ``{"error": ..., "remedy": ...}``. What fails before the
    first line has a status that says so, and that error as its body. A client that goes away ends the run.
    """
    server: Server = request.app.state.server
    asked = await json_body(request)
    model, series = required(asked, "model", str), required(asked, "series", str)
    params = required(asked, "params", dict) if "params" in asked else {}
    principal = server.principal(request)

    def run(progress: _Progress) -> Segmented:
        return server.assistant.run(
            model, series, principal, params=params, on_progress=progress.tell, is_cancelled=progress.cancelled.is_set
        )

    pieces = _pieces(run)
    try:
        first = await anext(pieces)
    except PixelsError as error:
        return JSONResponse(_told(error, model, series), status_of(error))
    return StreamedResponse(_resumed(first, pieces, model, series), media_type="application/octet-stream")


class _Progress:
    """How far a run is, told by its thread and asked for by the request."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.state: tuple[float, str] | None = None

    def tell(self, part: float, what: str) -> None:
        self.state = part, what


async def _pieces(run: Callable[[_Progress], Segmented]) -> AsyncGenerator[bytes]:
    """Run on a thread, and yield what is to be sent; to be closed cancels the run."""
    progress, told = _Progress(), None
    task = asyncio.ensure_future(anyio.to_thread.run_sync(lambda: _result(run(progress)), limiter=_THREADS))
    task.add_done_callback(lambda task: task.cancelled() or task.exception())  # nobody may be left to ask for it
    try:
        while not task.done():
            await asyncio.wait([task], timeout=_INTERVAL)
            if progress.state and progress.state != told:
                told = progress.state
                yield _line({"progress": round(told[0], 3), "message": told[1]})
        for piece in task.result():
            yield piece
    finally:
        progress.cancelled.set()


async def _resumed(first: bytes, others: AsyncGenerator[bytes], model: str, series: str) -> AsyncGenerator[bytes]:
    """Yield all pieces, and at last what went wrong after the first one."""
    async with aclosing(others):
        yield first
        try:
            async for piece in others:
                yield piece
        except PixelsError as error:
            yield _line(_told(error, model, series))
        except Exception:
            _log.exception("a run of %s failed", model)
            yield _line({"error": "The server failed", "remedy": "Its log says why."})


def _result(found: Segmented) -> list[bytes]:
    labelmap = zlib.compress(found.labelmap.data, _COMPRESSION)
    slices = [{"SOPInstanceUID": one.instance.SOPInstanceUID, "frame": one.frame + 1} for one in found.series.slices]
    result = {
        "model": found.model,
        "version": found.version,
        "labels": described(found.labels),
        "volumes_ml": found.volumes_ml,
        "seconds": found.seconds,
        "shape": found.labelmap.shape,
        "slices": slices,  # in the order of the labelmap's
        "bytes": len(labelmap),
    }
    return [_line({"result": result}), labelmap]


def _told(error: PixelsError, model: str, series: str) -> dict[str, str]:
    """Return an error as a sentence for the user, who knows series by their looks; a subject may be a path."""
    _log.warning("a run of %s failed: %s", model, error.problem)
    if error.subject == model or isinstance(error, ArgumentError):
        problem = f"{error.subject} {error.problem}"  # names, as they are written
    elif isinstance(error, ServingError):
        problem = f"The endpoint {error.problem}"
    elif error.subject == series and not isinstance(error, SeriesNotFoundError):
        problem = f"The series {error.problem}"
    else:
        problem = error.problem[:1].upper() + error.problem[1:]
    return {"error": problem, "remedy": error.remedy}


def _line(values: dict[str, Any]) -> bytes:
    return orjson.dumps(values) + b"\n"
