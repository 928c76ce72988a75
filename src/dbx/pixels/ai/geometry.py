"""Slices put in order: a stack of parallel planes, evenly spaced, each above the one before (PS3.3 section C.7.6.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from dbx.pixels.ai.slices import DISTINGUISHING, Slice
from dbx.pixels.errors import UnsuitableSeriesError

#: Millimetres within which positions, as they are rounded, are the same.
_SAME_PLACE = 0.01
#: By which direction cosines may differ, as they are rounded: a third of a pixel at the edge of a large image.
_SAME_DIRECTION = 1e-3
#: Part of a distance, from row to row or from slice to slice, that rounding accounts for.
_SAME_SPACING = 1e-3
_EVEN_SPACING = 0.1
#: Pixels by which slices may be shifted within their plane.
_SHIFT = 0.5
#: Of objects whose modification time is not known: any other one is newer.
_LONG_AGO = datetime.min.replace(tzinfo=UTC)

_ONE_VOLUME = "Choose a series of one volume."


def stack(slices: Sequence[Slice]) -> tuple[list[Slice], NDArray[np.float64]]:
    """Put slices in the order of their positions along the normal of their planes.

    Of copies, images at one place that differ in nothing that tells images apart, the newest object counts, then that
    of the smallest path.

    Returns
    -------
    slices : list of Slice
        In order.
    affine : array of shape (4, 4)
        From voxels (column, row, slice) to millimetres in the patient's coordinates.

    Raises
    ------
    UnsuitableSeriesError
        If they do not make a volume.
    """
    _check_alike(slices)
    axes = _axes(slices)
    heights = np.array([one.position for one in slices]) @ axes[:, 2]
    order = np.argsort(heights, kind="stable")
    places = np.split(order, np.flatnonzero(np.diff(heights[order]) > _SAME_PLACE) + 1)
    ordered = [_newest([slices[at] for at in place]) for place in places]
    if len(ordered) < 2:
        _refuse(slices, "has a single slice")
    positions = np.array([one.position for one in ordered])
    _check_upright(ordered, positions, axes)
    between = _even_spacing(ordered, positions @ axes[:, 2])
    rows, columns = ordered[0].spacing
    affine = np.eye(4)
    affine[:3, :3] = axes * (columns, rows, between)
    affine[:3, 3] = positions[0]
    return ordered, affine


def _axes(slices: Sequence[Slice]) -> NDArray[np.float64]:
    """Return the directions in which column, row and slice numbers grow, as the columns of a matrix."""
    along_row, along_column = np.reshape(slices[0].orientation, (2, 3))
    lengths = np.linalg.norm(along_row), np.linalg.norm(along_column)
    if not np.allclose(lengths, 1, atol=0.01) or abs(along_row @ along_column) > 0.01:
        _refuse(slices, "says nonsense in Image Orientation (Patient): its directions are not perpendicular")
    along_row = along_row / lengths[0]
    along_column = along_column - (along_column @ along_row) * along_row
    along_column = along_column / np.linalg.norm(along_column)
    return np.stack([along_row, along_column, np.cross(along_row, along_column)], axis=1)


def _check_alike(slices: Sequence[Slice]) -> None:
    def differ(values: Callable[[Slice], Any], tolerance: float) -> bool:
        found = np.array([values(one) for one in slices], float)
        return bool(np.any(np.abs(found - found[0]) > tolerance))

    if differ(lambda one: (one.instance.pixels["Rows"], one.instance.pixels["Columns"]), 0):
        _refuse(slices, "has images of different sizes")
    if differ(lambda one: one.orientation, _SAME_DIRECTION):
        _refuse(slices, "has images of different orientations")
    if differ(lambda one: one.spacing, _SAME_SPACING * min(slices[0].spacing)):
        _refuse(slices, "has images of different pixel spacings")
    if len({one.reference for one in slices}) > 1:
        _refuse(slices, "has images of several frames of reference")


def _newest(copies: Sequence[Slice]) -> Slice:
    """Return the slice that counts of those at one height, of which all have to be copies of one image."""
    if len(copies) == 1:
        return copies[0]
    if len({one.instance.path for one in copies}) < len(copies):
        _refuse(copies, "has several frames at one place, as time series have")
    for at, keyword in enumerate(DISTINGUISHING):
        if len({repr(one.distinguishing[at]) for one in copies}) > 1:
            _refuse(copies, f"has several images at one place, of different {keyword}")
    if np.ptp([one.position for one in copies], axis=0).max() > _SAME_PLACE:
        _refuse(copies, "has images beside each other")
    by_path = sorted(copies, key=lambda one: one.instance.path)
    return max(by_path, key=lambda one: one.instance.modificationTime or _LONG_AGO)  # the first of several


def _check_upright(ordered: Sequence[Slice], positions: NDArray[np.float64], axes: NDArray[np.float64]) -> None:
    """Refuse slices of a tilted gantry: each is shifted against the one before."""
    shifts = np.abs((positions - positions[0]) @ axes[:, :2]) / np.array(ordered[0].spacing)[::-1]
    if shifts.max() > _SHIFT:
        path = positions[-1] - positions[0]
        angle = np.degrees(np.arccos(np.clip(path @ axes[:, 2] / np.linalg.norm(path), -1, 1)))
        _refuse(
            ordered,
            f"was taken with a tilted gantry, or its slices are shifted: they lie {angle:.1f} degrees askew",
            "Resample it to a series whose slices lie above each other.",
        )


def _even_spacing(ordered: Sequence[Slice], heights: NDArray[np.float64]) -> float:
    """Return the distance from slice to slice, which has to be the same all along."""
    steps = np.diff(heights)
    usual = float(np.median(steps))
    missing = int(np.sum(np.maximum(np.rint(steps / usual) - 1, 0)))
    if missing:
        _refuse(
            ordered,
            f"has gaps: of slices {usual:.3g} mm apart, {missing} {'is' if missing == 1 else 'are'} missing",
            "Ingest them, or choose a series without gaps.",
        )
    even = (heights[-1] - heights[0]) / len(steps)
    if np.abs(heights - heights[0] - even * np.arange(len(heights))).max() > _EVEN_SPACING * even:
        _refuse(ordered, f"has slices at uneven distances: {steps.min():.3g} to {steps.max():.3g} mm")
    return float(even)


def _refuse(slices: Sequence[Slice], problem: str, remedy: str = _ONE_VOLUME) -> NoReturn:
    raise UnsuitableSeriesError(slices[0].instance.SeriesInstanceUID, problem, remedy)
