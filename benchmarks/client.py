"""A lean HTTP client with kept connections, so that what is measured is the server and not the client."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import NamedTuple
from urllib.parse import urlsplit

JSON = "application/dicom+json"
FRAME = 'multipart/related; type="application/octet-stream"'

_BUFFER = 1 << 18


class Request(NamedTuple):
    """What is asked; `target` follows the origin, and a `body` makes it a POST."""

    target: str
    accept: str = JSON
    encoding: str = "identity"
    body: bytes | Iterable[bytes] = b""
    content_type: str = ""
    length: int | None = None  # of a body in pieces


class Connection:
    """One connection to a server, kept open. Used by one thread.

    Parameters
    ----------
    url : str
        Origin of the server.
    """

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._host = place.netloc
        self._socket = socket.create_connection((place.hostname, place.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._input = self._socket.makefile("rb", _BUFFER)

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._input.close()
        self._socket.close()

    def ask(self, request: Request) -> bytes:
        """Send a request and return the body of its answer, as it is encoded.

        Raises
        ------
        RuntimeError
            If the status is not 200: nothing that fails is measured.
        """
        pieces = [request.body] if isinstance(request.body, bytes) else request.body
        length = len(request.body) if isinstance(request.body, bytes) else request.length
        head = [
            f"{'POST' if length else 'GET'} {request.target} HTTP/1.1",
            f"Host: {self._host}",
            f"Accept: {request.accept}",
            f"Accept-Encoding: {request.encoding}",
        ]
        if length:
            head += [f"Content-Type: {request.content_type}", f"Content-Length: {length}"]
        self._socket.sendall("\r\n".join([*head, "", ""]).encode())
        if length:
            for piece in pieces:
                self._socket.sendall(piece)
        status, fields = self._head()
        if fields.get(b"transfer-encoding") == b"chunked":
            body = b"".join(iter(self._chunk, b""))
        else:
            body = self._input.read(int(fields[b"content-length"]))
        if status != 200:
            raise RuntimeError(f"{request.target} was answered with {status}: {body[:300]!r}")
        return body

    def _head(self) -> tuple[int, dict[bytes, bytes]]:
        status = int(self._input.readline().split(b" ", 2)[1])
        fields = {}
        while (line := self._input.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            fields[name.lower()] = value.strip()
        return status, fields

    def _chunk(self) -> bytes:
        size = int(self._input.readline(), 16)
        chunk = self._input.read(size)
        self._input.readline()
        return chunk


def ask_all(url: str, requests: Iterable[Request], clients: int) -> None:
    """Send requests over several connections: each takes the next one as soon as its last was answered."""
    waiting: SimpleQueue[Request] = SimpleQueue()
    for request in requests:
        waiting.put(request)

    def work() -> None:
        with Connection(url) as connection:
            try:
                while True:
                    connection.ask(waiting.get_nowait())
            except Empty:
                pass

    with ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(work) for _ in range(clients)]:
            done.result()
