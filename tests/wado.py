"""Objects for the tests of retrieving: pydicom's files with UIDs of their own, so that none hides another."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest
from pydicom.uid import generate_uid

from dbx.pixels import Catalog
from web_server import RunningServer, running

from conftest import TEST_FILES

FILES = (
    "CT_small",
    "MR_small_implicit",
    "MR_small_bigendian",
    "MR_small_RLE",
    "MR_small_jpeg_ls_lossless",
    "JPEG2000",
    "SC_rgb_jpeg_dcmtk",
    "SC_ybr_full_422_uncompressed",
    "SC_rgb_rle_2frame",
    "rtdose",
    "examples_palette",
    "image_dfl",
    "reportsi",
)
#: An object with a value that metadata only address.
WITH_BULK_DATA, BULK_DATA = "bulky", bytes(range(256)) * 8
#: A file that lies in an archive, and the slices of a series.
ZIPPED = "MR_small"
SLICES = 3


class ServedObjects:
    """A server with objects whose names, URLs and contents are known.

    Parameters
    ----------
    server : RunningServer
        Which has ingested them.
    paths : dict
        By name, where each object's file was made.
    """

    def __init__(self, server: RunningServer, paths: dict[str, Path]) -> None:
        self.server = server
        self.paths = paths

    def dataset(self, name: str) -> pydicom.Dataset:
        """Read an object's file."""
        return pydicom.dcmread(self.paths[name])

    def url(self, name: str, level: str = "instance") -> str:
        """Return the URL of an object, or of its series or study."""
        image = self.dataset(name)
        url = f"{self.server.dicomweb}/studies/{image.StudyInstanceUID}"
        if level == "study":
            return url
        url += f"/series/{image.SeriesInstanceUID}"
        return url if level == "series" else f"{url}/instances/{image.SOPInstanceUID}"

    def get(self, name: str, resource: str = "", accept: str = "*/*", level: str = "instance") -> httpx.Response:
        """Retrieve what belongs to an object."""
        return httpx.get(self.url(name, level) + resource, headers={"Accept": accept}, timeout=30)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedObjects]:
    """A server of `FILES`, an object in an archive, and a series ``slice0`` to ``slice2``. Only for reading."""
    folder = tmp_path_factory.mktemp("wado")
    paths = {name: copy_with_uids(folder / f"{name}.dcm", TEST_FILES / f"{name}.dcm") for name in FILES}
    bulky = copy_with_uids(folder / "bulky.dcm", TEST_FILES / "CT_small.dcm", ICCProfile=BULK_DATA)
    paths[WITH_BULK_DATA] = bulky
    study, series = generate_uid(), generate_uid()
    for number in range(SLICES):
        path = folder / f"slice{number}.dcm"
        uids = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "InstanceNumber": number}
        paths[path.stem] = copy_with_uids(path, TEST_FILES / "CT_small.dcm", **uids)
    outside = tmp_path_factory.mktemp("zipped")
    paths[ZIPPED] = copy_with_uids(outside / f"{ZIPPED}.dcm", TEST_FILES / f"{ZIPPED}.dcm")
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(paths[ZIPPED], f"{ZIPPED}.dcm")
    with running(Catalog(home=str(tmp_path_factory.mktemp("home")))) as server:
        server.ingest(folder, zip_in_place=True)
        served = ServedObjects(server, paths)
        until(lambda: served.get(ZIPPED, "/metadata").status_code == 200)
        yield served


def copy_with_uids(target: Path, source: Path, **attributes: Any) -> Path:
    """Copy an object, with other UIDs, and attributes if given."""
    image = pydicom.dcmread(source)
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    image.StudyInstanceUID, image.SeriesInstanceUID = generate_uid(), generate_uid()
    for keyword, value in attributes.items():
        setattr(image, keyword, value)
    image.save_as(target)
    return target


def until(condition: Any, seconds: float = 60) -> None:
    """Wait until something is so, on a machine that may be busy with other tests, too."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def parts_of(response: httpx.Response) -> list[tuple[dict[str, str], bytes]]:
    """Split a multipart answer into headers, by their names in lower case, and bodies."""
    boundary = response.headers["content-type"].rpartition("boundary=")[2].encode()
    pieces = (b"\r\n" + response.content).split(b"\r\n--" + boundary)
    assert pieces[0] == b""
    assert pieces[-1] == b"--\r\n"
    parts = []
    for piece in pieces[1:-1]:
        head, _, body = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        lines = (line.partition(": ") for line in head.decode().split("\r\n"))
        parts.append(({name.lower(): value for name, _, value in lines}, body))
    return parts
