"""Values that metadata only address: bulk data, by the path of tags and item numbers (PS3.18 10.4.1.1.5)."""

from __future__ import annotations

import re
from typing import Any

import pydicom
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataset import Dataset

from dbx.pixels.dicom.quiet import quiet
from dbx.pixels.dicom.sources import Source, open_file
from dbx.pixels.errors import DicomError, PixelsError
from dbx.pixels.web.dicomweb.transcoding import swapped

#: VRs whose values are bytes; where the VR depends on other attributes, it is one of these.
_BINARY_VRS = {"OB", "OD", "OF", "OL", "OV", "OW", "UN", "OB or OW", "US or OW", "US or SS or OW"}

_PATH = re.compile(r"[0-9A-Fa-f]{8}(/\d{1,9}/[0-9A-Fa-f]{8})*")


def bulk_value(source: Source, path: str) -> bytes | None:
    """Read one value, in little endian.

    Parameters
    ----------
    source : str or Reader
        What the object is read through.
    path : str
        Such as ``00420011``, or ``00880200/0/00282000``: tags, and between them numbers of items from 0.

    Returns
    -------
    bytes or None
        None if there is no such value, or it is not binary.

    Raises
    ------
    DicomError
        If the object cannot be read as DICOM.
    StorageError
        If the object cannot be read.
    """
    if not _PATH.fullmatch(path):
        return None
    steps = path.split("/")
    try:
        with quiet(), open_file(source) as file:
            dataset = pydicom.dcmread(file, force=True, stop_before_pixels=True, specific_tags=[int(steps[0], 16)])
            return _value(dataset, steps, big_endian=dataset.original_encoding[1] is False)
    except PixelsError:
        raise
    except Exception as error:  # pydicom raises whatever bad data leads to
        raise DicomError("", f"cannot be read: {error or type(error).__name__}") from error


def _value(dataset: Dataset, steps: list[str], *, big_endian: bool) -> bytes | None:
    tag = int(steps[0], 16)
    if tag not in dataset:
        return None
    if len(steps) > 1:
        items = dataset[tag].value
        number = int(steps[1])
        is_item = dataset[tag].VR == "SQ" and number < len(items)
        return _value(items[number], steps[2:], big_endian=big_endian) if is_item else None
    element: Any = dataset.get_item(tag)  # as it is stored
    vr = element.VR or (dictionary_VR(tag) if dictionary_has_tag(tag) else "UN")
    if vr not in _BINARY_VRS or not isinstance(element.value, bytes):
        return None
    return swapped(element.value, vr) if big_endian else element.value
