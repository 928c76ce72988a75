"""Pictures that browsers show: what a request asks for, and how it is encoded (PS3.18 8.3.5)."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import imagecodecs
import numpy as np
import orjson
from numpy.typing import NDArray
from PIL import Image
from starlette.datastructures import QueryParams

from dbx.pixels.dicom.attributes import ATTRIBUTES, Attribute
from dbx.pixels.dicom.codecs import Size
from dbx.pixels.dicom.display import RequestedWindow
from dbx.pixels.dicom.image import DISPLAY_COLUMNS
from dbx.pixels.dicom.picture import Region, View
from dbx.pixels.index import Instance
from dbx.pixels.web.dicomweb.numbers import whole_number
from dbx.pixels.web.errors import HttpError

JPEG, PNG, GIF = "image/jpeg", "image/png", "image/gif"

#: The longest edge that a picture may be enlarged to.
LONGEST_EDGE = 8192
#: The most pixels that it may be enlarged to: each request takes memory for them.
MOST_PIXELS = 1 << 24
#: Pixels of all frames of a moving picture, which is made in memory.
_LARGEST_ANIMATION = 1 << 27
_USUAL_QUALITY = 90
_USUAL_FRAME_TIME = 100.0  # milliseconds

_FUNCTIONS = {"linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}
_DISPLAY_ATTRIBUTES = [attribute for attribute in ATTRIBUTES if attribute.keyword in DISPLAY_COLUMNS]


def display_row(instance: Instance, metadata: bytes) -> dict[str, Any]:
    """Return the columns by which an image is displayed, from its metadata."""
    dataset = orjson.loads(metadata)
    told = {attribute.keyword: _value(dataset, attribute) for attribute in _DISPLAY_ATTRIBUTES}
    return {**instance.pixels, **told, "meta": metadata.decode()}


def _value(dataset: Mapping[str, Any], attribute: Attribute) -> Any:
    values = [_number(value) for value in dataset.get(attribute.tag_text, {}).get("Value", ())]
    if attribute.multiple:
        return values or None
    return values[0] if values else None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):  # null, or what cannot be parsed: an issue of the object
        return None
    return number if math.isfinite(number) else None


def frame_time(metadata: bytes) -> float:
    """Return how long each frame of a moving picture is shown, in milliseconds (PS3.3 C.7.6.5)."""
    dataset = orjson.loads(metadata)
    times = dataset.get("00181063", {}).get("Value", ())  # Frame Time
    time = _number(times[0]) if times else None
    return time if time and time > 0 else _USUAL_FRAME_TIME


def requested_view(query: QueryParams, usual_box: Size | None = None) -> View:
    """Read viewport and window from the query of a URL (PS3.18 8.3.5.1).

    Parameters
    ----------
    query : QueryParams
        Of the request.
    usual_box : tuple of int, optional
        Width and height that pictures fit into unless a viewport is asked for.

    Raises
    ------
    HttpError
        400, if a parameter cannot be understood.
    """
    window = _window(query["window"]) if "window" in query else None
    if "viewport" not in query:
        return View(box=usual_box, window=window)
    numbers = [_pixels(text) for text in query["viewport"].split(",")]
    if not 2 <= len(numbers) <= 6:
        raise HttpError(400, "viewport has two to six numbers: vw,vh,sx,sy,sw,sh")
    width, height, *part = numbers + [None] * (6 - len(numbers))
    if width is None or height is None or not (0 < width <= LONGEST_EDGE and 0 < height <= LONGEST_EDGE):
        raise HttpError(400, f"viewport has a width and a height from 1 to {LONGEST_EDGE}")
    if width * height > MOST_PIXELS:
        raise HttpError(400, f"viewport has {MOST_PIXELS} pixels at most")
    return replace(_part(part), box=(width, height), enlarged=True, window=window)


def _part(numbers: list[int | None]) -> View:
    """Say what is shown of an image; a negative width or height flips that."""
    if numbers == [None] * 4:
        return View()
    left, top, width, height = numbers
    if (left or 0) < 0 or (top or 0) < 0 or 0 in (width, height):
        raise HttpError(400, "viewport has a region that begins left of the image or above it, or has no pixels")
    far = 1 << 31  # as far as the image goes
    region = Region(left or 0, top or 0, abs(width or far), abs(height or far))
    return View(region=region, flipped=((width or 0) < 0, (height or 0) < 0))


def _pixels(text: str) -> int | None:
    """Read a number of pixels, whole or not; None if it is left out."""
    if not text.strip():
        return None
    number = _number(text)
    if number is None or abs(number) >= 1 << 31:
        raise HttpError(400, f"viewport has an invalid number: {text[:80]!r}")
    return int(number)


def _window(text: str) -> RequestedWindow:
    center, _, rest = text.partition(",")
    width, _, function = rest.partition(",")
    return requested_window(center, width, function.strip() or "linear")


def requested_window(center: str, width: str, function: str = "linear") -> RequestedWindow:
    """Read a window from texts.

    Raises
    ------
    HttpError
        400, if they are no window.
    """
    numbers = _number(center), _number(width)
    if None in numbers or numbers[1] <= 0 or function.lower() not in _FUNCTIONS:  # type: ignore[operator]
        raise HttpError(400, f"window is center,width,function, with one of {', '.join(_FUNCTIONS)}")
    return RequestedWindow(*numbers, _FUNCTIONS[function.lower()])  # type: ignore[arg-type]


def requested_quality(text: str | None) -> int:
    """Read the quality of lossy pictures.

    Raises
    ------
    HttpError
        400, if it is none.
    """
    if not text:
        return _USUAL_QUALITY
    quality = whole_number(text)
    if quality is None or not 1 <= quality <= 100:
        raise HttpError(400, "quality is a number from 1 to 100")
    return quality


def ignored(query: QueryParams) -> list[str]:
    """Say which of the parameters of PS3.18 8.3.5.1 and 9.1.2 have no effect."""
    names = ("annotation", "iccprofile", "presentationUID")
    return [f"{name} has no effect" for name in names if query.get(name, "no") != "no"]


def encoded(picture: NDArray[np.uint8], media_type: str, quality: int) -> bytes:
    """Encode one picture as JPEG, PNG or GIF."""
    return _ENCODERS[media_type](picture, quality)


def animation(pictures: Iterator[NDArray[np.uint8]], frames: int, milliseconds: float) -> bytes:
    """Encode a moving picture as GIF, which is repeated without end.

    Raises
    ------
    HttpError
        406, if it would be too large.
    """
    first = next(pictures)
    if frames * first.shape[0] * first.shape[1] > _LARGEST_ANIMATION:
        raise HttpError(406, "the moving picture would be too large; ask for a smaller viewport, or for frames")
    file = io.BytesIO()
    others = [Image.fromarray(picture) for picture in pictures]
    Image.fromarray(first).save(file, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0)
    return file.getvalue()


def _jpeg(picture: NDArray[np.uint8], quality: int) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(picture, level=quality))


def _png(picture: NDArray[np.uint8], _quality: int) -> bytes:
    return bytes(imagecodecs.png_encode(picture, level=3))


def _gif(picture: NDArray[np.uint8], _quality: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "GIF")
    return file.getvalue()


_ENCODERS: dict[str, Callable[[NDArray[np.uint8], int], bytes]] = {JPEG: _jpeg, PNG: _png, GIF: _gif}
