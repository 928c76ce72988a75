"""Clients that read slowly: they cost the server little memory, hold up nobody, and get all of what they asked for."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pydicom
import pytest

from dbx.pixels import Catalog
from served import Served, serving
from volumes import ingested

from conftest import TEST_FILES

INSTANCES, TEXT = 200, 40_000
CLIENTS = 60
#: Bytes by which memory may grow; the answers to all clients are 480 MB and more.
GROWTH = 400 << 20
#: Of the pixels of the large object.
SIDE = 4096

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell memory")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a series whose metadata is 8 MB, and a study of one large object."""
    folder = tmp_path_factory.mktemp("slow")
    image = pydicom.dcmread(TEST_FILES / "CT_small.dcm")
    letters = np.random.default_rng(0).integers(97, 123, (INSTANCES, TEXT), np.uint8)
    for number in range(INSTANCES):
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        image.TextValue = letters[number].tobytes().decode()
        image.save_as(folder / f"{number}.dcm")
    image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID = "1.2.4", "1.2.4.1", "1.2.4.1.1"
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.Rows = image.Columns = SIDE
    image.PixelData = bytes(SIDE * SIDE * 2)
    image.save_as(folder / "large.dcm")
    home = tmp_path_factory.mktemp("home")
    ingested(Catalog(home=str(home)), folder).close()
    return home


@contextlib.contextmanager
def asking(url: str, path: str, accept: str, buffer: int = 4096) -> Iterator[socket.socket]:
    """Ask, and leave the answer unread, but for what the buffer of the connection takes."""
    place = urlsplit(url)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.connect((place.hostname, place.port))
        client.settimeout(60)
        head = f"GET {path} HTTP/1.1\r\nHost: {place.netloc}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        client.sendall(head.encode())
        yield client


def memory(server: Served) -> int:
    """The bytes that a server has in memory."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) << 10


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/instances?StudyInstanceUID={study}&includefield=all", "application/dicom+json"),
        ("/studies/{study}/metadata", "application/dicom+json"),
        ("/studies/{study}/metadata", 'multipart/related; type="application/dicom+xml"'),
        ("/studies/1.2.4", 'multipart/related; type="application/dicom"; transfer-syntax=*'),
        ("/studies/1.2.4/series/1.2.4.1/instances/1.2.4.1.1/frames/1", "multipart/related; type=*/*"),
    ],
)
def test_clients_that_do_not_read_cost_little_memory(home: Path, path: str, accept: str) -> None:
    study = pydicom.dcmread(TEST_FILES / "CT_small.dcm").StudyInstanceUID
    with serving(home) as server, contextlib.ExitStack() as stack:
        target = urlsplit(server.dicomweb).path + path.format(study=study)
        with asking(server.url, target, accept, 1 << 20) as client:  # the first one loads what all need
            while client.recv(1 << 16):
                pass
        before = memory(server)
        clients = [stack.enter_context(asking(server.url, target, accept)) for _ in range(CLIENTS)]
        for client in clients:
            assert client.recv(12) == b"HTTP/1.1 200"
        assert httpx.get(f"{server.dicomweb}/studies?limit=1", timeout=60).status_code == 200
        assert memory(server) - before < GROWTH, memory(server) - before


def test_a_stopped_server_sends_what_it_has_begun(home: Path) -> None:
    with serving(home) as server:
        path = f"{urlsplit(server.dicomweb).path}/studies/1.2.4/series/1.2.4.1/instances/1.2.4.1.1/frames/1"
        with asking(server.url, path, "application/octet-stream", 1 << 18) as client:
            received = client.recv(1 << 16)
            server.process.send_signal(signal.SIGTERM)
            while piece := client.recv(1 << 20):
                received += piece
        assert received.endswith(b"\r\n0\r\n\r\n")  # the last chunk (RFC 9112 section 7.1)
        assert len(received) > SIDE * SIDE * 2
        assert server.process.wait(60) == 0
