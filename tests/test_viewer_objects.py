"""The viewer shows objects other than images, and opens studies of which it can show nothing."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    MPEG2MPHL,
    MPEG4HP41,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    VideoPhotographicImageStorage,
    generate_uid,
)

from headers import PYDICOM_DATA
from images import write_image
from viewer_browser import Viewer
from web_server import RunningServer

pytest_plugins = ["viewer_browser", "web_server"]

TEST_FILES = PYDICOM_DATA / "test_files"
GREY = 128
FRAMES = 100


@pytest.fixture
def server(empty_server: RunningServer) -> RunningServer:
    """A server of an empty table."""
    return empty_server


def write_document(path: Path) -> Path:
    """Write a PDF with a red page."""
    pdf = io.BytesIO()
    Image.new("RGB", (200, 200), (200, 30, 30)).save(pdf, "PDF")
    document = Dataset()
    document.file_meta = FileMetaDataset()
    document.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    document.SOPClassUID, document.SOPInstanceUID = EncapsulatedPDFStorage, generate_uid()
    document.StudyInstanceUID, document.SeriesInstanceUID = generate_uid(), generate_uid()
    document.Modality, document.MIMETypeOfEncapsulatedDocument = "DOC", "application/pdf"
    document.EncapsulatedDocument = pdf.getvalue() + b"\0" * (len(pdf.getvalue()) % 2)
    document.save_as(path, enforce_file_format=True)
    return path


def write_video(path: Path, sop_class: str) -> Path:
    """Write four seconds of grey as MPEG-4."""
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), GREY, np.uint8), format="rgb24")
        for _ in range(FRAMES):
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return write_image(
        path,
        np.zeros((48, 64, 3), np.uint8),
        transfer_syntax=MPEG4HP41,
        frames=[file.getvalue()],
        SOPClassUID=sop_class,
        PhotometricInterpretation="YBR_PARTIAL_420",
        Modality="XC",
        NumberOfFrames=FRAMES,
    )


def open_study_of(viewer: Viewer, server: RunningServer, file: Path) -> None:
    """Ingest a file, and open its study."""
    server.ingest(file)
    server.wait_until_served()
    study = pydicom.dcmread(file, force=True, stop_before_pixels=True).StudyInstanceUID
    viewer.page.goto(f"{viewer.url}/viewer?StudyInstanceUIDs={study}")


def test_a_pdf_is_shown(viewer: Viewer, server: RunningServer, tmp_path: Path) -> None:
    open_study_of(viewer, server, write_document(tmp_path / "document.dcm"))

    viewer.wait_for(lambda: [frame for frame in viewer.page.frames if frame.url.startswith("blob:")])
    assert viewer.problems == []


@pytest.mark.parametrize("sop_class", [VideoPhotographicImageStorage, MultiFrameTrueColorSecondaryCaptureImageStorage])
def test_a_video_plays(viewer: Viewer, server: RunningServer, tmp_path: Path, sop_class: str) -> None:
    open_study_of(viewer, server, write_video(tmp_path / "video.dcm", sop_class))

    # The middle of the canvas, on which OHIF draws the frames of a video that is in no document.
    shown = """() => {
      const { canvas, canvasContext } = window.cornerstone?.getEnabledElements()[0]?.viewport ?? {};
      const [x, y] = [canvas?.width, canvas?.height].map(size => Math.round(size / 2));
      return canvasContext ? Array.from(canvasContext.getImageData(x, y, 1, 1).data.slice(0, 3)) : null;
    }"""
    viewer.wait_for(lambda: any(viewer.page.evaluate(shown) or []))
    assert viewer.problems == []
    assert viewer.page.evaluate(shown) == pytest.approx([GREY] * 3, abs=2)
    viewer.page.evaluate("cornerstone.getEnabledElements()[0].viewport.play()")
    viewer.wait_for(lambda: viewer.page.evaluate("cornerstone.getEnabledElements()[0].viewport.getFrameNumber()") > 10)


def test_of_a_video_that_browsers_do_not_play_the_viewer_says_so(
    viewer: Viewer, server: RunningServer, tmp_path: Path
) -> None:
    video = write_image(
        tmp_path / "video.dcm",
        np.zeros((48, 64, 3), np.uint8),
        transfer_syntax=MPEG2MPHL,
        frames=[bytes.fromhex("000001b3")],
        SOPClassUID=VideoPhotographicImageStorage,
        LossyImageCompressionMethod="ISO_13818_2",
        Modality="XC",
        NumberOfFrames=FRAMES,
        SeriesNumber=1,
    )
    open_study_of(viewer, server, video)

    viewer.wait_for_message("Series 1 (XC) cannot be shown.")
    assert viewer.problems == []


def test_many_secondary_captures_in_one_are_no_video(viewer: Viewer, server: RunningServer, tmp_path: Path) -> None:
    pixels = np.repeat(np.arange(FRAMES, dtype=np.uint8), 32 * 32 * 3).reshape(FRAMES * 32, 32, 3) * 2
    captures = write_image(
        tmp_path / "captures.dcm",
        pixels,
        SOPClassUID=MultiFrameTrueColorSecondaryCaptureImageStorage,
        NumberOfFrames=FRAMES,
        Rows=32,
    )
    open_study_of(viewer, server, captures)

    viewer.wait_for(viewer.is_drawing)
    viewer.page.locator(".cornerstone-canvas").first.hover()
    viewer.page.mouse.wheel(0, 100)
    viewer.wait_for(lambda: viewer.drawn().pixels.max() == 2)
    assert viewer.problems == []


def test_a_dose_in_rle_is_drawn(viewer: Viewer, server: RunningServer) -> None:
    path = TEST_FILES / "rtdose_rle.dcm"
    open_study_of(viewer, server, path)

    viewer.wait_for(viewer.is_drawing)
    drawn = viewer.drawn()
    black, white = drawn.window
    dose = pydicom.dcmread(path)
    gray = dose.pixel_array * float(dose.DoseGridScaling)
    assert (black, white) == (pytest.approx(gray[0].min()), pytest.approx(gray.max()))
    expected = np.clip((gray[0] - black) / (white - black), 0, 1) * 255
    assert np.abs(drawn.pixels[..., 0] - expected).max() < 4
    assert viewer.problems == []


def test_a_report_whose_parts_have_no_names_is_shown(viewer: Viewer, server: RunningServer) -> None:
    open_study_of(viewer, server, TEST_FILES / "test-SR.dcm")

    viewer.page.get_by_text("A mass of 3 cm was detected.").wait_for()
    assert viewer.problems == []


def test_a_study_of_structures_without_images_opens(viewer: Viewer, server: RunningServer) -> None:
    open_study_of(viewer, server, TEST_FILES / "rtstruct.dcm")

    viewer.wait_for_message("Series 1 (RTSTRUCT) cannot be shown.")
    viewer.page.locator('[data-cy^="study-browser-thumbnail"]', has_text="RTSTRUCT").first.wait_for()
    assert viewer.problems == []


def test_an_image_that_has_vanished_is_told(viewer: Viewer, server: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "vanishing.dcm"
    shutil.copy(TEST_FILES / "CT_small.dcm", file)
    server.ingest(file)
    server.wait_until_served()
    study = pydicom.dcmread(file, stop_before_pixels=True).StudyInstanceUID
    file.unlink()
    viewer.page.goto(f"{viewer.url}/viewer?StudyInstanceUIDs={study}")

    viewer.page.get_by_text("the server needs another ingest").first.wait_for()
