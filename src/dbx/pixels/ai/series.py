"""A series as one volume: its images in the order of their positions, and where they lie in the patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dbx.pixels.index import Instance, ServingIndex
from dbx.pixels.table.principal import Principal


@dataclass(frozen=True, eq=False)
class Slice:
    """One plane of the volume: a frame of an instance.

    Attributes
    ----------
    instance : Instance
        That holds the frame.
    frame : int
        From 0.
    slope, intercept : float
        By which stored values become those of the modality (PS3.3 section C.7.6.16.2.9, C.11.1).
    """

    instance: Instance
    frame: int
    slope: float
    intercept: float


@dataclass(frozen=True, eq=False)
class Series:
    """A series whose images are parallel, of one size and evenly spaced.

    Attributes
    ----------
    StudyInstanceUID, SeriesInstanceUID, Modality : str
        As in its instances.
    slices : tuple of Slice
        In the order of their positions along the normal of the planes.
    shape : tuple of int
        Slices, rows and columns.
    affine : array of shape (4, 4)
        From voxels (column, row, slice) to millimetres in the patient's coordinates, which are LPS (PS3.3 section
        C.7.6.2.1.1). Its three axes are perpendicular and right-handed.
    header : pydicom.Dataset
        Of the first slice's instance, without pixel data.
    fingerprint : str
        Changes when an object of the series does.
    """

    StudyInstanceUID: str
    SeriesInstanceUID: str
    Modality: str
    slices: tuple[Slice, ...]
    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    header: Dataset
    fingerprint: str

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres from slice to slice, from row to row and from column to column."""
        column, row, between = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return between, row, column

    def volume(self) -> NDArray[np.float32]:
        """Read the pixels: values of the modality, such as Hounsfield units, of shape (slices, rows, columns).

        Raises
        ------
        UnsuitableSeriesError
            If a frame cannot be decoded.
        StorageError
            If an object cannot be read.
        """
        raise NotImplementedError


def read_series(index: ServingIndex, series_uid: str, principal: Principal) -> Series:
    """Look a series up; its pixels are not read yet.

    Parameters
    ----------
    index : ServingIndex
        Where it is looked up.
    series_uid : str
        Series Instance UID.
    principal : Principal
        Who reads.

    Raises
    ------
    SeriesNotFoundError
        If there is no such series, or the principal may not see it.
    UnsuitableSeriesError
        If its images do not make one volume.
    """
    raise NotImplementedError
