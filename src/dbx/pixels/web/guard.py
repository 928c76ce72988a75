"""What the server lets in: requests to its own name, writes from its own pages, URLs of text."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_READING = ("GET", "HEAD", "OPTIONS")
#: Answers are for the server's own pages, and are what their type says: nothing is guessed from what an object holds.
_HEADERS = ((b"cross-origin-resource-policy", b"same-origin"), (b"x-content-type-options", b"nosniff"))


class Guard:
    """Refuses requests by their Host, writes by their Origin, and NUL in URLs, which databases take differently.

    A page of another site can make a browser send requests here; it cannot forge these two headers. The Host also
    stops names of other sites that were made to point to this machine.

    Parameters
    ----------
    app : ASGI application
        What is guarded.
    hosts : iterable of str
        Names of the server, without ports, besides those of loopback. By them it is called over HTTPS, too: through a
        proxy, which may put another Host in the place of the client's.
    any_host : bool
        Whether all names will do: where a login stands before the guard, that of another site does not get here.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = (), *, any_host: bool = False) -> None:
        self._app = app
        names = {host.lower() for host in hosts}
        self._hosts = {*_LOOPBACK, *names}
        self._any_host = any_host
        self._origins = {f"https://{name}" for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        answer: ASGIApp = self._app
        if problem := self._problem(scope):
            answer = JSONResponse({"error": problem}, 403)
        elif "\0" in scope["path"] or b"%00" in scope["query_string"]:
            answer = JSONResponse({"error": "the URL has a NUL character, which no value of DICOM has"}, 400)
        await answer(scope, receive, protected)

    def _problem(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._any_host and _name(host) not in self._hosts:
            return "the Host header does not name this server"
        origin = headers.get("origin")
        if scope["method"] in _READING or origin in (None, f"http://{host}", f"https://{host}", *self._origins):
            return None
        return "the Origin header names another site"


@lru_cache(maxsize=256)
def _name(host: str) -> str | None:
    """Return the name in a Host header, without the port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
