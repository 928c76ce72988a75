"""Labels as the viewer draws and stores them: colours, and codes of what they mean."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from typing import Any

from pydicom.sr.coding import Code

from dbx.pixels.ai.segment_codes import meaning_of

#: The golden section of the circle: however many hues there are, a new one falls into a wide gap.
_TURN = 0.381966
#: Where value 1 lies: a red that the eye tells from the viewer's blue.
_FIRST = 0.02


def described(labels: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return labels as JSON has them.

    Parameters
    ----------
    labels : mapping of str to int
        Values by names.

    Returns
    -------
    list of dict
        ``name``, ``value``, ``color`` as red, green and blue from 0 to 255, always the same for a value, and ``codes``,
        attributes of an item of the Segment Sequence (PS3.3 table C.8.20-4) by their keywords.
    """
    return [
        {"name": name, "value": value, "color": _colour(value), "codes": _codes(name)} for name, value in labels.items()
    ]


def _colour(value: int) -> list[int]:
    hue = (_FIRST + (value - 1) * _TURN) % 1
    lightness = (0.62, 0.5, 0.74)[(value - 1) // 8 % 3]
    return [round(255 * part) for part in colorsys.hls_to_rgb(hue, lightness, 0.75)]


def _codes(name: str) -> dict[str, Any]:
    meaning = meaning_of(name)
    kind = _code(meaning.kind)
    if meaning.side:
        kind["SegmentedPropertyTypeModifierCodeSequence"] = _code(meaning.side)
    return {
        "SegmentedPropertyCategoryCodeSequence": _code(meaning.category),
        "SegmentedPropertyTypeCodeSequence": kind,
    }


def _code(code: Code) -> dict[str, Any]:
    return {"CodeValue": code.value, "CodingSchemeDesignator": code.scheme_designator, "CodeMeaning": code.meaning}
