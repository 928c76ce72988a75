"""From a file to a small picture on one core, against pydicom and matplotlib as published pipelines use them.

Theirs is a figure of the usual size with axes, as PNG; what they then do to it for Spark is left out, in their favour.
Ours is a JPEG of 256 pixels. Both read header and pixels from the page cache.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import matplotlib as mpl
import numpy as np
import pyarrow as pa
import pydicom
from matplotlib import pyplot
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit

from benchmarks.measure import Row, Skipped, cpu_per_item, interleaved, per_file
from dbx.pixels.dicom import DicomMetaExtractor, DicomThumbnailExtractor
from dbx.pixels.dicom.phantom import write_ct_series

COPIES = 64  # of each picture for our side: one batch
SLICES = 8
TARGETS = {"CT 512 x 512 raw": 200, "MR 256 x 256 raw": 200, "US 800 x 600 JPEG": 50, "CT 512 x 512 JPEG 2000": 10}


def rows(data: Path) -> list[Row | Skipped]:
    """Measure each class of pictures."""
    mpl.use("agg")
    folder = data / "pictures"
    ct = write_ct_series(folder / "ct", slices=SLICES, size=512)
    mr = write_ct_series(folder / "mr", slices=SLICES, size=256)
    classes = {
        "CT 512 x 512 raw": ct,
        "MR 256 x 256 raw": [_rewritten(path, _as_mr) for path in mr],
        "US 800 x 600 JPEG": [_rewritten(path, _as_ultrasound) for path in ct],
        "CT 512 x 512 JPEG 2000": [_rewritten(path, _as_jpeg_2000) for path in ct],
    }
    return [_row(what, [str(path) for path in paths]) for what, paths in classes.items()]


def _row(what: str, paths: list[str]) -> Row:
    many = paths * (COPIES // len(paths))
    measured = interleaved(
        {
            "matplotlib": lambda: cpu_per_item(lambda: [_with_matplotlib(path) for path in paths], len(paths)),
            "ours": lambda: cpu_per_item(lambda: _with_pixels(many), len(many)),
        }
    )
    return Row(
        f"thumbnail, {what}",
        f"pydicom + matplotlib: {per_file(measured['matplotlib'])}",
        per_file(measured["ours"]),
        measured["matplotlib"] / measured["ours"],
        TARGETS[what],
    )


def _with_pixels(paths: list[str]) -> None:
    """Path to picture: the header is read, too, as pydicom does."""
    lengths = [Path(path).stat().st_size for path in paths]
    batch = pa.RecordBatch.from_pydict({"local_path": paths, "length": lengths})
    headers = DicomMetaExtractor().transform_batch(batch)
    pictures = DicomThumbnailExtractor().transform_batch(headers).column("thumbnail")
    if pictures.null_count:
        raise RuntimeError("a thumbnail could not be made")


def _with_matplotlib(path: str) -> bytes:
    picture = io.BytesIO()
    figure, axes = pyplot.subplots()
    axes.imshow(pydicom.dcmread(path).pixel_array, cmap="gray")
    figure.savefig(picture, format="png")
    pyplot.close(figure)
    return picture.getvalue()


def _rewritten(path: Path, change: Callable[[pydicom.Dataset, NDArray[np.uint16]], None]) -> Path:
    image = pydicom.dcmread(path)
    change(image, image.pixel_array)
    target = path.with_name(f"{change.__name__.removeprefix('_')}-{path.name}")
    image.save_as(target)
    return target


def _as_mr(image: pydicom.Dataset, _: NDArray[np.uint16]) -> None:
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
    image.Modality = "MR"
    image.WindowCenter, image.WindowWidth = 1074, 400
    del image.RescaleIntercept, image.RescaleSlope, image.RescaleType


def _as_ultrasound(image: pydicom.Dataset, pixels: NDArray[np.uint16]) -> None:
    grey = np.clip((pixels[:, :, None].astype(np.float32) - 874) / 400 * 255, 0, 255).astype(np.uint8)
    frame = np.zeros((600, 800, 3), np.uint8)
    frame[44:556, 144:656] = grey
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = pydicom.uid.UltrasoundImageStorage
    image.Modality = "US"
    image.Rows, image.Columns, image.SamplesPerPixel, image.PlanarConfiguration = 600, 800, 3, 0
    image.PhotometricInterpretation = "YBR_FULL_422"
    image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
    del image.RescaleIntercept, image.RescaleSlope, image.RescaleType, image.WindowCenter, image.WindowWidth
    _encapsulate(image, imagecodecs.jpeg8_encode(frame, level=90, subsampling="422"), JPEGBaseline8Bit)


def _as_jpeg_2000(image: pydicom.Dataset, pixels: NDArray[np.uint16]) -> None:
    encoded = imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True, level=0, bitspersample=12)
    _encapsulate(image, encoded, JPEG2000Lossless)


def _encapsulate(image: pydicom.Dataset, frame: bytes | bytearray, syntax: pydicom.uid.UID) -> None:
    image.PixelData = encapsulate([bytes(frame)])
    image["PixelData"].VR = "OB"
    image.file_meta.TransferSyntaxUID = syntax
