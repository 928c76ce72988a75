"""Frames over HTTP: their bytes, media types and transfer syntaxes, and what is answered where there are none."""

from __future__ import annotations

import httpx
import pytest
from dicomweb_client import DICOMwebClient
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless

from dbx.pixels.dicom.image import ImagePixel
from dbx.pixels.dicom.pixels import decode_frame, encoded_frame
from images import row_of
from wado import ZIPPED, ServedObjects, parts_of

pytest_plugins = ["wado"]

OCTETS = 'multipart/related; type="application/octet-stream"'
AS_STORED = f"{OCTETS}; transfer-syntax=*"


def decoded(served: ServedObjects, name: str, frame: int = 0) -> bytes:
    path = served.paths[name]
    values = decode_frame(str(path), row_of(path), frame)
    return values.astype(values.dtype.newbyteorder("<")).tobytes()


def encoded(served: ServedObjects, name: str, frame: int = 0) -> bytes:
    path = served.paths[name]
    return encoded_frame(str(path), ImagePixel.from_row(row_of(path)), frame)


@pytest.mark.parametrize(
    "name",
    [
        "CT_small",
        "MR_small_implicit",
        "MR_small_bigendian",
        "MR_small_RLE",
        "MR_small_jpeg_ls_lossless",
        "JPEG2000",
        "SC_rgb_jpeg_dcmtk",
        "image_dfl",
        ZIPPED,
    ],
)
def test_a_frame_is_uncompressed_unless_asked_otherwise(served: ServedObjects, name: str) -> None:
    response = served.get(name, "/frames/1", OCTETS)
    ((headers, body),) = parts_of(response)
    assert headers["content-type"] == f"application/octet-stream; transfer-syntax={ExplicitVRLittleEndian}"
    assert body == decoded(served, name)


@pytest.mark.parametrize("name", ["MR_small_RLE", "MR_small_jpeg_ls_lossless", "JPEG2000", "SC_rgb_jpeg_dcmtk"])
def test_compressed_frames_go_out_as_they_are_stored(served: ServedObjects, name: str) -> None:
    syntax = served.dataset(name).file_meta.TransferSyntaxUID
    for asked in ("*", syntax):
        ((headers, body),) = parts_of(served.get(name, "/frames/1", f"{OCTETS}; transfer-syntax={asked}"))
        assert headers["content-type"] == f"application/octet-stream; transfer-syntax={syntax}"
        assert body == encoded(served, name)


def test_native_frames_are_little_endian_also_as_they_are_stored(served: ServedObjects) -> None:
    ((headers, body),) = parts_of(served.get("MR_small_bigendian", "/frames/1", AS_STORED))
    assert headers["content-type"].endswith(ExplicitVRLittleEndian)
    assert body == decoded(served, "MR_small_bigendian")


def test_native_frames_keep_their_colour_space(served: ServedObjects) -> None:
    ((_, body),) = parts_of(served.get("SC_ybr_full_422_uncompressed", "/frames/1", OCTETS))
    assert body == served.dataset("SC_ybr_full_422_uncompressed").PixelData


@pytest.mark.parametrize(
    ("name", "accept"),
    [("SC_rgb_jpeg_dcmtk", "image/jpeg"), ("JPEG2000", "image/jp2"), ("MR_small_RLE", "image/dicom-rle")],
)
def test_compressed_frames_have_media_types_of_their_own(served: ServedObjects, name: str, accept: str) -> None:
    response = served.get(name, "/frames/1", f'multipart/related; type="{accept}"')
    ((headers, body),) = parts_of(response)
    assert response.headers["content-type"].startswith(f'multipart/related; type="{accept}"')
    assert headers["content-type"].startswith(f"{accept}; transfer-syntax=")
    assert body == encoded(served, name)
    assert served.get(name, "/frames/1", accept).content == encoded(served, name)


def test_what_the_client_prefers_comes_first(served: ServedObjects) -> None:
    accept = f"{OCTETS}; transfer-syntax={RLELossless}, {OCTETS}; q=0.5"
    ((headers, _),) = parts_of(served.get("MR_small_RLE", "/frames/1", accept))
    assert headers["content-type"].endswith(RLELossless)
    ((headers, _),) = parts_of(served.get("CT_small", "/frames/1", accept))
    assert headers["content-type"].endswith(ExplicitVRLittleEndian)


def test_one_frame_may_come_without_parts(served: ServedObjects) -> None:
    response = served.get("CT_small", "/frames/1", "application/octet-stream")
    assert response.content == served.dataset("CT_small").PixelData
    assert served.get("rtdose", "/frames/1,2", "application/octet-stream").status_code == 406


def test_frames_come_in_the_order_in_which_they_are_asked_for(served: ServedObjects) -> None:
    parts = parts_of(served.get("rtdose", "/frames/15,1,3", OCTETS))
    assert [body for _, body in parts] == [decoded(served, "rtdose", frame) for frame in (14, 0, 2)]


def test_the_query_takes_the_place_of_the_accept_header(served: ServedObjects) -> None:
    accept = f"multipart/related; type=application/octet-stream; transfer-syntax={RLELossless}"
    response = served.get("MR_small_RLE", f"/frames/1?accept={accept.replace(';', '%3B')}", "application/json")
    assert parts_of(response)[0][1] == encoded(served, "MR_small_RLE")


@pytest.mark.parametrize(
    "accept", ['multipart/related; type="image/jpeg"', "text/html", f"{OCTETS}; transfer-syntax=1.2.840.10008.1.2.4.50"]
)
def test_what_cannot_be_had_is_406(served: ServedObjects, accept: str) -> None:
    response = served.get("CT_small", "/frames/1", accept)
    assert response.status_code == 406
    assert "application/octet-stream" in response.json()["error"]


@pytest.mark.parametrize(
    ("name", "frames", "status"),
    [
        ("CT_small", "2", 404),
        ("rtdose", "15,16", 404),
        ("reportsi", "1", 404),
        ("CT_small", "0", 400),
        ("CT_small", "-1", 400),
        ("CT_small", "1,,1", 400),
        ("CT_small", "first", 400),
        ("CT_small", "9999999999", 400),
    ],
)
def test_frames_that_are_none(served: ServedObjects, name: str, frames: str, status: int) -> None:
    response = served.get(name, f"/frames/{frames}")
    assert response.status_code == status
    assert "frame" in response.json()["error"]


def test_frames_of_unknown_instances_are_404(served: ServedObjects) -> None:
    for level, path in (("instance", ".1/frames/1"), ("series", ".1/instances/1.2/frames/1")):
        assert httpx.get(served.url("CT_small", level) + path).status_code == 404


def test_dicomweb_client_retrieves_frames(served: ServedObjects) -> None:
    image = served.dataset("rtdose")
    client = DICOMwebClient(served.server.dicomweb)
    frames = client.retrieve_instance_frames(
        image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID, [1, 2]
    )
    assert frames == [decoded(served, "rtdose", frame) for frame in (0, 1)]
    jpeg = served.dataset("SC_rgb_jpeg_dcmtk")
    frames = client.retrieve_instance_frames(
        jpeg.StudyInstanceUID,
        jpeg.SeriesInstanceUID,
        jpeg.SOPInstanceUID,
        [1],
        media_types=(("image/jpeg", JPEGBaseline8Bit),),
    )
    assert frames == [encoded(served, "SC_rgb_jpeg_dcmtk")]
