"""A small picture of an image: the windowed middle frame, in true colours, as JPEG or WebP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from dbx.pixels.dicom.picture import View, render
from dbx.pixels.dicom.sources import Source


def thumbnail(source: Source, row: Mapping[str, Any], *, size: int = 256, image_format: str = "JPEG") -> bytes:
    """Make a small picture of an image's middle frame.

    Parameters
    ----------
    source : str or Reader
        What the object is read through.
    row : mapping
        The typed columns of the object's row, and its `meta`.
    size : int
        The longer edge in pixels; smaller images are not enlarged.
    image_format : str
        ``"JPEG"`` or ``"WEBP"``.

    Returns
    -------
    bytes
        The encoded picture.

    Raises
    ------
    PixelDataError
        If the object has no pixel data, or they cannot be decoded.
    StorageError
        If the object cannot be read.
    MemoryError
        If there is not enough memory now.
    """
    return _ENCODERS[image_format](render(source, row, View(box=(size, size))))


def _jpeg(picture: NDArray[np.uint8]) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(picture, level=85))


def _webp(picture: NDArray[np.uint8]) -> bytes:
    colours = picture if picture.ndim == 3 else np.stack([picture] * 3, axis=-1)
    return bytes(imagecodecs.webp_encode(colours, level=80, lossless=False, method=2))


_ENCODERS = {"JPEG": _jpeg, "WEBP": _webp}
