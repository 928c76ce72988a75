"""Observing requests: one line of JSON each, and metrics. Neither holds queries, UIDs or patient attributes."""

from __future__ import annotations

import logging
import time
from functools import lru_cache

from prometheus_client import Counter, Gauge, Histogram
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_REQUESTS = Counter("pixels_http_requests", "Answered requests", ("method", "route", "status"))
_SECONDS = Histogram(
    "pixels_http_request_seconds",
    "Time from a request to the end of its answer",
    ("method", "route"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
_BYTES = Counter("pixels_http_response_bytes", "Bytes of answers' bodies", ("route",))
_RUNNING = Gauge("pixels_http_requests_running", "Requests being answered", multiprocess_mode="livesum")

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")

log = logging.getLogger("dbx.pixels.web.requests")


class Observer:
    """Logs and counts the requests to an application by their route templates."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = time.perf_counter()
        status, size = 500, 0

        async def observed(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
            await send(message)

        with _RUNNING.track_inprogress():
            try:
                await self._app(scope, receive, observed)
            finally:
                self._note(scope, status, size, time.perf_counter() - begin)

    @staticmethod
    def _note(scope: Scope, status: int, size: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = _template(scope)
        requests, durations, sizes = _metrics(method, route, status)
        requests.inc()
        durations.observe(seconds)
        sizes.inc(size)
        ms = round(seconds * 1000, 1)
        log.info({"method": method, "route": route, "status": status, "bytes": size, "ms": ms})


@lru_cache(maxsize=1024)  # finding them by their labels takes longer than counting
def _metrics(method: str, route: str, status: int) -> tuple[Counter, Histogram, Counter]:
    return _REQUESTS.labels(method, route, status), _SECONDS.labels(method, route), _BYTES.labels(route)


def _template(scope: Scope) -> str:
    """Return the template of the route that was taken, such as ``/dicom-web/studies/{study}``."""
    route, root = scope.get("route"), scope.get("root_path", "")
    if isinstance(route, Mount):  # none of the routes below it was taken
        return root
    return "none" if route is None else root + route.path
