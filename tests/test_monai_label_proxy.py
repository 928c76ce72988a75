"""A MONAI Label server elsewhere that answers at /monai: another server of ours, and one that shows what it gets."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

import monai_label as plugin
from bundles import write_bundle
from dbx.pixels import Catalog
from dbx.pixels.cli.main import pixels
from dbx.pixels.errors import ArgumentError
from dbx.pixels.web.monai.proxy import TOKEN, checked_url
from volumes import ingested, phantom, write
from web_server import RunningServer, running

SLICES, SIZE = 16, 32


class Elsewhere:
    """A server that shows what it gets, and waits where it is told to."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.pieces: list[bytes] = []
        routes = [
            Route("/base/headers", self._headers, methods=["GET", "POST"]),
            Route("/base/slow", self._slow),
            Route("/base/upload", self._upload, methods=["PUT"]),
            Route("/base/moved", lambda _: RedirectResponse("/base/headers?a=b")),
            Route("/base/away", lambda _: RedirectResponse("http://example.org/")),
            Route("/base/refused", lambda _: PlainTextResponse("busy", 429)),
        ]
        self.app = Starlette(routes=routes)

    async def _headers(self, request: Request) -> Response:
        body = (await request.body()).decode()
        told = {"headers": dict(request.headers), "query": request.url.query, "body": body}
        answer = JSONResponse(told)
        answer.headers["access-control-allow-origin"] = "*"
        answer.headers["keep-alive"] = "timeout=5"
        answer.headers["x-of-the-connection"] = "1"
        answer.headers["connection"] = "x-of-the-connection"
        answer.set_cookie("session", "1")
        return answer

    async def _slow(self, _request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"first "
            while not self.go_on.is_set():
                await asyncio.sleep(0.05)
            yield b"second"

        return StreamingResponse(pieces(), headers={"content-encoding": "identity"})

    async def _upload(self, request: Request) -> Response:
        async for piece in request.stream():
            self.pieces.append(piece)
            self.go_on.set()
        return PlainTextResponse(b"".join(self.pieces))


@contextmanager
def listening(app: Starlette) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def elsewhere() -> Elsewhere:
    return Elsewhere()


@pytest.fixture
def proxy(elsewhere: Elsewhere, catalog: Catalog) -> Iterator[RunningServer]:
    """A server that asks that one, whose routes lie below a path."""
    with listening(elsewhere.app) as url, running(catalog, monai_label_url=f"{url}/base/") as server:
        yield server


def test_plug_ins_speak_through_it_as_to_the_server_itself(catalog: Catalog, tmp_path: Path) -> None:
    write_bundle(catalog.home.models, "bright")
    ingested(catalog, write(tmp_path / "ct", phantom(SLICES, SIZE)))
    uid = str(phantom(SLICES, SIZE)[0].SeriesInstanceUID)
    empty = Catalog(home=str(tmp_path / "another-home"))
    with running(catalog) as server, running(empty, monai_label_url=f"{server.url}/monai") as proxy:
        direct, through = f"{server.url}/monai", f"{proxy.url}/monai"
        for request in (plugin.ohif_info(), plugin.slicer_datastore(), plugin.slicer_next_sample("first")):
            assert request.send(through).json().keys() == request.send(direct).json().keys()
        assert plugin.ohif_info().send(through).json()["models"].keys() == {"bright"}
        infer = plugin.ohif_infer("bright", uid)
        assert _voxels(infer.send(through).content) == _voxels(infer.send(direct).content)
        labelmap = np.zeros((SLICES, SIZE, SIZE), np.uint8)
        labelmap[3, 4, 5] = 1
        saved = plugin.ohif_save_label(uid, labelmap.tobytes(), [{"name": "liver", "idx": 1}]).send(through)
        assert saved.status_code == 200, saved.text
        assert plugin.ohif_next_sample("first").send(through).json() == {}
        unknown = plugin.ohif_infer("none", uid).send(through)
        assert (unknown.status_code, "is no model" in unknown.json()["error"]) == (404, True)
        assert httpx.get(f"{proxy.dicomweb}/studies").status_code == 204  # all else is its own


def _voxels(file: bytes) -> bytes:
    """Return what follows the header, which has the time in it."""
    return file.split(b"\n\n", 1)[1]


def test_headers_of_connections_and_of_this_server_are_not_passed_on(
    proxy: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN, "secret")
    headers = {
        "Connection": "keep-alive, x-mine",
        "X-Mine": "1",
        "TE": "trailers",
        "Cookie": "login=1",
        "Authorization": "Basic of-this-server",
        "Origin": proxy.url,
        "X-Other": "kept",
    }
    answer = httpx.post(f"{proxy.url}/monai/headers?image=1.2%2C3&a=", content=b"body", headers=headers)
    told = answer.json()
    assert (told["body"], told["query"]) == ("body", "image=1.2%2C3&a=")
    assert told["headers"]["x-other"] == "kept"
    assert told["headers"]["authorization"] == "Bearer secret"
    assert told["headers"]["content-length"] == "4"
    assert told["headers"]["host"] != httpx.URL(proxy.url).netloc.decode()
    assert not {"x-mine", "te", "cookie", "origin", "transfer-encoding"} & told["headers"].keys()
    dropped = {"access-control-allow-origin", "keep-alive", "x-of-the-connection", "set-cookie"}
    assert not dropped & answer.headers.keys()
    assert answer.headers["content-security-policy"] == "sandbox"
    assert len(answer.headers.get_list("date")) == 1


def test_answers_are_passed_on_as_they_come(proxy: RunningServer, elsewhere: Elsewhere) -> None:
    with httpx.stream("GET", f"{proxy.url}/monai/slow", timeout=60) as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"first "  # the second is not made before this has come
        elsewhere.go_on.set()
        assert b"".join(pieces) == b"second"


def test_bodies_are_passed_on_as_they_come(proxy: RunningServer, elsewhere: Elsewhere) -> None:
    url = httpx.URL(proxy.url)
    connection = http.client.HTTPConnection(url.host, url.port or 80, timeout=60)
    connection.putrequest("PUT", "/monai/upload")
    connection.putheader("Content-Length", "11")
    connection.endheaders()
    connection.send(b"first ")
    assert elsewhere.go_on.wait(60)  # it has come before the rest was sent
    connection.send(b"other")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"first other")
    connection.close()


def test_statuses_and_places_are_those_of_this_server(proxy: RunningServer) -> None:
    url = f"{proxy.url}/monai"
    assert httpx.get(f"{url}/refused").text == "busy"
    assert httpx.get(f"{url}/refused").status_code == 429
    assert httpx.get(f"{url}/moved").headers["location"] == "/monai/headers?a=b"
    assert httpx.get(f"{url}/away").headers["location"] == "http://example.org/"
    assert httpx.get(f"{url}/nothing").status_code == 404
    assert httpx.get(f"{url}/%2e%2e/secret").status_code == 404
    other = httpx.post(f"{url}/headers", headers={"Origin": "http://example.org"})
    assert other.status_code == 403


def test_a_server_that_is_not_there_is_told(catalog: Catalog) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with running(catalog, monai_label_url=f"http://127.0.0.1:{port}") as server:
        answer = httpx.get(f"{server.url}/monai/info/")
        assert answer.status_code == 502
        assert "the MONAI Label server cannot be reached" in answer.json()["error"]
        assert httpx.get(f"{server.url}/healthz").status_code == 200


def test_a_server_that_ends_in_the_middle_ends_the_answer(catalog: Catalog) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_half() -> None:
            connection, _ = listener.accept()
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            time.sleep(0.5)
            connection.close()

        thread = threading.Thread(target=answer_half)
        thread.start()
        with running(catalog, monai_label_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as server:
            with pytest.raises(httpx.RemoteProtocolError):
                httpx.get(f"{server.url}/monai/info/", timeout=60)
            assert httpx.get(f"{server.url}/healthz").status_code == 200
        thread.join()


@pytest.mark.parametrize("url", ["gpu-host:8000", "ftp://gpu-host", "http://", "http://gpu-host/?a=b", "http://[::1"])
def test_what_is_no_url_is_refused_before_anything_is_served(url: str, home: Path) -> None:
    with pytest.raises(ArgumentError, match="Write it as http://gpu-host:8000"):
        checked_url(url)
    told = CliRunner().invoke(pixels, ["serve", "--home", str(home), "--port", "0", "--monai-label-url", url])
    assert (told.exit_code, "Write it as http://gpu-host:8000." in told.output) == (1, True)
