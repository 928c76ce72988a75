"""``/monai/logs/``: what the last training printed."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from dbx.pixels.web.assistant import Assistant
from dbx.pixels.web.errors import HttpError
from dbx.pixels.web.server import Server

#: Lines that are shown unless the client says how many, and the most.
_LINES = 300
_MOST_LINES = 10_000


async def get_logs(request: Request) -> Response:
    """Answer with the last lines."""
    server: Server = request.app.state.server
    try:
        lines = int(request.query_params.get("lines") or _LINES)
    except ValueError as error:
        raise HttpError(400, "lines is no number") from error
    return PlainTextResponse(await run_in_threadpool(_log, server.assistant, min(max(lines, 1), _MOST_LINES)))


def _log(assistant: Assistant, lines: int) -> str:
    tasks = [task for task in assistant.trainings.list() if task.start_ts]
    path = assistant.trainings.log_path(tasks[-1].id) if tasks else Path()
    if not path.is_file():
        return "No training has printed anything yet.\n"
    with path.open(encoding="utf-8", errors="replace") as log:
        return "".join(deque(log, lines))
