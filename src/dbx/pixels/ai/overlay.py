"""Pictures of what a model found beside what was to be found."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: Colours of outlines: of labels, and of what the model found.
LABEL_COLOUR: Final = (0, 200, 80)
FOUND_COLOUR: Final = (255, 60, 60)

_SMALLEST_SIDE = 256


def overlay(image: NDArray[Any], label: NDArray[Any], found: NDArray[Any]) -> Image.Image:
    """Draw outlines over the axial slice that has most of the label, as radiologists look at it: right is left.

    Parameters
    ----------
    image : array of shape (x, y, z)
        Grey values; axes run to the right, to the front and to the head.
    label, found : array of the same shape
        Values of labels, 0 where none is.
    """
    at = int(np.argmax((label > 0).sum(axis=(0, 1)) + 1e-3 * (found > 0).sum(axis=(0, 1))))
    grey, *labels = (np.asarray(volume[:, :, at], np.float32)[::-1, ::-1].T for volume in (image, label, found))
    factor = -(-_SMALLEST_SIDE // min(grey.shape))
    grey, *labels = (np.kron(plane, np.ones((factor, factor), np.float32)) for plane in (grey, *labels))
    low, high = np.percentile(grey, (1, 99))
    scaled = np.clip((grey - low) / max(high - low, 1e-6), 0, 1) * 255
    picture = np.repeat(scaled.astype(np.uint8)[:, :, None], 3, axis=2)
    for plane, colour in zip(labels, (LABEL_COLOUR, FOUND_COLOUR), strict=True):
        picture[_outlines(plane)] = colour
    return Image.fromarray(picture)


def _outlines(plane: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Mark pixels of labels that have a neighbour of another value."""
    edges = np.zeros(plane.shape, bool)
    for axis in (0, 1):
        for step in (-1, 1):
            edges |= np.roll(plane, step, axis) != plane
    return edges & (plane > 0)
