"""What a codestream says of its size, read before a decoder gives memory for it."""

from __future__ import annotations

from dbx.pixels.dicom.image import ImagePixel
from dbx.pixels.errors import PixelDataError

#: SOF0 to SOF15 (ISO 10918-1 table B.1, without DHT, JPG and DAC), and SOF55 of JPEG-LS (ISO 14495-1).
_STARTS_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}
_SCAN_OR_END = {0xD8, 0xD9, 0xDA}

_JP2_SIGNATURES = (b"\0\0\0\x0cjP  ", b"\r\n\x87\n")
_SOC_SIZ = b"\xff\x4f\xff\x51"


def check_jpeg(encoded: bytes, image: ImagePixel) -> None:
    """Refuse a JPEG or JPEG-LS codestream that is larger than the object says.

    Raises
    ------
    PixelDataError
        If it is, or tells no size.
    """
    at = 2
    while encoded[:2] == b"\xff\xd8" and (at := encoded.find(b"\xff", at)) >= 0:
        while encoded[at : at + 1] == b"\xff":  # markers may be filled up
            at += 1
        marker = int.from_bytes(encoded[at : at + 1])
        at += 1
        if marker in _STARTS_OF_FRAME:
            rows, columns = _number(encoded, at + 3, 2), _number(encoded, at + 5, 2)
            check_size(rows, columns, _number(encoded, at + 7, 1), image)
            return
        if marker in _SCAN_OR_END:
            break
        if marker and marker not in _WITHOUT_LENGTH:
            at += max(_number(encoded, at, 2), 2)
    check_size(0, 0, 0, image)


def check_jpeg_2000(encoded: bytes, image: ImagePixel) -> None:
    """Refuse a JPEG 2000 codestream (ISO 15444-1 A.5.1), in JP2 boxes or not, that is larger than the object says.

    Raises
    ------
    PixelDataError
        If it is, or tells no size.
    """
    at = _codestream_in_boxes(encoded) if encoded.startswith(_JP2_SIGNATURES) else 0
    if encoded[at : at + 4] != _SOC_SIZ:
        check_size(0, 0, 0, image)
    right, bottom, left, top = (_number(encoded, at + offset, 4) for offset in (8, 12, 16, 20))
    check_size(bottom - top, right - left, _number(encoded, at + 40, 2), image)


def _codestream_in_boxes(encoded: bytes) -> int:
    at = 0
    while 0 <= at <= len(encoded) - 8 and encoded[at + 4 : at + 8] != b"jp2c":
        length, header = _number(encoded, at, 4), 8
        if length == 1:
            length, header = _number(encoded, at + 8, 8), 16
        at += max(length, header)
    return at + (16 if encoded[at : at + 4] == b"\0\0\0\1" else 8)


def check_size(rows: int, columns: int, samples: int, image: ImagePixel) -> None:
    """Refuse a size that is none, or more than the object's Rows, Columns and Samples per Pixel make."""
    if min(rows, columns, samples) < 1:
        raise PixelDataError("", "cannot be decoded: the codestream does not tell its size")
    if rows * columns * samples > image.rows * image.columns * image.samples:
        raise PixelDataError(
            "",
            f"cannot be decoded: the codestream is larger ({rows} rows, {columns} columns, {samples} samples) than "
            f"the object says ({image.rows} rows, {image.columns} columns, {image.samples} samples)",
        )


def _number(encoded: bytes, at: int, length: int) -> int:
    return int.from_bytes(encoded[at : at + length])
