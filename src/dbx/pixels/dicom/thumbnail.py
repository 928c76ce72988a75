"""A small picture of an image: the windowed middle frame, in true colours, as JPEG or WebP."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dbx.pixels.dicom import _core, display
from dbx.pixels.dicom.codecs import Size
from dbx.pixels.dicom.image import ImagePixel
from dbx.pixels.dicom.pixels import NATIVE, decode
from dbx.pixels.dicom.sources import Source
from dbx.pixels.errors import PixelDataError, PixelsError, StorageError

ImageFormat = Literal["JPEG", "WEBP"]

_QUALITY = 85

#: The types of grey values that the native core shrinks; others become floating point before.
_GREY_TYPES = {name: getattr(_core.GreyType, name) for name in ("u1", "u2", "i2", "f4")}


def thumbnail(source: Source, row: Mapping[str, Any], *, size: int = 256, image_format: ImageFormat = "JPEG") -> bytes:
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
    """
    try:
        picture = _picture(source, row, size)
    except PixelsError:
        raise
    except Exception as error:  # a look-up table that is none, for example: pydicom raises whatever that leads to
        raise PixelDataError("", f"the picture cannot be made: {error}") from error
    encoded = io.BytesIO()
    picture.save(encoded, image_format, quality=_QUALITY)
    return encoded.getvalue()


def _picture(source: Source, row: Mapping[str, Any], longer_edge: int) -> Image.Image:
    image = ImagePixel.from_row(row)
    frame = image.frames // 2
    header = None if display.columns_tell_all(row) else display.read_display_header(source, frame)
    size = _picture_size(image, display.pixel_height(row, header), longer_edge)
    inverted = image.photometric == "MONOCHROME1"
    window = display.stored_window(row)

    if header is None and isinstance(source, str) and _is_plain_grey(image):
        return _shrink_file(source, image, frame, window, inverted, size)
    samples = decode(source, image, frame, size=size)
    if samples.ndim == 3:
        return _shrink_colours(display.eight_bits(samples, image.bits_stored), size)
    if image.photometric == "PALETTE COLOR" and header is not None:
        return _shrink_colours(display.palette_colours(samples, header), size)
    if header is not None:
        samples, window = display.displayed_greys(samples, header)
    elif image.bits_stored == 1:
        window = (0, 1)
    return _shrink_greys(samples, window, inverted, size)


def _picture_size(image: ImagePixel, pixel_height: float, longer_edge: int) -> Size:
    width = image.columns * max(1, 1 / pixel_height)
    height = image.rows * max(1, pixel_height)
    shrink = min(1, longer_edge / max(width, height))
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def _is_plain_grey(image: ImagePixel) -> bool:
    return (
        NATIVE.get(image.transfer_syntax) == "<"
        and image.samples == 1
        and image.bits_allocated > 1
        and image.dtype in _GREY_TYPES
    )


def _shrink_file(
    path: str, image: ImagePixel, frame: int, window: display.Window | None, inverted: bool, size: Size
) -> Image.Image:
    """Read, window and shrink a frame in native code, strip by strip."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise StorageError(path, error.strerror or str(error)) from error
    try:
        greys = _core.shrink_grey_file(
            file,
            image.offset + frame * image.frame_bits // 8,
            image.rows,
            image.columns,
            _GREY_TYPES[image.dtype],
            image.bits_stored,
            window,
            inverted,
            size[::-1],
        )
    finally:
        os.close(file)
    return Image.frombuffer("L", size, greys)


def _shrink_greys(values: NDArray, window: display.Window | None, inverted: bool, size: Size) -> Image.Image:
    if values.dtype.str[1:] not in _GREY_TYPES:
        values = values.astype(np.float32)
    all_bits = 8 * values.dtype.itemsize
    greys = _core.shrink_grey(np.ascontiguousarray(values), all_bits, window, inverted, size[::-1])
    return Image.frombuffer("L", size, greys)


def _shrink_colours(samples: NDArray, size: Size) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(samples[..., :3])).resize(size, Image.Resampling.BOX, reducing_gap=2)
