"""DICOM Segmentations (PS3.3 A.51): written of what a model found, and read as a labelmap on the grid of a series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dbx.pixels.ai.segmented import Segmented
from dbx.pixels.ai.series import Series
from dbx.pixels.index import Instance


class Labelmap(NamedTuple):
    """Segments laid over a series.

    Attributes
    ----------
    values : array of shape (slices, rows, columns)
        On the grid of the series; 0 where no segment is.
    labels : dict of str to int
        Value by Segment Label (0062,0005).
    """

    values: NDArray[np.uint8]
    labels: dict[str, int]


def write_segmentation(segmented: Segmented, *, series_description: str | None = None) -> Dataset:
    """Make the DICOM Segmentation of what a model found: BINARY, one segment for each label that was found.

    Parameters
    ----------
    segmented : Segmented
        What was found.
    series_description : str, optional
        Series Description (0008,103E); the model's name by default.

    Returns
    -------
    pydicom.Dataset
        With file meta information: ``save_as`` writes a file. Of nothing but background, one segment without a pixel.

    Raises
    ------
    EngineError
        If highdicom is not installed.
    """
    raise NotImplementedError


def read_segmentation(
    segmentation: Dataset | Instance, series: Series, *, labels: Mapping[str, int] | None = None
) -> Labelmap:
    """Lay a DICOM Segmentation over a series.

    Parameters
    ----------
    segmentation : pydicom.Dataset or Instance
        BINARY, FRACTIONAL (from a half) or LABELMAP. Where segments overlap, the one of the highest number is there.
    series : Series
        On whose grid its frames lie.
    labels : mapping of str to int, optional
        Values by the names of segments; others are left out. By default all of them, with their segment numbers.

    Raises
    ------
    UnsuitableSegmentationError
        If it is no segmentation, or does not lie on the grid of the series.
    StorageError
        If it cannot be read.
    """
    raise NotImplementedError
