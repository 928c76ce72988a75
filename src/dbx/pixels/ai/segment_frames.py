"""Which slice of a series each frame of a segmentation lies on, and which segment it belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from pydicom.dataset import Dataset

from dbx.pixels.ai.series import Series
from dbx.pixels.errors import UnsuitableSegmentationError

#: Voxels by which a frame may lie beside the grid, and direction cosines may differ, as they are rounded.
_BESIDE = 0.1
_SAME_DIRECTION = 0.01


class SegmentFrame(NamedTuple):
    """One frame of a segmentation.

    Attributes
    ----------
    place : int
        Of the slice that it lies on.
    segment : int or None
        Segment Number; None in label maps, whose pixels tell.
    """

    place: int
    segment: int | None


def segment_frames(segmentation: Dataset, series: Series) -> Iterator[SegmentFrame]:
    """Yield the frames of a segmentation, in their order.

    A frame lies on the slice whose position it has (PS3.3 section C.7.6.16.2.3). If it has none, it lies on the one
    that it refers to as its source.

    Raises
    ------
    UnsuitableSegmentationError
        If a frame does not lie on the grid of the series.
    """
    if (segmentation.get("Rows"), segmentation.get("Columns")) != series.shape[1:]:
        raise unsuitable(segmentation, "its frames have another size than the images of the series")
    references = {one.reference for one in series.slices} | {segmentation.get("FrameOfReferenceUID")}
    if len(references - {None}) > 1:
        raise unsuitable(segmentation, "it has another frame of reference than the series")
    to_voxels = np.linalg.inv(series.affine)
    by_source = {_source_key(one.instance.SOPInstanceUID, one.frame + 1): at for at, one in enumerate(series.slices)}
    shared = segmentation.get("SharedFunctionalGroupsSequence") or []
    for own in segmentation.get("PerFrameFunctionalGroupsSequence") or []:
        groups = (own, *shared[:1])
        orientation = _attribute(groups, "PlaneOrientationSequence", "ImageOrientationPatient")
        if orientation is not None and not _is_parallel(orientation, series):
            raise unsuitable(segmentation, "its frames are turned against the images of the series")
        position = _attribute(groups, "PlanePositionSequence", "ImagePositionPatient")
        if position is None:
            place = _place_of_source(own, by_source)
        else:
            column, row, height = (to_voxels @ (*position, 1))[:3].tolist()
            place = round(height) if max(map(abs, (column, row, height - round(height)))) <= _BESIDE else None
        if place is None or not 0 <= place < series.shape[0]:
            raise unsuitable(segmentation, "it has a frame that lies on no slice of the series")
        segment = _attribute(groups, "SegmentIdentificationSequence", "ReferencedSegmentNumber")
        yield SegmentFrame(place, segment)


def unsuitable(segmentation: Dataset, problem: str) -> UnsuitableSegmentationError:
    """Return what to raise of a segmentation."""
    return UnsuitableSegmentationError(segmentation.get("SOPInstanceUID", ""), problem)


def _is_parallel(orientation: Sequence[float], series: Series) -> bool:
    directions = series.affine[:3, :2] / np.linalg.norm(series.affine[:3, :2], axis=0)
    return bool(np.abs(np.reshape(orientation, (2, 3)).T - directions).max() <= _SAME_DIRECTION)


def _place_of_source(groups: Dataset, by_source: dict[tuple[str, int], int]) -> int | None:
    for derivation in groups.get("DerivationImageSequence") or []:
        for source in derivation.get("SourceImageSequence") or []:
            frame = source.get("ReferencedFrameNumber") or 1
            place = by_source.get(_source_key(source.ReferencedSOPInstanceUID, frame))
            if place is not None:
                return place
    return None


def _source_key(uid: str, frame: int) -> tuple[str, int]:
    return str(uid), int(frame)


def _attribute(groups: Sequence[Dataset], macro: str, keyword: str) -> Any:
    """Return an attribute of a functional group, which is that of the frame or one of all frames."""
    for group in groups:
        for item in (group.get(macro) or [])[:1]:
            if item.get(keyword) is not None:
                return item.get(keyword)
    return None
