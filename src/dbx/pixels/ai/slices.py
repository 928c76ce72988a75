"""The slices that instances hold: where each frame lies, and how its stored values become those of the modality."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite
from typing import Any

from pydicom.datadict import tag_for_keyword

from dbx.pixels.catalog.arrivals import SEGMENTATIONS
from dbx.pixels.errors import UnsuitableSeriesError
from dbx.pixels.index import Instance

#: A data set, or an item of a sequence, in the DICOM JSON model (PS3.18 F).
Json = Mapping[str, Any]

#: What tells images at one place apart: phases, echoes, b-values. Copies of an image have all of it in common.
DISTINGUISHING = (
    "AcquisitionNumber",
    "AcquisitionDate",
    "AcquisitionTime",
    "AcquisitionDateTime",
    "ImageType",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "NominalPercentageOfCardiacPhase",
    "FrameReferenceTime",
    "EchoNumbers",
    "EchoTime",
    "InversionTime",
    "DiffusionBValue",
    "KVP",
    "ConvolutionKernel",
)

#: Functional groups that hold what is looked for here (PS3.3 section C.7.6.16.2).
_MACROS = (
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelValueTransformationSequence",
)


@dataclass(frozen=True, eq=False)
class Slice:
    """One frame of an instance, as a plane in the patient.

    Attributes
    ----------
    instance : Instance
        That holds the frame.
    frame : int
        From 0.
    position : tuple of float
        Of the centre of the first pixel: Image Position (Patient), in mm.
    orientation : tuple of float
        Direction cosines of a row and of a column: Image Orientation (Patient).
    spacing : tuple of float
        Millimetres from row to row, and from column to column: Pixel Spacing.
    slope, intercept : float
        Value of the modality = slope * stored value + intercept.
    reference : str or None
        Frame of Reference UID, in which the position is meant.
    distinguishing : tuple
        Values of `DISTINGUISHING`.
    """

    instance: Instance
    frame: int
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    slope: float
    intercept: float
    reference: str | None
    distinguishing: tuple[Any, ...]


def slices_of(instance: Instance, metadata: Json) -> list[Slice]:
    """Return the slices that an instance holds, one a frame.

    Parameters
    ----------
    instance : Instance
        From the index.
    metadata : mapping
        Its data set in the DICOM JSON model.

    Raises
    ------
    UnsuitableSeriesError
        If it is no image with values of one kind, or does not say where its frames lie.
    """
    _check_kind(instance, metadata)
    reference = text_of(metadata, "FrameOfReferenceUID")
    distinguishing = tuple(_values(metadata, keyword) or None for keyword in DISTINGUISHING)
    slices = []
    for frame, groups in enumerate(_frames(instance, metadata)):
        position = _numbers(groups, "ImagePositionPatient", 3)
        orientation = _numbers(groups, "ImageOrientationPatient", 6)
        spacing = _numbers(groups, "PixelSpacing", 2)
        if position is None or orientation is None or spacing is None or min(spacing) <= 0:
            raise UnsuitableSeriesError(
                instance.SeriesInstanceUID,
                "does not say where its images lie: Image Position, Image Orientation or Pixel Spacing is missing",
                "Choose a series of one volume.",
            )
        (slope,) = _numbers(groups, "RescaleSlope", 1) or (1.0,)
        (intercept,) = _numbers(groups, "RescaleIntercept", 1) or (0.0,)
        slices.append(
            Slice(instance, frame, position, orientation, spacing, slope, intercept, reference, distinguishing)
        )
    return slices


def _check_kind(instance: Instance, metadata: Json) -> None:
    if instance.pixels["pixel_data"] is None or instance.SOPClassUID in SEGMENTATIONS:
        problem = "holds objects that are no images"
    elif (instance.pixels["SamplesPerPixel"] or 1) > 1 or not (
        instance.pixels["PhotometricInterpretation"] or "MONOCHROME2"
    ).startswith("MONOCHROME"):
        problem = "is in colour"
    elif "LOCALIZER" in _values(metadata, "ImageType"):
        problem = "holds localizers, which are no part of a volume"
    elif _values(metadata, "ModalityLUTSequence"):
        problem = "has a look-up table for its values, of which models know nothing"
    else:
        return
    raise UnsuitableSeriesError(instance.SeriesInstanceUID, problem, "Choose a series of one volume.")


def _frames(instance: Instance, metadata: Json) -> Iterator[list[Json]]:
    """Yield for each frame where its attributes are looked for: its own groups, those of all frames, the data set."""
    number = instance.pixels["NumberOfFrames"] or 1
    shared = _macros(_values(metadata, "SharedFunctionalGroupsSequence")[:1])
    if number == 1:
        yield [*_macros(_values(metadata, "PerFrameFunctionalGroupsSequence")[:1]), *shared, metadata]
        return
    # Of several frames, one position tells nothing.
    common = [{tag: value for tag, value in item.items() if tag != _POSITION} for item in (*shared, metadata)]
    per_frame = _values(metadata, "PerFrameFunctionalGroupsSequence")
    for frame in range(number):
        yield [*_macros(per_frame[frame : frame + 1]), *common]


def _macros(items: Sequence[Json]) -> list[Json]:
    return [macro for item in items for keyword in _MACROS for macro in _values(item, keyword)[:1]]


def _numbers(groups: Sequence[Json], keyword: str, count: int) -> tuple[float, ...] | None:
    """Return the finite numbers of the first group that has so many of them."""
    for group in groups:
        try:
            numbers = tuple(map(float, _values(group, keyword)))
        except (TypeError, ValueError):
            continue
        if len(numbers) == count and all(map(isfinite, numbers)):
            return numbers
    return None


def text_of(item: Json, keyword: str) -> str | None:
    """Return the first value of an attribute, or None if it has none."""
    return next((str(value) for value in _values(item, keyword) if value), None)


def _values(item: Json, keyword: str) -> list[Any]:
    return item.get(_tag(keyword), {}).get("Value", [])


@cache
def _tag(keyword: str) -> str:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    return f"{tag:08X}"


_POSITION = _tag("ImagePositionPatient")
