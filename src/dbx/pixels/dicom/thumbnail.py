"""A small picture of an image: the windowed middle frame, in true colours, as JPEG or WebP."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from dbx.pixels.dicom import _core, display
from dbx.pixels.dicom.codecs import Size
from dbx.pixels.dicom.image import ImagePixel
from dbx.pixels.dicom.pixels import NATIVE, decode
from dbx.pixels.dicom.sources import Source
from dbx.pixels.errors import PixelDataError, PixelsError, StorageError

#: The types of stored values that the native core shrinks; others become floating point before.
_VALUE_TYPES = {name: getattr(_core.ValueType, name) for name in ("u1", "u2", "i2", "f4")}

#: The window of colours: they are displayed as they are.
_COLOURS = (0, 255)


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
    """
    try:
        picture = _picture(source, row, size)
    except PixelsError:
        raise
    except Exception as error:  # a look-up table that is none, for example: pydicom raises whatever that leads to
        raise PixelDataError("", f"cannot be displayed: {error}") from error
    return _ENCODERS[image_format](picture)


def _picture(source: Source, row: Mapping[str, Any], longer_edge: int) -> NDArray[np.uint8]:
    """Make the picture: rows and columns of greys, or of red, green and blue."""
    image = ImagePixel.from_row(row)
    frame = image.frames // 2
    header = None if display.columns_tell_all(row) else display.read_display_header(source, frame)
    size = _picture_size(image, display.pixel_height(row, header), longer_edge)
    inverted = image.photometric == "MONOCHROME1"
    window = display.stored_window(row)

    if header is None and isinstance(source, str):
        if _is_plain_grey(image):
            return _shrink_file(source, image, frame, window, inverted, size)
        if _is_plain_colour(image):
            return _shrink_file(source, image, frame, _COLOURS, False, size)
    exact = header is not None and display.needs_exact_values(header)
    samples = decode(source, image, frame, size=None if exact else size)
    if samples.ndim == 3:
        return _shrink(display.eight_bits(samples[..., :3], image.bits_stored), _COLOURS, False, size)
    if image.photometric == "PALETTE COLOR" and header is not None:
        return _shrink(display.palette_colours(samples, header), _COLOURS, False, size)
    if header is not None:
        samples, window = display.displayed_greys(samples, header)
    elif image.bits_stored == 1:
        window = (0, 1)
    return _shrink(samples, window, inverted, size)


def _picture_size(image: ImagePixel, pixel_height: float, longer_edge: int) -> Size:
    width = image.columns * max(1, 1 / pixel_height)
    height = image.rows * max(1, pixel_height)
    shrink = min(1, longer_edge / max(width, height))
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def _is_plain_grey(image: ImagePixel) -> bool:
    return (
        NATIVE.get(image.transfer_syntax) == "<"
        and image.samples == 1
        and image.photometric in ("MONOCHROME1", "MONOCHROME2")
        and image.bits_allocated > 1
        and image.dtype in _VALUE_TYPES
    )


def _is_plain_colour(image: ImagePixel) -> bool:
    return (
        NATIVE.get(image.transfer_syntax) == "<"
        and image.samples == 3
        and image.photometric == "RGB"
        and not image.planar
        and image.bits_allocated == image.bits_stored == 8
    )


def _shrink_file(
    path: str, image: ImagePixel, frame: int, window: display.Window | None, inverted: bool, size: Size
) -> NDArray[np.uint8]:
    """Read, window and shrink a frame in native code, strip by strip."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise StorageError(path, error.strerror or str(error)) from error
    try:
        picture = _core.shrink_file(
            file,
            image.offset + frame * image.frame_bits // 8,
            image.rows,
            image.columns,
            image.samples,
            _VALUE_TYPES[image.dtype],
            image.bits_stored,
            window,
            inverted,
            size[::-1],
        )
    except RuntimeError as error:
        raise PixelDataError(path, str(error)) from error
    finally:
        os.close(file)
    return _as_array(picture, size, image.samples)


def _shrink(values: NDArray, window: display.Window | None, inverted: bool, size: Size) -> NDArray[np.uint8]:
    if values.dtype.str[1:] not in _VALUE_TYPES:
        values = values.astype(np.float32)
    pixels = np.ascontiguousarray(values).reshape(*values.shape[:2], -1)
    return _as_array(_core.shrink(pixels, window, inverted, size[::-1]), size, pixels.shape[2])


def _as_array(picture: bytes, size: Size, samples: int) -> NDArray[np.uint8]:
    width, height = size
    return np.frombuffer(picture, np.uint8).reshape((height, width) if samples == 1 else (height, width, samples))


def _jpeg(picture: NDArray[np.uint8]) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(picture, level=85))


def _webp(picture: NDArray[np.uint8]) -> bytes:
    colours = picture if picture.ndim == 3 else np.stack([picture] * 3, axis=-1)
    return bytes(imagecodecs.webp_encode(colours, level=80, lossless=False, method=2))


_ENCODERS = {"JPEG": _jpeg, "WEBP": _webp}
