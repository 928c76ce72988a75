"""Objects in stores and in archives are served like files."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import httpx
import pydicom
import pytest

from stow import encoded
from wado import until
from web_server import RunningServer

from conftest import TEST_FILES

if TYPE_CHECKING:
    from servers import S3Bucket

pytest_plugins = ["servers", "web_server"]

IMAGE = TEST_FILES / "MR_small_RLE.dcm"


@pytest.fixture(params=["s3", "archive on s3", "archive"])
def put(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[bytes], str]:
    """Puts an object, or an archive of one, to the same place each time, and returns its address."""
    kind = request.param

    def put(content: bytes) -> str:
        if kind.startswith("archive"):
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("a.dcm", content)
            content = file.getvalue()
        name = "a.zip" if kind.startswith("archive") else "a.dcm"
        if kind.endswith("s3"):
            bucket: S3Bucket = request.getfixturevalue("bucket")
            return bucket.put(name, content)
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return put


def test_objects_are_served_from_where_they_lie(put: Callable[[bytes], str], empty_server: RunningServer) -> None:
    image = pydicom.dcmread(IMAGE)
    pixels, profile = image.pixel_array.tobytes(), bytes(range(256)) * 1000
    image.ICCProfile = profile
    stored = encoded(image)
    empty_server.ingest(put(stored), zip_in_place=True)
    url = (
        f"{empty_server.dicomweb}/studies/{image.StudyInstanceUID}/series/{image.SeriesInstanceUID}"
        f"/instances/{image.SOPInstanceUID}"
    )
    until(lambda: httpx.get(f"{url}/metadata").status_code == 200)
    frame = httpx.get(f"{url}/frames/1", headers={"Accept": "application/octet-stream"})
    assert frame.content == pixels
    as_stored = httpx.get(url, headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert as_stored.content == stored
    uncompressed = httpx.get(url, headers={"Accept": "application/dicom"})
    assert pydicom.dcmread(io.BytesIO(uncompressed.content)).PixelData == pixels
    assert httpx.get(f"{url}/rendered").headers["content-type"] == "image/jpeg"
    value = httpx.get(f"{url}/metadata").json()[0]["00282000"]["BulkDataURI"]
    part = httpx.get(urljoin(url, value), headers={"Range": "bytes=200000-200099"})
    assert (part.status_code, part.content) == (206, profile[200_000:200_100])


def test_what_was_replaced_is_not_read_where_the_old_one_had_its_frames(
    put: Callable[[bytes], str], empty_server: RunningServer
) -> None:
    image = pydicom.dcmread(TEST_FILES / "CT_small.dcm")
    address = put(encoded(image))
    empty_server.ingest(address, zip_in_place=True)
    study = f"{empty_server.dicomweb}/studies/{image.StudyInstanceUID}"
    frame = f"{study}/series/{image.SeriesInstanceUID}/instances/{image.SOPInstanceUID}/frames/1"
    octets = {"Accept": "application/octet-stream"}
    until(lambda: httpx.get(frame, headers=octets).content == image.PixelData)
    time.sleep(1)  # stores tell times in seconds
    before, image.PixelData = image.PixelData, bytes(len(image.PixelData))
    put(encoded(image))
    response = httpx.get(frame, headers=octets)
    if response.status_code == 410:
        assert "changed" in response.json()["error"]
        assert httpx.get(study).status_code == 410
    else:  # of archives in stores the blocks that were read are kept for some time
        assert response.content == before
    empty_server.ingest(address, zip_in_place=True)
    until(lambda: httpx.get(frame, headers=octets).content == image.PixelData)


def test_an_object_that_vanished_from_a_store_is_410(bucket: S3Bucket, empty_server: RunningServer) -> None:
    empty_server.ingest(bucket.put("a.dcm", IMAGE.read_bytes()))
    image = pydicom.dcmread(IMAGE)
    url = f"{empty_server.dicomweb}/studies/{image.StudyInstanceUID}"
    until(lambda: httpx.get(f"{url}/metadata").status_code == 200)
    bucket.client.delete_object(Bucket=bucket.name, Key="a.dcm")
    response = httpx.get(f"{url}/rendered")
    assert response.status_code == 410
    until(lambda: bool(empty_server.catalog.sql("SELECT * FROM issues WHERE kind = 'object'").to_arrow().num_rows))
