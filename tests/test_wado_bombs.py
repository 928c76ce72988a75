"""Small files that claim to be huge: they cost the server no memory, and clients and users hear what is wrong."""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import httpx
import imagecodecs
import numpy as np
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless

from dbx.pixels.dicom.room import ROOM, room_for
from images import write_image
from served import Served, serving
from stow import RELATED, multipart, uids
from web_server import RunningServer

pytest_plugins = ["web_server"]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="measures and limits memory as Linux does")

BLACK = np.zeros((64, 64), np.uint8)
#: What the files claim for rows and columns.
SIDE = 65500
#: Bytes by which the server may grow while it refuses them.
GROWTH = 200 << 20


def native(path: Path) -> None:
    write_image(path, BLACK, Rows=SIDE, Columns=SIDE)


def jpeg(path: Path) -> None:
    write_encapsulated(path, JPEGBaseline8Bit, claiming(imagecodecs.jpeg8_encode(BLACK), b"\xff\xc0"))


def jpeg_ls(path: Path) -> None:
    write_encapsulated(path, JPEGLSLossless, claiming(imagecodecs.jpegls_encode(BLACK), b"\xff\xf7"))


def jpeg_2000(path: Path) -> None:
    encoded, size = imagecodecs.jpeg2k_encode(BLACK, codecformat="j2k"), SIDE.to_bytes(4) * 2
    write_encapsulated(path, JPEG2000Lossless, encoded[:8] + size + bytes(8) + size + encoded[32:])


BOMBS = [native, jpeg, jpeg_ls, jpeg_2000]


def claiming(encoded: bytes, start_of_frame: bytes) -> bytes:
    at = encoded.index(start_of_frame) + 5
    return encoded[:at] + SIDE.to_bytes(2) * 2 + encoded[at + 4 :]


def write_encapsulated(path: Path, syntax: str, encoded: bytes) -> None:
    write_image(path, BLACK, transfer_syntax=syntax, frames=[encoded], Rows=SIDE, Columns=SIDE)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    """A server in a process of its own, which has decoded something."""
    with serving(tmp_path / "home") as server:
        write_image(tmp_path / "small.dcm", BLACK)
        assert get(store(server, tmp_path / "small.dcm") + "/rendered").status_code == 200
        yield server


def store(server: Served, path: Path) -> str:
    """Store an object, and return its URL."""
    body = multipart(path.read_bytes())
    response = httpx.post(f"{server.dicomweb}/studies", content=body, headers={"Content-Type": RELATED}, timeout=60)
    assert response.status_code in (200, 202)
    return "{}/studies/{}/series/{}/instances/{}".format(server.dicomweb, *uids(path.read_bytes()))


def get(url: str) -> httpx.Response:
    return httpx.get(url, timeout=120)


def memory(server: Served, name: str) -> int:
    """Read what the system says of a process's memory, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) << 10


def test_the_server_refuses_them_without_growing(server: Served, tmp_path: Path) -> None:
    before = memory(server, "VmHWM")
    for write in BOMBS:
        write(tmp_path / "bomb.dcm")
        instance = store(server, tmp_path / "bomb.dcm")
        # A native object is sent as it is, and whoever asks for a frame of it is told that it ends too early.
        resources = ("/rendered", "/thumbnail") if write is native else ("/rendered", "/thumbnail", "", "/frames/1")
        for resource_name in resources:
            response = get(instance + resource_name)
            assert response.status_code == 406, (write.__name__, resource_name)
            assert re.search("cannot be decoded|ends within", response.json()["error"])
    assert memory(server, "VmHWM") - before < GROWTH


def test_too_little_memory_is_told(server: Served, tmp_path: Path) -> None:
    blank = np.zeros((8000, 8000), np.uint8)
    write_image(tmp_path / "a.dcm", blank, transfer_syntax=JPEGLSLossless, frames=[imagecodecs.jpegls_encode(blank)])
    instance = store(server, tmp_path / "a.dcm")
    unlimited = resource.prlimit(server.process.pid, resource.RLIMIT_AS)
    few = memory(server, "VmSize") + blank.nbytes // 2
    resource.prlimit(server.process.pid, resource.RLIMIT_AS, (few, unlimited[1]))
    response = get(f"{instance}/frames/1")
    assert response.status_code == 503
    assert "not enough memory" in response.json()["error"]
    resource.prlimit(server.process.pid, resource.RLIMIT_AS, unlimited)
    assert len(get(f"{instance}/frames/1").content) > blank.nbytes


@pytest.mark.parametrize("write", BOMBS)
def test_their_lack_of_a_thumbnail_is_an_issue(
    empty_server: RunningServer, tmp_path: Path, write: Callable[[Path], None]
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    write(folder / "bomb.dcm")
    write_image(folder / "good.dcm", BLACK)
    empty_server.ingest(folder, thumbnails=True)
    query = "SELECT thumbnail, issues FROM object_catalog ORDER BY path"
    bomb, good = empty_server.catalog.sql(query).to_arrow().to_pylist()
    assert good["thumbnail"]
    assert bomb["thumbnail"] is None
    assert "no thumbnail" in bomb["issues"][-1]["message"]


def test_frames_that_wait_for_room_delay_no_search(empty_server: RunningServer, tmp_path: Path) -> None:
    blank = np.zeros((4200, 4200), np.uint8)
    frames = [imagecodecs.jpegls_encode(blank)]
    path = write_image(tmp_path / "a.dcm", blank, transfer_syntax=JPEGLSLossless, frames=frames)
    empty_server.ingest(path)
    empty_server.wait_until_served()
    thumbnail = f"{empty_server.dicomweb}/studies/{uids(path.read_bytes())[0]}/thumbnail"
    with ThreadPoolExecutor(45) as clients:
        with room_for(ROOM):
            waiting = [clients.submit(get, thumbnail) for _ in range(45)]
            assert not wait(waiting, 1).done
            assert httpx.get(f"{empty_server.dicomweb}/studies").status_code == 200
        assert {answer.result().status_code for answer in waiting} == {200}
