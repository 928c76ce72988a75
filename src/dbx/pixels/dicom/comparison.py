"""Whether two objects hold the same data set, however it is encoded."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dbx.pixels.dicom.headers import read_headers
from dbx.pixels.errors import PixelDataError
from dbx.pixels.storage.reader import Reader

_PIECE_BYTES = 1 << 20
#: Of attributes other than pixel data. Longer data sets are the same only if they are the same bytes.
_MOST_BYTES_DECODED = 64 << 20

#: The first element of the file meta information, its group length (PS3.10 7.1), behind the preamble.
_META_START = b"DICM\x02\x00\x00\x00UL\x04\x00"
_PREAMBLE_BYTES = 128


def same_data_set(one: Reader, other: Reader) -> bool:
    """Tell whether two DICOM objects have the same attributes, with the same values, and the same pixels.

    File meta information does not count, nor does the transfer syntax: what a server or a library wrote anew, and lost
    nothing of, is the same.

    Raises
    ------
    StorageError
        If one cannot be read.
    """
    rows = read_headers([one, other]).to_pylist()
    if not (_attributes(rows[0]) == _attributes(rows[1]) is not None):
        return False
    if rows[0]["TransferSyntaxUID"] == rows[1]["TransferSyntaxUID"] and _same_bytes(one, other):
        return True
    if max(_bytes_of_attributes(one, rows[0]), _bytes_of_attributes(other, rows[1])) > _MOST_BYTES_DECODED:
        return False
    inline = read_headers([one, other], bulk_threshold=None).to_pylist()
    return _attributes(inline[0]) == _attributes(inline[1]) and _same_pixels((one, rows[0]), (other, rows[1]))


def _attributes(row: dict[str, Any]) -> dict[str, Any] | None:
    if row["meta"] is None:
        return None
    return {tag: element for tag, element in json.loads(row["meta"]).items() if not tag.startswith("0002")}


def _same_bytes(one: Reader, other: Reader) -> bool:
    """Compare what follows the file meta information."""
    first, second = _data_set_start(one), _data_set_start(other)
    if first is None or second is None or one.size - first != other.size - second:
        return False
    return all(
        one.read(first + offset, _PIECE_BYTES) == other.read(second + offset, _PIECE_BYTES)
        for offset in range(0, one.size - first, _PIECE_BYTES)
    )


def _data_set_start(reader: Reader) -> int | None:
    head = reader.read(_PREAMBLE_BYTES, len(_META_START) + 4)
    if not head.startswith(_META_START) or len(head) < len(_META_START) + 4:
        return None
    (length,) = struct.unpack_from("<I", head, len(_META_START))
    return _PREAMBLE_BYTES + len(head) + length


def _bytes_of_attributes(reader: Reader, row: dict[str, Any]) -> int:
    if row["pixel_data"] is None or row["TransferSyntaxUID"] == DeflatedExplicitVRLittleEndian:
        return reader.size
    return row["pixel_data"]["offset"]


def _same_pixels(one: tuple[Reader, dict[str, Any]], other: tuple[Reader, dict[str, Any]]) -> bool:
    # Imported here because it loads the codecs.
    from dbx.pixels.dicom.pixels import decode_frames

    if one[1]["pixel_data"] is None or other[1]["pixel_data"] is None:
        return one[1]["pixel_data"] == other[1]["pixel_data"]
    try:
        return all(
            np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
            for first, second in zip(decode_frames(*one), decode_frames(*other), strict=True)
        )
    except PixelDataError:  # pixels that nobody can see are the same only if they are the same bytes
        return False
