"""How uncertain a model is of a series: whether it finds the same in slightly different images of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class _Change(NamedTuple):
    """How an image is changed: body size, contrast about the mean, and noise, the last in standard deviations."""

    size: float = 1.0
    contrast: float = 1.0
    noise: float = 0.0


#: Changes that no reader would mind. Mirrored images are not among them: left and right are labels.
_CHANGES: Final = (
    _Change(),
    _Change(size=0.95),
    _Change(size=1.05),
    _Change(contrast=0.95, noise=0.03),
    _Change(contrast=1.05, noise=0.03),
)


class Segmenter(Protocol):
    """A loaded model, such as `dbx.pixels.ai.bundle.Bundle`."""

    def segment(self, volume: NDArray[np.float32], affine: NDArray[np.float64]) -> NDArray[np.uint8]: ...


def uncertainty(
    model: Segmenter, volume: NDArray[np.float32], affine: NDArray[np.float64], labels: Mapping[str, int]
) -> float:
    """Return how much what a model finds varies with slight changes of the image (test-time augmentation).

    It is the entropy of the labels that a voxel gets, as part of the highest that there can be, and the mean of that
    over all voxels that get a label at all. Where nothing is found there is nothing to correct: 0.

    Parameters
    ----------
    model : Segmenter
        What is asked.
    volume, affine : array
        As for `Bundle.segment`.
    labels : mapping of str to int
        What the model looks for.

    Raises
    ------
    ModelError
        If the model fails.
    """
    found = [model.segment(*changed) for changed in _changed(volume, affine)]
    return _entropy(found) / np.log(min(len(found), len(labels) + 1))


def _changed(
    volume: NDArray[np.float32], affine: NDArray[np.float64]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float64]]]:
    """Yield the image with each of the changes: the same ones each time, so that scores can be compared."""
    mean, deviation = float(volume.mean()), float(volume.std())
    for change in _CHANGES:
        scaled = affine.copy()
        scaled[:3, :3] *= change.size  # the model resamples, and puts what it finds back on the same voxels
        if change.noise:
            random = np.random.default_rng(0)
            image = random.standard_normal(volume.shape, np.float32) * np.float32(change.noise * deviation)
            image += (volume - np.float32(mean)) * np.float32(change.contrast) + np.float32(mean)
        else:
            image = volume
        yield image, scaled


def _entropy(labelmaps: Sequence[NDArray[np.uint8]]) -> float:
    """Return the mean entropy of the labels of those voxels that have one in any of the labelmaps."""
    total, voxels = 0.0, 0
    for planes in zip(*labelmaps, strict=True):
        values = np.stack(planes)
        values = values[:, values.any(axis=0)]
        for value in np.unique(values):
            share = np.mean(values == value, axis=0)
            share = share[share > 0]
            total -= float(np.sum(share * np.log(share)))
        voxels += values.shape[1]
    return total / voxels if voxels else 0.0
