"""Whole objects in another transfer syntax: Explicit VR Little Endian, from any that can be decoded."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from dbx.pixels.dicom.image import ImagePixel
from dbx.pixels.dicom.inflating import open_dicom
from dbx.pixels.dicom.pixels import NATIVE, decode, is_word_data
from dbx.pixels.dicom.quiet import quiet, reason
from dbx.pixels.dicom.sources import Source, read_range
from dbx.pixels.errors import DicomError, PixelDataError, StorageError
from dbx.pixels.web.dicomweb.frames import little_endian
from dbx.pixels.web.streaming import READ_BYTES

#: Bytes of the units of which the byte order matters, by VR (PS3.5 section 6.2).
_UNITS = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}

#: The VRs of pixel data, by tag, other than 7FE00010.
_FLOAT_VRS = {"7FE00008": b"OF", "7FE00009": b"OD"}

_LONGEST = 0xFFFFFFFE

#: Tables of where encapsulated frames lie, which native pixel data has not.
_OFFSET_TABLES = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")


def explicit_little_endian(source: Source, row: Mapping[str, Any]) -> Iterator[bytes]:
    """Write an object as a file in Explicit VR Little Endian, frame by frame.

    What follows the pixel data is left out: padding, and signatures that would no longer hold.

    Parameters
    ----------
    source : str or Reader
        What the object is read through, as long as pieces are taken.
    row : mapping
        The typed columns that tell where the pixel data lies: `PIXEL_COLUMNS`.

    Yields
    ------
    bytes
        The file in pieces. What is wrong with the object mostly shows before the first one.

    Raises
    ------
    PixelDataError
        If the object cannot be read as DICOM, or its pixel data cannot be decoded.
    StorageError
        If the object cannot be read.
    """
    if row["TransferSyntaxUID"] == DeflatedExplicitVRLittleEndian:
        yield from _inflated_object(source)
    elif row["pixel_data"] is None:
        yield _header(source, lambda _: None)
    elif row["pixel_data"]["length"] is not None:
        yield from _native_object(source, row)
    else:
        yield from _decoded_object(source, ImagePixel.from_row(row))


def _inflated_object(source: Source) -> Iterator[bytes]:
    try:
        file = open_dicom(source)
    except DicomError as error:
        raise PixelDataError("", f"cannot be transcoded: {error}") from error
    with file:
        while piece := file.read(READ_BYTES):
            yield piece


def _header(source: Source, adapt: Callable[[Dataset], None]) -> bytes:
    """Write what comes before the pixel data."""
    try:
        with quiet(), open_dicom(source) as file:
            dataset = pydicom.dcmread(file, force=True, stop_before_pixels=True)
            _interpret(dataset)
            adapt(dataset)
            meta = dataset.file_meta
            meta.TransferSyntaxUID = ExplicitVRLittleEndian
            meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID")
            meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID")
            written = io.BytesIO()
            pydicom.dcmwrite(written, dataset, implicit_vr=False, little_endian=True, enforce_file_format=True)
            return written.getvalue()
    except (StorageError, MemoryError):
        raise
    except Exception as error:  # pydicom raises whatever bad data leads to
        raise PixelDataError("", f"cannot be transcoded: {reason(error)}") from error


def _interpret(dataset: Dataset) -> None:
    """Make values of all that is still as it was read: it may be in another encoding than the object says."""
    big_endian = dataset.original_encoding[1] is False
    for element in dataset.iterall():
        if big_endian and isinstance(element.value, bytes):  # pydicom leaves these in their byte order
            element.value = swapped(element.value, element.VR)


def swapped(value: bytes, vr: str) -> bytes:
    """Reverse the bytes of each unit of a value; single bytes and incomplete units stay."""
    unit = _UNITS.get(vr, 1)
    whole = len(value) - len(value) % unit
    return np.frombuffer(value[:whole], f"u{unit}").byteswap().tobytes() + value[whole:]


def _native_object(source: Source, row: Mapping[str, Any]) -> Iterator[bytes]:
    tag, offset, length = (row["pixel_data"][name] for name in ("tag", "offset", "length"))
    bits = row["BitsAllocated"] or 16
    vr = _FLOAT_VRS.get(tag) or (b"OW" if bits > 8 else b"OB")
    unit = {b"OF": 4, b"OD": 8}.get(vr, max(bits // 8, 1))
    big_endian = NATIVE.get(row["TransferSyntaxUID"] or "") == ">"
    if unit == 1 and big_endian and is_word_data(source, offset):
        unit = 2
    yield _header(source, lambda _: None) + _pixel_data_start(tag, vr, length + length % 2)
    for start in range(0, length, READ_BYTES):
        piece = read_range(source, offset + start, min(READ_BYTES, length - start))
        yield swapped(piece, {2: "OW", 4: "OL", 8: "OV"}.get(unit, "OB")) if big_endian else piece
    yield b"\0" * (length % 2)


def _decoded_object(source: Source, image: ImagePixel) -> Iterator[bytes]:
    frame_length = (image.rows * image.columns * image.samples * image.bits_allocated + 7) // 8
    if image.bits_allocated == 1 and image.frames > 1 and image.rows * image.columns % 8:
        raise PixelDataError("", "frames of single bits that do not end with a byte cannot be joined")
    length = frame_length * image.frames
    vr = b"OW" if image.bits_allocated > 8 else b"OB"
    first = little_endian(decode(source, image, 0), image)

    def adapt(header: Dataset) -> None:
        if image.samples > 1:
            header.PlanarConfiguration = 0
            if image.bits_allocated == 8:
                header.PhotometricInterpretation = "RGB"
        for keyword in _OFFSET_TABLES:
            header.pop(keyword, None)

    yield _header(source, adapt) + _pixel_data_start("7FE00010", vr, length + length % 2) + first
    for frame in range(1, image.frames):
        yield little_endian(decode(source, image, frame), image)
    yield b"\0" * (length % 2)


def _pixel_data_start(tag: str, vr: bytes, length: int) -> bytes:
    if length > _LONGEST:
        raise PixelDataError("", "uncompressed, the pixel data is too long for one element")
    number = Tag(int(tag, 16))
    return (
        number.group.to_bytes(2, "little")
        + number.element.to_bytes(2, "little")
        + vr
        + b"\0\0"
        + length.to_bytes(4, "little")
    )
