"""Labels that other programs send: a file with one value a voxel, laid over a series."""

from __future__ import annotations

import math
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dbx.pixels.ai.series import Series
from dbx.pixels.ai.volume_files import Volume, read_volume
from dbx.pixels.errors import ArgumentError

#: Voxels by which a corner may lie beside the grid, as coordinates are rounded.
_BESIDE = 0.1


def read_label(file: BinaryIO, name: str, series: Series) -> NDArray[np.uint8]:
    """Read a labelmap of a series.

    Parameters
    ----------
    file : binary file
        NRRD or NIfTI on the grid of the series, whose axes may be in another order or run the other way; or, with a
        name that ends in ``.bin``, bare values of 8 or 16 bit, columns fastest.
    name : str
        The file's name.
    series : Series
        What it was drawn over.

    Returns
    -------
    array of shape (slices, rows, columns)
        On the grid of the series.

    Raises
    ------
    ArgumentError
        If it is no such file, or does not lie on the grid of the series, or has other values than 0 to 255.
    EngineError
        If what reads it is not installed.
    """
    if name.lower().endswith(".bin"):
        return _bytes_of(_bare(file.read(), series))
    volume = read_volume(file, name, most_voxels=math.prod(series.shape))
    values = _on_grid(volume, series)
    if values.shape != series.shape:
        told = [" x ".join(map(str, shape)) for shape in (values.shape, series.shape)]
        raise _unsuitable(f"has {told[0]} voxels (slices, rows, columns), and the series {told[1]}")
    return _bytes_of(values)


def _bare(content: bytes, series: Series) -> NDArray[Any]:
    voxels = math.prod(series.shape)
    kinds: dict[int, np.dtype[Any]] = {voxels: np.dtype("u1"), 2 * voxels: np.dtype("<u2")}
    if len(content) not in kinds:
        raise _unsuitable(f"has {len(content)} bytes, and the series {voxels} voxels, of one byte or two each")
    return np.frombuffer(content, kinds[len(content)]).reshape(series.shape)


def _on_grid(volume: Volume, series: Series) -> NDArray[Any]:
    """Return values in the order of the axes of the series."""
    if volume.affine is None:
        return volume.values
    to_series = np.linalg.inv(series.affine) @ volume.affine
    turn = np.rint(to_series[:3, :3])
    if not np.array_equal(np.abs(turn) @ np.ones(3), np.ones(3)) or abs(np.linalg.det(turn)) != 1:
        raise _unsuitable("is turned against the series, or has voxels of another size")
    # Axis of the file, and whether it runs the same way, for each of the series: columns, rows, slices.
    axes = np.abs(turn).argmax(axis=1)
    values = volume.values.transpose(2, 1, 0).transpose(axes)
    flipped = turn[range(3), axes] < 0
    values = np.flip(values, axis=tuple(np.flatnonzero(flipped)))
    size = np.array(volume.values.shape[::-1])
    corners = np.stack([np.zeros(3), size - 1], axis=1)  # the first voxel of the file, and the last
    lying = to_series @ np.vstack([corners, np.ones(2)])
    expected = np.where(flipped[:, None], (size[axes] - 1)[:, None] - corners[axes], corners[axes])
    if np.abs(lying[:3] - expected).max() > _BESIDE:
        raise _unsuitable("lies elsewhere in the patient than the series, or has voxels of another size")
    return values.transpose(2, 1, 0)


def _bytes_of(values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        raise _unsuitable("has values that are no whole numbers")
    if values.min() < 0 or values.max() > 255:
        raise _unsuitable("has values besides 0 to 255")
    return np.ascontiguousarray(values, np.uint8)


def _unsuitable(problem: str) -> ArgumentError:
    return ArgumentError("the label", problem, "Export it on the grid of the series that it was drawn over.")
