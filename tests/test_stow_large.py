"""STOW-RS of large objects: they pass through, a piece in memory at a time."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from served import serving
from stow import RELATED, multipart, uids

from conftest import TEST_FILES

#: Of the pixel data.
SIZE = 500 << 20
PIECE = bytes(1 << 20)
#: Bytes by which the server's memory may grow: the index and the table take some.
GROWTH = 64 << 20


def large_object() -> tuple[bytes, int]:
    """The CT up to its pixels, whose length is changed; the pixels follow."""
    content = (TEST_FILES / "CT_small.dcm").read_bytes()
    start = content.index(b"\xe0\x7f\x10\x00OW\0\0") + 8
    return content[:start] + struct.pack("<I", SIZE), SIZE


def body() -> Iterator[bytes]:
    """The object as the only part of a body, piece by piece."""
    head, size = large_object()
    before, after = multipart(head + b"PIXELS").split(b"PIXELS")
    yield before
    for _ in range(size // len(PIECE)):
        yield PIECE
    yield after


def peak_memory(server: subprocess.Popen[bytes]) -> int:
    """The most bytes that a process has had in memory."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell the peak of memory")
def test_memory_stays_flat_while_a_large_object_is_stored(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as server, httpx.Client(timeout=120) as client:
        root = server.dicomweb
        small = (TEST_FILES / "MR_small.dcm").read_bytes()
        client.post(f"{root}/studies", content=multipart(small), headers={"Content-Type": RELATED})
        before = peak_memory(server.process)
        for status in (200, 202):  # the second time it is compared with what is there
            response = client.post(f"{root}/studies", content=body(), headers={"Content-Type": RELATED})
            assert response.status_code == status
            assert peak_memory(server.process) - before < GROWTH
        study = uids((TEST_FILES / "CT_small.dcm").read_bytes())[0]
        assert client.delete(f"{root}/studies/{study}").status_code == 204
