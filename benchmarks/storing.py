"""STOW-RS of one large instance: the server's peak memory against that with a small one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks import corpus
from benchmarks.client import JSON, Connection, Request
from benchmarks.command import serving
from benchmarks.measure import Row, Skipped

SMALL, LARGE = 5_000_000, 500_000_000
PIECE = 1 << 20

_BOUNDARY = "part-of-the-benchmark"
_HEAD = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
_TAIL = f"\r\n--{_BOUNDARY}--\r\n".encode()


def rows(data: Path) -> list[Row | Skipped]:
    """Store each into a server of its own."""
    small, large = (_peak_megabytes(data, size) for size in (SMALL, LARGE))
    return [
        Row(
            f"peak memory of the server, STOW of {LARGE / 1e6:,.0f} MB against {SMALL / 1e6:,.0f} MB",
            f"{small:,.0f} MB",
            f"{large:,.0f} MB",
            large / small,
            1.3,
            at_least=False,
        )
    ]


def _peak_megabytes(data: Path, size: int) -> float:
    home, path = data / "home-storing", data / f"large-{size}.dcm"
    corpus.large(path, size)
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    request = Request(
        "/dicom-web/studies",
        accept=JSON,
        body=_body(path),
        content_type=f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}',
        length=len(_HEAD) + path.stat().st_size + len(_TAIL),
    )
    with serving(home) as server, Connection(server.url) as connection:
        connection.ask(request)
    shutil.rmtree(home)
    path.unlink()
    return server.peak_memory / 1e6


def _body(path: Path) -> Iterator[bytes]:
    yield _HEAD
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
    yield _TAIL
