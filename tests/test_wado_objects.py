"""Whole instances over HTTP: as files, in parts, as stored or uncompressed."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
from dicomweb_client import DICOMwebClient
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid

from wado import SLICES, ZIPPED, ServedObjects, copy_with_uids, parts_of, until
from web_server import RunningServer

from conftest import TEST_FILES

pytest_plugins = ["wado", "web_server"]

PARTS = 'multipart/related; type="application/dicom"'
AS_STORED = f"{PARTS}; transfer-syntax=*"


@pytest.mark.parametrize("name", ["CT_small", "MR_small_RLE", "rtdose", "reportsi", "image_dfl", ZIPPED])
def test_as_stored_means_byte_for_byte(served: ServedObjects, name: str) -> None:
    content = served.paths[name].read_bytes()
    ((headers, body),) = parts_of(served.get(name, "", AS_STORED))
    assert body == content
    assert headers["content-type"] == (
        f"application/dicom; transfer-syntax={served.dataset(name).file_meta.TransferSyntaxUID}"
    )
    assert headers["content-location"] == served.url(name)
    alone = served.get(name, "", "application/dicom; transfer-syntax=*")
    assert alone.content == content
    assert alone.headers["content-length"] == str(len(content))


@pytest.mark.parametrize("name", ["MR_small_implicit", "MR_small_bigendian", "MR_small_RLE", "JPEG2000", "image_dfl"])
@pytest.mark.parametrize("accept", [PARTS, f"{PARTS}; transfer-syntax={ExplicitVRLittleEndian}"])
def test_without_a_transfer_syntax_instances_are_uncompressed(served: ServedObjects, name: str, accept: str) -> None:
    ((headers, body),) = parts_of(served.get(name, "", accept))
    assert headers["content-type"] == f"application/dicom; transfer-syntax={ExplicitVRLittleEndian}"
    read = pydicom.dcmread(io.BytesIO(body))
    assert read.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    np.testing.assert_array_equal(read.pixel_array, served.dataset(name).pixel_array)


def test_series_and_studies_come_in_parts_in_order(served: ServedObjects) -> None:
    for level in ("series", "study"):
        parts = parts_of(served.get("slice0", level=level))
        assert [body for _, body in parts] == [served.paths[f"slice{n}"].read_bytes() for n in range(SLICES)]


def test_other_transfer_syntaxes_are_406(served: ServedObjects) -> None:
    response = served.get("CT_small", "", f"{PARTS}; transfer-syntax={RLELossless}")
    assert response.status_code == 406
    assert "transfer-syntax=*" in response.json()["error"]
    assert served.get("CT_small", "", "image/jpeg").status_code == 406
    assert served.get("CT_small", "", "application/dicom", "series").status_code == 406


@pytest.mark.parametrize("accept", [AS_STORED, "application/dicom; transfer-syntax=*"])
def test_a_transfer_syntax_that_is_none_gets_into_no_header(
    empty_server: RunningServer, tmp_path: Path, accept: str
) -> None:
    path = copy_with_uids(tmp_path / "a.dcm", TEST_FILES / "CT_small.dcm")
    image = pydicom.dcmread(path)
    path.write_bytes(path.read_bytes().replace(ExplicitVRLittleEndian.encode(), b"1.2.840\r\nX-Head: yy"))
    empty_server.ingest(path)
    series = f"{empty_server.dicomweb}/studies/{image.StudyInstanceUID}/series/{image.SeriesInstanceUID}"
    until(lambda: httpx.get(f"{series}/metadata").status_code == 200)
    response = httpx.get(f"{series}/instances/{image.SOPInstanceUID}", headers={"Accept": accept})
    assert response.status_code == 200
    assert b"X-Head" not in response.content
    assert f"transfer-syntax={ExplicitVRLittleEndian}".encode() in response.content + str(response.headers).encode()
    assert image.PixelData in response.content


def test_dicomweb_client_retrieves_instances_series_and_studies(served: ServedObjects) -> None:
    client = DICOMwebClient(served.server.dicomweb)
    image = served.dataset("slice1")
    uids = image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID
    assert client.retrieve_instance(*uids) == image
    assert [read.SOPInstanceUID for read in client.retrieve_series(*uids[:2])][1] == uids[2]
    assert len(client.retrieve_study(uids[0])) == SLICES
    rle = served.dataset("MR_small_RLE")
    read = client.retrieve_instance(
        rle.StudyInstanceUID,
        rle.SeriesInstanceUID,
        rle.SOPInstanceUID,
        media_types=(("application/dicom", RLELossless),),
    )
    assert read.PixelData == rle.PixelData


class Study:
    """A study of two instances: an RLE image, and what a test puts beside it."""

    def __init__(self, server: RunningServer, folder: Path, other: Path) -> None:
        study, series = generate_uid(), generate_uid()
        uids = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
        self.rle = copy_with_uids(folder / "rle.dcm", TEST_FILES / "MR_small_RLE.dcm", InstanceNumber=1, **uids)
        self.other = copy_with_uids(folder / "other.dcm", other, InstanceNumber=2, **uids)
        server.ingest(folder)
        self.url = f"{server.dicomweb}/studies/{study}"
        until(lambda: httpx.get(f"{self.url}/metadata").status_code == 200)

    def get(self, accept: str) -> httpx.Response:
        return httpx.get(self.url, headers={"Accept": accept})


def test_instances_that_cannot_be_had_as_wanted_are_left_out(empty_server: RunningServer, tmp_path: Path) -> None:
    study = Study(empty_server, tmp_path, TEST_FILES / "CT_small.dcm")
    response = study.get(f"{PARTS}; transfer-syntax={RLELossless}")
    assert response.status_code == 206
    assert "1 of 2" in response.headers["warning"]
    assert [body for _, body in parts_of(response)] == [study.rle.read_bytes()]


def test_an_instance_that_cannot_be_decoded_is_sent_as_it_is_stored(
    empty_server: RunningServer, tmp_path: Path
) -> None:
    study = Study(empty_server, tmp_path, TEST_FILES / "JPEG2000-embedded-sequence-delimiter.dcm")
    (_, first), (headers, second) = parts_of(study.get(PARTS))
    assert pydicom.dcmread(io.BytesIO(first)).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert headers["content-type"].endswith(pydicom.dcmread(study.other).file_meta.TransferSyntaxUID)
    assert second == study.other.read_bytes()
    alone = httpx.get(
        f"{study.url}/series/{pydicom.dcmread(study.other).SeriesInstanceUID}"
        f"/instances/{pydicom.dcmread(study.other).SOPInstanceUID}"
    )
    assert alone.status_code == 406


def test_large_objects_are_read_in_pieces(empty_server: RunningServer, tmp_path: Path) -> None:
    large = copy_with_uids(tmp_path / "large.dcm", TEST_FILES / "CT_small.dcm")
    image = pydicom.dcmread(large)
    image.Rows, image.NumberOfFrames = 128, 1000
    image.PixelData = np.arange(128 * 128 * 1000, dtype=np.uint16).tobytes()
    image.save_as(large)
    shutil.copy(large, tmp_path / "copy")
    empty_server.ingest(large)
    url = (
        f"{empty_server.dicomweb}/studies/{image.StudyInstanceUID}/series/{image.SeriesInstanceUID}"
        f"/instances/{image.SOPInstanceUID}"
    )
    until(lambda: httpx.get(f"{url}/metadata").status_code == 200)
    assert httpx.get(url, headers={"Accept": "application/dicom"}).content == large.read_bytes()
