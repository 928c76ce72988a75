"""Colours of labels: always the same for a value, and neighbours far apart."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from typing import Any

#: The golden section of the circle: however many hues there are, a new one falls into a wide gap.
_TURN = 0.381966
#: Where value 1 lies: a red that the eye tells from the viewer's blue.
_FIRST = 0.02


def labels_with_colours(labels: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return labels as JSON has them: name, value, and colour as red, green and blue."""
    return [{"name": name, "value": value, "color": colour(value)} for name, value in labels.items()]


def colour(value: int) -> list[int]:
    """Return red, green and blue, from 0 to 255, of a label's value."""
    hue = (_FIRST + (value - 1) * _TURN) % 1
    lightness = (0.62, 0.5, 0.74)[(value - 1) // 8 % 3]
    return [round(255 * part) for part in colorsys.hls_to_rgb(hue, lightness, 0.75)]
