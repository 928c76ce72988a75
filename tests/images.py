"""Images that tests write and read: any pixels, any transfer syntax, any attribute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from dbx.pixels.dicom.headers import read_headers

#: pydicom's files whose pixel data nobody can decode.
BROKEN = {
    "JPEG2000-embedded-sequence-delimiter.dcm",
    "MR_truncated.dcm",
    "meta_missing_tsyntax.dcm",
    "nested_priv_SQ.dcm",
}


def row_of(path: Path) -> dict[str, Any]:
    """Read the header of a file as the row that the catalog would have."""
    return read_headers([str(path)]).to_pylist()[0]


def name_of(path: Path) -> str:
    """Name a test by its file."""
    return path.name


def image_files(folder: Path) -> list[Path]:
    """Give the files of a folder that have pixel data which can be decoded."""
    files = sorted(path for path in folder.glob("*.dcm") if path.name not in BROKEN)
    pixel_data = read_headers([str(path) for path in files]).column("pixel_data").is_valid().to_pylist()
    return [path for path, valid in zip(files, pixel_data, strict=True) if valid]


def write_image(
    path: Path,
    pixels: NDArray[Any],
    *,
    transfer_syntax: str = ExplicitVRLittleEndian,
    frames: list[bytes] | None = None,
    fragments_per_frame: int = 1,
    **attributes: Any,
) -> Path:
    """Write pixels (rows, columns and perhaps 3 samples) as a secondary capture.

    With `frames`, these are encapsulated instead of the pixels, which then only tell the attributes.
    The names of `attributes` are keywords; what they stand for are values, or elements.
    """
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = transfer_syntax
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    image = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID, image.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    image.StudyInstanceUID, image.SeriesInstanceUID = generate_uid(), generate_uid()
    image.Modality = "OT"
    image.Rows, image.Columns = pixels.shape[:2]
    image.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    image.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if pixels.ndim == 3:
        image.PlanarConfiguration = 0
    bits = 8 * pixels.dtype.itemsize
    image.BitsAllocated, image.BitsStored, image.HighBit = bits, bits, bits - 1
    image.PixelRepresentation = int(pixels.dtype.kind == "i")
    if pixels.dtype.kind == "f":
        keyword, vr = ("FloatPixelData", "OF") if bits == 32 else ("DoubleFloatPixelData", "OD")
        image.add(pydicom.DataElement(keyword, vr, pixels.tobytes()))
    elif frames is None:
        image.PixelData = np.ascontiguousarray(pixels).tobytes() + b"\0" * (pixels.nbytes % 2)
        image["PixelData"].VR = "OW" if bits > 8 else "OB"
    else:
        image.PixelData = encapsulate(frames, fragments_per_frame)
        image["PixelData"].VR = "OB"
    for keyword, value in attributes.items():
        if isinstance(value, pydicom.DataElement):
            image.add(value)
        else:
            setattr(image, keyword, value)
    little_endian = transfer_syntax != ExplicitVRBigEndian
    pydicom.dcmwrite(path, image, implicit_vr=False, little_endian=little_endian, force_encoding=True)
    return path
