"""The viewer draws what is in the files: each transfer syntax against the frame that `test_pixels.py` has checked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from playwright.sync_api import BrowserContext
from pydicom.dataset import Dataset
from pydicom.uid import JPEGLosslessSV1, generate_uid

from dbx.pixels import Catalog
from dbx.pixels.dicom.headers import read_headers
from dbx.pixels.dicom.pixels import decode_frame
from headers import PYDICOM_DATA
from images import write_image
from viewer_browser import Drawn, Viewer, new_page
from web_server import running

pytest_plugins = ["viewer_browser"]

STUDY = generate_uid(entropy_srcs=["pictures"])
#: What is drawn lies between the centres of the canvas' pixels, so that edges are a little off.
MEAN_DIFFERENCE = 2.0

# 12 bit JPEG (process 4) is missing: OHIF decodes it a few grey levels brighter than others do.
SAMPLES = {
    "uncompressed": "CT_small.dcm",
    "big endian": "MR_small_bigendian.dcm",
    "JPEG baseline": "SC_rgb_jpeg_dcmtk.dcm",
    "JPEG-LS": "MR_small_jpeg_ls_lossless.dcm",
    "JPEG 2000": "MR_small_jp2klossless.dcm",
    "RLE": "MR_small_RLE.dcm",
    "two frames": "SC_rgb_rle_2frame.dcm",
    "YBR": "examples_ybr_color.dcm",
    "palette": "examples_palette.dcm",
}


def write_lossless_jpeg(path: Path) -> None:
    """Write a gradient as JPEG Lossless, of which pydicom brings no sample."""
    pixels = np.add.outer(np.arange(96), np.arange(64)).astype(np.uint16) * 25
    write_image(path, pixels, transfer_syntax=JPEGLosslessSV1, frames=[imagecodecs.ljpeg_encode(pixels)])


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One study, in which each sample is a series that is described by its name."""
    folder = tmp_path_factory.mktemp("pictures")
    write_lossless_jpeg(folder / "lossless.dcm")
    sources = {name: PYDICOM_DATA / "test_files" / file for name, file in SAMPLES.items()}
    sources["JPEG lossless"] = folder / "lossless.dcm"
    paths = {}
    for number, (name, source) in enumerate(sources.items(), 1):
        image = pydicom.dcmread(source)
        image.StudyInstanceUID, image.SeriesInstanceUID = STUDY, generate_uid(entropy_srcs=["pictures", name])
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["image", name])
        image.PatientID, image.StudyDate, image.SeriesNumber, image.SeriesDescription = "P1", "20260105", number, name
        paths[name] = folder / f"{number}.dcm"
        image.save_as(paths[name])
    (folder / "lossless.dcm").unlink()
    return paths


@pytest.fixture(scope="module")
def viewer(
    browser: BrowserContext, images: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Viewer]:
    """The viewer with that study open."""
    with (
        running(Catalog(home=str(tmp_path_factory.mktemp("home")))) as server,
        new_page(browser) as page,
    ):
        server.ingest(*images.values())
        server.wait_until_served()
        viewer = Viewer(page, server.url)
        viewer.open_study(STUDY)
        yield viewer


def displayed(image: Dataset, drawn: Drawn, frame: int = 0) -> NDArray[np.floating]:
    """Decode a frame and put it through the window that the viewer has chosen."""
    (row,) = read_headers([str(image.filename)]).to_pylist()
    pixels = decode_frame(str(image.filename), row, frame)
    if image.PhotometricInterpretation == "PALETTE COLOR":
        return pydicom.pixels.apply_color_lut(pixels, image) / 256.0
    if pixels.ndim == 3:
        return pixels.astype(float)
    values = pixels * float(image.get("RescaleSlope", 1)) + float(image.get("RescaleIntercept", 0))
    black, white = drawn.window
    return np.repeat(np.clip((values - black) / (white - black), 0, 1)[..., None] * 255, 3, axis=2)


def is_drawn(viewer: Viewer, image: Dataset, frame: int = 0) -> bool:
    """Tell whether the viewport shows this image."""
    if not viewer.is_drawing():
        return False
    drawn = viewer.drawn()
    expected = displayed(image, drawn, frame)[:: drawn.step, :: drawn.step]
    return drawn.pixels.shape == expected.shape and np.abs(drawn.pixels - expected).mean() < MEAN_DIFFERENCE


@pytest.mark.parametrize("name", [*SAMPLES, "JPEG lossless"])
def test_the_picture_is_the_decoded_frame(viewer: Viewer, images: dict[str, Path], name: str) -> None:
    viewer.open_series(name)

    viewer.wait_for(lambda: is_drawn(viewer, pydicom.dcmread(images[name])))

    assert viewer.problems == []


def test_the_mouse_wheel_goes_through_the_frames(viewer: Viewer, images: dict[str, Path]) -> None:
    image = pydicom.dcmread(images["two frames"])
    viewer.open_series("two frames")
    viewer.wait_for(lambda: is_drawn(viewer, image, frame=0))

    viewer.page.locator(".cornerstone-canvas").first.hover()
    viewer.page.mouse.wheel(0, 100)

    viewer.wait_for(lambda: is_drawn(viewer, image, frame=1))
