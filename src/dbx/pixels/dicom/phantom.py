"""A made-up abdominal CT, as arrays with organ labels and as a DICOM series: for the demo, for tests and for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

#: Organ names; the position of a name is its value in the label volume. `body` is every tissue without a name of its own.
ORGANS: Final = ("background", "body", "spine", "liver", "spleen", "kidney_right", "kidney_left")

FIELD_OF_VIEW_MM = 400.0  # rows and columns
LENGTH_MM = 200.0  # slices, from the lung bases to the lower kidney poles

_INTERCEPT = -1024  # stored values are unsigned 12 bit, as scanners write them
_MAXIMUM_HU = 4095 + _INTERCEPT
_NOISE_HU = 14.0
_GIVEN_NAMES = ("One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")

# Attenuation in Hounsfield units, portal venous phase.
_AIR, _LUNG, _FAT, _WATER, _BOWEL, _MUSCLE = -1000, -860, -100, 8, 35, 58
_PANCREAS, _LIVER, _SPLEEN, _VESSEL, _CORTEX, _MEDULLA = 88, 108, 122, 165, 185, 140
_SPONGY_BONE, _COMPACT_BONE, _DISC = 190, 520, 85

_ENDLESS = 1e6  # radius along z of what runs through all slices
_VERTEBRA_MM, _DISC_MM = 36.0, 8.0  # height from disc to disc, and of the disc


@dataclass(frozen=True)
class _Ellipsoid:
    """A tissue in patient space: x to the left, y to the back, z to the head, in mm from the middle of the volume."""

    hu: float
    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    organ: str = "body"
    turn: float = 0.0  # degrees about z
    lumps: float = 0.0  # share of the radius by which the outline waves

    def mirrored(self) -> _Ellipsoid:
        """The same tissue on the other side of the body."""
        x, y, z = self.centre
        return _Ellipsoid(self.hu, (-x, y, z), self.radii, self.organ, -self.turn, self.lumps)


def _pair(part: _Ellipsoid) -> tuple[_Ellipsoid, _Ellipsoid]:
    return part, part.mirrored()


#: What lies under the bowel, in painting order: later tissue covers earlier.
_TRUNK = (
    _Ellipsoid(_FAT, (0, 0, 0), (168, 122, _ENDLESS), lumps=0.015),
    _Ellipsoid(_MUSCLE, (0, 2, 0), (152, 106, _ENDLESS), lumps=0.015),
    _Ellipsoid(_FAT, (0, -2, 0), (137, 91, _ENDLESS), lumps=0.01),
    *_pair(_Ellipsoid(_LUNG, (74, 14, 128), (60, 74, 76))),
)
_ORGANS = (
    _Ellipsoid(_LIVER, (-70, -2, 30), (62, 76, 74), "liver", turn=10, lumps=0.03),
    _Ellipsoid(_LIVER, (-18, -46, 44), (58, 30, 38), "liver", turn=-14, lumps=0.04),
    _Ellipsoid(_WATER, (-62, -52, -22), (15, 20, 24)),  # gallbladder
    _Ellipsoid(_BOWEL, (64, -34, 44), (46, 36, 42), lumps=0.05),  # stomach
    _Ellipsoid(_AIR, (64, -52, 46), (32, 15, 30)),  # its air, which floats up front
    _Ellipsoid(_SPLEEN, (100, 34, 36), (25, 42, 46), "spleen", turn=24, lumps=0.04),
    _Ellipsoid(_PANCREAS, (14, -8, 8), (52, 10, 13), turn=16, lumps=0.1),
)
_KIDNEYS = (("kidney_right", -62.0, -26.0), ("kidney_left", 62.0, -16.0))
_BACK = (
    *_pair(_Ellipsoid(_MUSCLE, (40, 76, 0), (33, 24, _ENDLESS), turn=-12, lumps=0.03)),  # erector spinae
    *_pair(_Ellipsoid(_MUSCLE, (37, 46, -60), (19, 20, 80), turn=20)),  # psoas
    _Ellipsoid(_VESSEL, (9, 20, 0), (10.5, 10.5, _ENDLESS)),  # aorta
    _Ellipsoid(_VESSEL - 35, (-21, 19, 0), (13, 9.5, _ENDLESS), turn=15),  # inferior vena cava
)
_SPINE = (
    *_pair(_Ellipsoid(_COMPACT_BONE, (27, 70, 0), (20, 4.5, _ENDLESS), "spine", turn=18)),  # transverse processes
    _Ellipsoid(_COMPACT_BONE, (0, 94, 0), (4, 19, _ENDLESS), "spine"),  # spinous process
    _Ellipsoid(_COMPACT_BONE, (0, 72, 0), (17, 15, _ENDLESS), "spine"),  # arch
    _Ellipsoid(_COMPACT_BONE, (0, 48, 0), (25, 19, _ENDLESS), "spine", lumps=0.03),  # cortex
    _Ellipsoid(_SPONGY_BONE, (0, 48, 0), (22.5, 16.5, _ENDLESS), "spine", lumps=0.03),
    _Ellipsoid(_WATER + 20, (0, 72, 0), (11, 9, _ENDLESS), "spine"),  # canal
)


class _Painter:
    """Paints ellipsoids into a volume with soft edges, as partial volumes make them, and keeps the labels.

    Parameters
    ----------
    slices, size : int
        Shape of the volume.
    random : numpy.random.Generator
        Makes every body a little different.
    """

    def __init__(self, slices: int, size: int, random: np.random.Generator) -> None:
        self.random = random
        self.pixel = FIELD_OF_VIEW_MM / size
        self.z = ((np.arange(slices, dtype=np.float32) + 0.5) / slices - 0.5) * LENGTH_MM
        self.y = ((np.arange(size, dtype=np.float32) + 0.5) / size - 0.5) * FIELD_OF_VIEW_MM
        self.x = self.y.copy()
        self.volume = np.full((slices, size, size), _AIR, dtype=np.float32)
        self.labels = np.zeros((slices, size, size), dtype=np.uint8)

    def paint(self, part: _Ellipsoid, *, exact: bool = False) -> None:
        """Paint one ellipsoid, moved and stretched by a few percent unless `exact`."""
        if not exact:
            part = self._varied(part)
        reach = max(part.radii[:2]) * (1 + part.lumps) + self.pixel
        zs = _window(self.z, part.centre[2], part.radii[2])
        ys, xs = _window(self.y, part.centre[1], reach), _window(self.x, part.centre[0], reach)
        if zs.start == zs.stop:
            return
        z = (self.z[zs, None, None] - part.centre[2]) / part.radii[2]
        y, x = self.y[None, ys, None] - part.centre[1], self.x[None, None, xs] - part.centre[0]
        cosine, sine = np.cos(np.radians(part.turn)), np.sin(np.radians(part.turn))
        along, across = (x * cosine + y * sine) / part.radii[0], (y * cosine - x * sine) / part.radii[1]
        radius = np.sqrt(along**2 + across**2)
        if part.lumps:
            radius = radius * (1 + part.lumps * np.sin(3 * np.arctan2(across, along) + part.centre[0] + self.phase(part)))
        inside = (1 - np.sqrt(radius**2 + z**2)) * min(part.radii[:2])
        self.blend(np.clip(0.5 + inside / self.pixel, 0, 1), part.hu, part.organ, (zs, ys, xs))

    def blend(self, cover: NDArray[np.float32], hu: float, organ: str, where: tuple[slice, ...]) -> None:
        """Mix `hu` into the volume where `cover` (0 to 1) says so, and label what is covered by more than half."""
        region = self.volume[where]
        region += cover * (hu - region)
        np.copyto(self.labels[where], ORGANS.index(organ), where=cover > 0.5)

    def phase(self, part: _Ellipsoid) -> NDArray[np.float32] | float:
        """Let the waves of an outline wander from slice to slice: no organ is a stack of equal rings."""
        zs = _window(self.z, part.centre[2], part.radii[2])
        return self.z[zs, None, None] / 30 if part.radii[2] < _ENDLESS else 0.0

    def _varied(self, part: _Ellipsoid) -> _Ellipsoid:
        moved = np.asarray(part.centre) + self.random.normal(0, 2.0, 3)
        stretched = np.asarray(part.radii) * self.random.normal(1, 0.03, 3)
        return _Ellipsoid(
            part.hu + self.random.normal(0, 4),
            (float(moved[0]), float(moved[1]), float(moved[2])),
            (float(stretched[0]), float(stretched[1]), float(stretched[2])),
            part.organ,
            part.turn + self.random.normal(0, 3),
            part.lumps,
        )
