"""A contact sheet: pictures with captions, in one image."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

from dbx.pixels.dicom.plot import Picture, pictures

_EDGE = 160
_GAP = 12
_LINE = 15
_TILE_WIDTH = _EDGE + _GAP
_TILE_HEIGHT = _EDGE + 2 * _LINE + _GAP


def contact_sheet(df: Any, *, limit: int = 48, columns: int = 8) -> Image.Image:
    """Draw the first pictures of a frame, with modality, series description and path below each.

    Parameters
    ----------
    df : Frame or pyspark.sql.DataFrame
        See `DicomPlot`.
    limit : int
        How many pictures at most.
    columns : int
        Pictures side by side.

    Returns
    -------
    PIL.Image.Image
        To be saved as PNG, for example.
    """
    shown = list(pictures(df, limit))
    rows = max(-(-len(shown) // columns), 1)
    sheet = Image.new("RGB", (columns * _TILE_WIDTH + _GAP, rows * _TILE_HEIGHT + _GAP), "white")
    for index, picture in enumerate(shown):
        row, column = divmod(index, columns)
        _draw(sheet, picture, _GAP + column * _TILE_WIDTH, _GAP + row * _TILE_HEIGHT)
    return sheet


def _draw(sheet: Image.Image, picture: Picture, left: int, top: int) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((left, top, left + _EDGE - 1, top + _EDGE - 1), "black")
    image = ImageOps.contain(Image.open(io.BytesIO(picture.data)).convert("RGB"), (_EDGE, _EDGE))
    sheet.paste(image, (left + (_EDGE - image.width) // 2, top + (_EDGE - image.height) // 2))
    font = ImageFont.load_default(11)
    for line, (text, colour) in enumerate(((picture.title, "black"), (picture.name, "dimgray"))):
        draw.text((left, top + _EDGE + 2 + line * _LINE), _fitted(draw, text, font, line > 0), colour, font)


def _fitted(draw: ImageDraw.ImageDraw, text: str, font: Any, keep_end: bool) -> str:
    """Shorten a text to the width of a picture; of a path the end tells more."""
    if draw.textlength(text, font) <= _EDGE:
        return text
    while text and draw.textlength(text + "…", font) > _EDGE:
        text = text[1:] if keep_end else text[:-1]
    return "…" + text if keep_end else text + "…"
