"""Which requests are let in: those to the server's own name, and writes from its own pages (contract 11)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_READING = ("GET", "HEAD", "OPTIONS")


class Guard:
    """Refuses requests by their Host, and writes by their Origin.

    A page of another site can make a browser send requests here; it cannot forge these two headers. The Host also
    stops names of other sites that were made to point to this machine.

    Parameters
    ----------
    app : ASGI application
        What is guarded.
    hosts : iterable of str
        Names of the server, without ports, besides those of loopback.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._hosts = {*_LOOPBACK, *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (problem := self._problem(scope)):
            await JSONResponse({"error": problem}, 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _problem(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if _name(host) not in self._hosts:
            return "the Host header does not name this server"
        origin = headers.get("origin")
        if scope["method"] in _READING or origin is None:
            return None
        return None if urlsplit(origin).netloc == host else "the Origin header names another site"


@lru_cache(maxsize=256)
def _name(host: str) -> str | None:
    """Return the name in a Host header, without the port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
