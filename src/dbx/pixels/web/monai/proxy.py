"""A MONAI Label server elsewhere, as if it was at ``/monai/`` here."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from urllib.parse import quote

import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from dbx.pixels.errors import ArgumentError
from dbx.pixels.web.errors import HttpError
from dbx.pixels.web.streaming import StreamedResponse

#: The environment's variable that holds the bearer token for that server.
TOKEN = "PIXELS_MONAI_LABEL_TOKEN"

#: Seconds within which it takes a connection, and within which it goes on: a run on a CPU takes minutes.
_TIMEOUT = httpx.Timeout(3600.0, connect=10.0, pool=10.0)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
#: Headers of one connection (RFC 9110 7.6.1), and the one that is answered before a body is sent (10.1.1).
_HOP_BY_HOP = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
    )
)
#: What is said to this server, not to the other: names, and secrets.
_OF_THIS_SERVER = frozenset(("host", "origin", "referer", "cookie", "authorization"))
#: What the other server says of itself, and what it would allow or set in this one's name.
_OF_THE_OTHER = frozenset(("server", "date", "set-cookie", "content-security-policy"))
_ALLOWING = "access-control-"


class MonaiLabelProxy:
    """Sends requests on to a MONAI Label server, and its answers back, a piece at a time.

    Parameters
    ----------
    url : str
        Of that server, such as ``http://gpu-host:8000``. What ``PIXELS_MONAI_LABEL_TOKEN`` holds is sent as bearer
        token.

    Raises
    ------
    ArgumentError
        If it is no URL of HTTP.
    """

    def __init__(self, url: str) -> None:
        self._root = checked_url(url)
        self._client = httpx.AsyncClient(timeout=_TIMEOUT, limits=httpx.Limits(max_connections=None))
        self.routes = [Route("/{path:path}", self._answer, methods=list(_METHODS))]

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _answer(self, request: Request) -> Response:
        sent = self._client.build_request(
            request.method,
            self._target(request),
            headers=self._request_headers(request),
            content=request.stream() if _has_body(request) else None,
        )
        try:
            answer = await self._client.send(sent, stream=True)
        except ClientDisconnect as error:
            raise HttpError(400, "the client left before the body's end") from error
        except httpx.TimeoutException as error:
            raise HttpError(504, "the MONAI Label server did not answer in time") from error
        except httpx.HTTPError as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise HttpError(502, f"the MONAI Label server cannot be reached: {reason}") from error
        return StreamedResponse(_pieces(answer), answer.status_code, self._response_headers(answer, request))

    def _target(self, request: Request) -> httpx.URL:
        path = request.path_params["path"]
        if ".." in path.split("/"):
            raise HttpError(404, "there is no such page")
        target = f"{self._root}/{quote(path)}"
        query = request.url.query
        return httpx.URL(f"{target}?{query}" if query else target)

    def _request_headers(self, request: Request) -> dict[str, str]:
        headers = {"accept-encoding": "identity"}  # else the client library's own would be sent
        headers |= _passed_on(request.headers, _OF_THIS_SERVER)
        token = os.environ.get(TOKEN)
        return headers | {"authorization": f"Bearer {token}"} if token else headers

    def _response_headers(self, answer: httpx.Response, request: Request) -> dict[str, str]:
        headers = _passed_on(answer.headers, _OF_THE_OTHER)
        headers = {name: value for name, value in headers.items() if not name.startswith(_ALLOWING)}
        if "location" in headers:
            target = answer.request.url.join(headers["location"])
            if str(target).startswith(f"{self._root}/"):
                headers["location"] = f"{request.scope.get('root_path', '')}{str(target).removeprefix(self._root)}"
        # Its pages would be pages of this server, and may do what those may.
        return headers | {"content-security-policy": "sandbox"}


def checked_url(url: str) -> str:
    """Return the URL of a server, without a slash at its end.

    Raises
    ------
    ArgumentError
        If it is no URL of HTTP.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ArgumentError(url, f"is no URL: {error}", "Write it as http://gpu-host:8000.") from error
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query or parsed.fragment:
        raise ArgumentError(url, "is no URL of a server", "Write it as http://gpu-host:8000.")
    return str(parsed).rstrip("/")


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


def _passed_on(headers: Mapping[str, str], others: frozenset[str]) -> dict[str, str]:
    """Return headers besides those of this connection, and some others."""
    of_connection = {name.strip().lower() for name in headers.get("connection", "").split(",")}
    dropped = _HOP_BY_HOP | others | of_connection
    return {name.lower(): value for name, value in headers.items() if name.lower() not in dropped}


async def _pieces(answer: httpx.Response) -> AsyncGenerator[bytes]:
    """Yield the body as it comes, in its coding."""
    try:
        async for piece in answer.aiter_raw():
            yield piece
    finally:
        await answer.aclose()
