"""What a model found in a series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dbx.pixels.ai.series import Series


@dataclass(frozen=True, eq=False)
class Segmented:
    """A labelmap on the grid of its series, with what made it.

    Attributes
    ----------
    series : Series
        What was segmented.
    labelmap : array of shape (slices, rows, columns)
        Values of `labels`; 0 elsewhere.
    labels : mapping of str to int
        All that the model looks for, found or not.
    model, version : str
        What made it.
    seconds : float
        How long that took, reading included.
    """

    series: Series
    labelmap: NDArray[np.uint8]
    labels: Mapping[str, int]
    model: str
    version: str
    seconds: float

    @cached_property
    def voxels(self) -> NDArray[np.int64]:
        """How often each value of a byte is in the labelmap."""
        # numpy counts 64-bit integers: a slice at a time they do not take memory.
        return np.sum([np.bincount(plane.reshape(-1), minlength=256) for plane in self.labelmap], axis=0)

    @cached_property
    def volumes_ml(self) -> dict[str, float]:
        """The volume of each label in millilitres; 0 of what was not found."""
        millilitres = abs(np.linalg.det(self.series.affine[:3, :3])) / 1000
        return {name: float(self.voxels[value] * millilitres) for name, value in self.labels.items()}
