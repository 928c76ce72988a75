"""Frames that the event loop answers with: they are the same as those that a thread reads."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

from dbx.pixels.dicom.image import ImagePixel
from dbx.pixels.web.dicomweb.frames import frame_bytes, stored_place, syntax_as_stored
from images import image_files, name_of, row_of, write_image
from wado import ServedObjects, parts_of

from conftest import TEST_FILES

pytest_plugins = ["wado"]

OCTETS = 'multipart/related; type="application/octet-stream"'


@pytest.mark.parametrize("path", image_files(TEST_FILES), ids=name_of)
def test_a_frame_lies_where_it_is_stored(path: Path) -> None:
    image = ImagePixel.from_row(row_of(path))
    syntax = syntax_as_stored(image.transfer_syntax)
    if syntax is None:
        pytest.skip("frames of videos are not sent")
    content = path.read_bytes()
    for frame in range(min(image.frames, 3)):
        place = stored_place(image, frame, syntax)
        if place:
            assert content[place[0] : sum(place)] == frame_bytes(str(path), image, frame, syntax)


@pytest.mark.parametrize(
    ("syntax", "bits", "is_stored"),
    [(ExplicitVRLittleEndian, 16, True), (ExplicitVRLittleEndian, 1, False), (ExplicitVRBigEndian, 16, False)],
)
def test_frames_that_are_made_lie_nowhere(tmp_path: Path, syntax: str, bits: int, is_stored: bool) -> None:
    pixels = np.zeros((3, 3), np.uint8 if bits == 1 else np.uint16)
    attributes = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0, "PixelData": b"\0\0"} if bits == 1 else {}
    path = write_image(tmp_path / "a.dcm", pixels, transfer_syntax=syntax, **attributes)
    assert bool(stored_place(ImagePixel.from_row(row_of(path)), 0, ExplicitVRLittleEndian)) == is_stored


@pytest.mark.parametrize("accept", [OCTETS, "application/octet-stream"])
def test_frames_are_the_same_before_and_after_they_are_in_memory(served: ServedObjects, accept: str) -> None:
    descriptor = os.open(served.paths["CT_small"], os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
    responses = [served.get("CT_small", "/frames/1", accept) for _ in range(3)]
    bodies = [parts_of(response)[0][1] if accept == OCTETS else response.content for response in responses]
    assert bodies == [served.dataset("CT_small").PixelData] * 3
    assert len({response.headers["content-length"] for response in responses}) == 1
    assert {response.headers["content-type"].partition(";")[0] for response in responses} == {accept.partition(";")[0]}
