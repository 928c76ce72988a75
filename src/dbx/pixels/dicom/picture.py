"""A picture of one frame as it is displayed: windowed, in true colours, at any size."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

from dbx.pixels.dicom import _core, display
from dbx.pixels.dicom.codecs import Size
from dbx.pixels.dicom.image import ImagePixel
from dbx.pixels.dicom.pixels import NATIVE, decode_in_room
from dbx.pixels.dicom.quiet import reason
from dbx.pixels.dicom.room import room_for
from dbx.pixels.dicom.sources import Source
from dbx.pixels.errors import ArgumentError, PixelDataError, StorageError
from dbx.pixels.storage.local import storage_error

#: The types of stored values that the native core shrinks; others become floating point before.
_VALUE_TYPES = {name: getattr(_core.ValueType, name) for name in ("u1", "u2", "i2", "f4")}

#: The window of colours: they are displayed as they are.
_COLOURS = (0, 255)

#: Bytes of a pixel to which a header's functions are applied: they make floating point numbers, or colours of 16 bits.
_TRANSFORMED_BYTES = 8


@dataclass(frozen=True)
class Region:
    """A rectangle of an image, in pixels from its upper left corner.

    Attributes
    ----------
    left, top, width, height : int
        As far as it lies outside of the image it is cut off.
    """

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class View:
    """How a frame is to be displayed.

    Attributes
    ----------
    frame : int or None
        From 0; the middle one by default.
    box : tuple of int or None
        Width and height that the picture must fit into; by default it has the image's own size, or is higher or
        wider where pixels are not square.
    enlarged : bool
        Whether smaller pictures are enlarged to fill the box.
    region : Region or None
        What is shown of the image; all by default.
    flipped : tuple of bool
        Whether left and right, and top and bottom, change places.
    window : display.RequestedWindow or None
        Takes the place of the image's own window. Colours have none.
    """

    frame: int | None = None
    box: Size | None = None
    enlarged: bool = False
    region: Region | None = None
    flipped: tuple[bool, bool] = (False, False)
    window: display.RequestedWindow | None = None


def render(source: Source, row: Mapping[str, Any], view: View) -> NDArray[np.uint8]:
    """Make a picture of an image.

    Parameters
    ----------
    source : str or Reader
        What the object is read through.
    row : mapping
        The typed columns of the object's row, and its `meta`.
    view : View
        How it is to be displayed.

    Returns
    -------
    numpy.ndarray
        Rows and columns of greys, or of red, green and blue.

    Raises
    ------
    PixelDataError
        If the object has no pixel data or no such frame, or they cannot be decoded.
    ArgumentError
        If the region lies outside of the image.
    StorageError
        If the object cannot be read.
    MemoryError
        If there is not enough memory now.
    """
    try:
        return _picture(source, row, view)
    except (ArgumentError, PixelDataError, StorageError, MemoryError):
        raise
    except Exception as error:  # a look-up table that is none, for example: pydicom raises whatever that leads to
        raise PixelDataError("", f"cannot be displayed: {reason(error)}") from error


def _picture(source: Source, row: Mapping[str, Any], view: View) -> NDArray[np.uint8]:
    image = ImagePixel.from_row(row)
    frame = image.frames // 2 if view.frame is None else view.frame
    header = None
    if view.window:
        row = view.window.over_row(row)
    if not display.columns_tell_all(row) or (view.window and not view.window.is_linear):
        header = display.read_display_header(source, frame)
        if view.window:
            view.window.put_into(header)
    full_size = _full_size(image, view.region, display.pixel_height(row, header))
    size = _fitted(full_size, view.box)
    values = _eight_bits(source, image, frame, row, header, view.region, size)
    if view.enlarged and view.box:
        values = _enlarged(values, view.box)
    return _flipped(values, *view.flipped)


def _eight_bits(
    source: Source,
    image: ImagePixel,
    frame: int,
    row: Mapping[str, Any],
    header: Dataset | None,
    region: Region | None,
    size: Size,
) -> NDArray[np.uint8]:
    inverted = image.photometric == "MONOCHROME1"
    window = display.stored_window(row)

    if header is None and region is None and isinstance(source, str) and 0 <= frame < image.frames:
        if _is_plain_grey(image):
            return _shrink_file(source, image, frame, window, inverted, size)
        if _is_plain_colour(image):
            return _shrink_file(source, image, frame, _COLOURS, False, size)
    transformed_bytes = _TRANSFORMED_BYTES * image.rows * image.columns if header else 0
    with room_for(max(image.decoded_bytes, transformed_bytes, _picture_bytes(image, size))):
        return _decode_and_shrink(source, image, frame, header, region, window, inverted, size)


def _picture_bytes(image: ImagePixel, size: Size) -> int:
    return size[0] * size[1] * image.samples


def _decode_and_shrink(
    source: Source,
    image: ImagePixel,
    frame: int,
    header: Dataset | None,
    region: Region | None,
    window: display.Window | None,
    inverted: bool,
    size: Size,
) -> NDArray[np.uint8]:
    exact = region is not None or (header is not None and display.needs_exact_values(header))
    samples = decode_in_room(source, image, frame, size=None if exact else size)
    if samples.ndim == 3:
        colours = display.eight_bits(samples[..., :3], image.bits_stored)
        return _shrink(_cut(colours, region), _COLOURS, False, size)
    if image.photometric == "PALETTE COLOR" and header is not None:
        return _shrink(_cut(display.palette_colours(samples, header), region), _COLOURS, False, size)
    if header is not None:
        samples, window = display.displayed_greys(samples, header)
    elif image.bits_stored == 1:
        window = (0, 1)
    if region is not None and window is None:  # what a region shows looks as it does in the entire image
        window = float(samples.min()), float(samples.max())
    return _shrink(_cut(samples, region), window, inverted, size)


def _cut(samples: NDArray, region: Region | None) -> NDArray:
    if region is None:
        return samples
    return samples[region.top : region.top + region.height, region.left : region.left + region.width]


def _full_size(image: ImagePixel, region: Region | None, pixel_height: float) -> tuple[float, float]:
    width, height = image.columns, image.rows
    if region is not None:
        width = min(region.left + region.width, image.columns) - region.left
        height = min(region.top + region.height, image.rows) - region.top
        if width <= 0 or height <= 0 or region.left < 0 or region.top < 0:
            raise ArgumentError(
                "region", "lies outside of the image", f"It has {image.columns} columns and {image.rows} rows."
            )
    return width * max(1, 1 / pixel_height), height * max(1, pixel_height)


def _fitted(full_size: tuple[float, float], box: Size | None) -> Size:
    width, height = full_size
    shrink = min(1, box[0] / width, box[1] / height) if box else 1
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def _enlarged(values: NDArray[np.uint8], box: Size) -> NDArray[np.uint8]:
    height, width = values.shape[:2]
    factor = min(box[0] / width, box[1] / height)
    if factor <= 1:
        return values
    size = round(width * factor), round(height * factor)
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR))


def _flipped(values: NDArray[np.uint8], horizontally: bool, vertically: bool) -> NDArray[np.uint8]:
    rows, columns = (slice(None, None, -1 if flipped else 1) for flipped in (vertically, horizontally))
    return np.ascontiguousarray(values[rows, columns])


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
        raise storage_error(path, error) from error
    offset, length = image.offset + frame * image.frame_bits // 8, image.frame_bits // 8
    try:
        if os.fstat(file).st_size < offset + length:  # a header may claim any size
            raise PixelDataError(path, "the object ends within the pixel data")
        with room_for(_picture_bytes(image, size)):
            picture = _core.shrink_file(
                file,
                offset,
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
