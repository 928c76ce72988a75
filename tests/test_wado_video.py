"""Videos: streams in MP4 are sent as files that browsers play, by byte range; objects as they are stored."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from pydicom.uid import HEVCMP51, MPEG4HP41

from dbx.pixels import Catalog
from images import write_image
from web_server import RunningServer, running

MP4 = b"\0\0\0\x18ftypmp42" + random.Random(0).randbytes(2_500_000)
TRANSPORT_STREAM = b"\x47" + random.Random(1).randbytes(1879)


def write_video(path: Path, stream: bytes, transfer_syntax: str = MPEG4HP41, fragments: int = 1) -> Path:
    return write_image(
        path,
        np.zeros((16, 16, 3), np.uint8),
        transfer_syntax=transfer_syntax,
        frames=[stream],
        fragments_per_frame=fragments,
        NumberOfFrames=25,
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of videos, which are named by their files."""
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "mp4.dcm", MP4)
    write_video(folder / "fragments.dcm", MP4, HEVCMP51, fragments=3)
    write_video(folder / "stream.dcm", TRANSPORT_STREAM)
    with running(Catalog(home=str(folder / "home"))) as server:
        server.ingest(folder)
        server.wait_until_served()
        yield server


def url(server: RunningServer, name: str) -> str:
    rows = server.catalog.sql("SELECT * FROM instances").to_arrow().to_pylist()
    (row,) = (row for row in rows if row["path"].endswith(f"/{name}.dcm"))
    return (
        f"{server.dicomweb}/studies/{row['StudyInstanceUID']}/series/{row['SeriesInstanceUID']}"
        f"/instances/{row['SOPInstanceUID']}"
    )


@pytest.mark.parametrize("name", ["mp4", "fragments"])
@pytest.mark.parametrize("accept", ["*/*", "video/mp4", "video/*, image/jpeg;q=0.5"])
def test_the_picture_of_a_video_is_the_video(server: RunningServer, name: str, accept: str) -> None:
    response = httpx.get(f"{url(server, name)}/rendered", headers={"Accept": accept})

    assert (response.status_code, response.headers["content-type"]) == (200, "video/mp4")
    assert response.headers["accept-ranges"] == "bytes"
    assert response.content == MP4


@pytest.mark.parametrize(("first", "last"), [(0, 0), (3, 11), (800_000, 1_700_000), (2_499_999, 2_500_011)])
@pytest.mark.parametrize("name", ["mp4", "fragments"])
def test_any_part_of_it_can_be_had(server: RunningServer, name: str, first: int, last: int) -> None:
    response = httpx.get(f"{url(server, name)}/rendered", headers={"Range": f"bytes={first}-{last}"})

    assert (response.status_code, response.content) == (206, MP4[first : last + 1])
    assert response.headers["content-range"] == f"bytes {first}-{last}/{len(MP4)}"


def test_what_lies_behind_its_end_is_416(server: RunningServer) -> None:
    response = httpx.get(f"{url(server, 'mp4')}/rendered", headers={"Range": f"bytes={len(MP4)}-"})

    assert (response.status_code, response.headers["content-range"]) == (416, f"bytes */{len(MP4)}")


def test_who_wants_a_picture_gets_no_video(server: RunningServer) -> None:
    assert httpx.get(f"{url(server, 'mp4')}/rendered", headers={"Accept": "image/png"}).status_code == 406  # no frames


def test_a_stream_that_browsers_do_not_play_is_no_video(server: RunningServer) -> None:
    assert httpx.get(f"{url(server, 'stream')}/rendered", headers={"Accept": "video/mp4"}).status_code == 406


@pytest.mark.parametrize("accept", ["*/*", "application/dicom", "application/dicom; transfer-syntax=*"])
def test_objects_are_sent_as_they_are_stored(server: RunningServer, accept: str) -> None:
    response = httpx.get(url(server, "stream"), headers={"Accept": accept})

    assert response.status_code == 200
    assert MPEG4HP41 in (response.headers["content-type"] + response.text[:300])
    assert TRANSPORT_STREAM in response.content


def test_uncompressed_they_cannot_be_had(server: RunningServer) -> None:
    accept = "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
    assert httpx.get(url(server, "stream"), headers={"Accept": accept}).status_code == 406
