"""DICOM Segmentations (PS3.3 A.51): written of what a model found, and read as a labelmap on the grid of a series."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import iter_pixels
from pydicom.uid import CTImageStorage, generate_uid

from dbx.pixels import __version__
from dbx.pixels.ai.extra import extra_ai
from dbx.pixels.ai.segment_codes import meaning_of
from dbx.pixels.ai.segment_frames import segment_frames, unsuitable
from dbx.pixels.ai.segmented import Segmented
from dbx.pixels.ai.series import Series
from dbx.pixels.ai.slices import Slice
from dbx.pixels.catalog.arrivals import SEGMENTATIONS
from dbx.pixels.dicom.quiet import quiet
from dbx.pixels.dicom.sources import open_file
from dbx.pixels.index import Instance
from dbx.pixels.storage import open_object

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription

#: Where viewers list it: behind the series of scanners, before those that are drawn by hand.
_SERIES_NUMBER = 3000
#: Longest value of VR LO (PS3.5 table 6.2-1).
_LO_CHARACTERS = 64

#: What highdicom asks its source for; images may lack it.
_NEEDED = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)


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
    """Make the DICOM Segmentation of what was found: BINARY, one segment for each label that was found.

    Parameters
    ----------
    segmented : Segmented
        What was found, by a model; without the name of one, by hand.
    series_description : str, optional
        Series Description (0008,103E); model and version by default.

    Returns
    -------
    pydicom.Dataset
        With file meta information: ``save_as`` writes a file. If nothing was found it has the first label as a segment
        of one frame without a pixel.

    Raises
    ------
    EngineError
        If highdicom is not installed.
    """
    with extra_ai():
        from highdicom import PlanePositionSequence
        from highdicom.enum import CoordinateSystemNames
        from highdicom.seg import Segmentation, SegmentationTypeValues

    series, labelmap = segmented.series, segmented.labelmap
    found = [name for name, value in segmented.labels.items() if value and segmented.voxels[value]]
    numbers = np.zeros(256, np.uint8)
    for number, name in enumerate(found, 1):
        numbers[segmented.labels[name]] = number
    used = np.flatnonzero(labelmap.any(axis=(1, 2))) if found else np.array([0])
    sources = [_source(series, one) for one in series.slices]
    _describe_patient(sources[0], series.header)
    segmentation = Segmentation(
        source_images=sources,
        pixel_array=numbers[labelmap[used]],
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=_descriptions(segmented, found or list(segmented.labels)[:1]),
        omit_empty_frames=bool(found),
        plane_positions=[
            PlanePositionSequence(CoordinateSystemNames.PATIENT, series.slices[at].position) for at in used
        ],
        series_instance_uid=generate_uid(),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="Pixels",
        manufacturer_model_name="Pixels",
        software_versions=__version__,
        device_serial_number="1",
        content_label="SEGMENTATION",
        specific_character_set="ISO_IR 192",
        series_description=(series_description or f"{segmented.model} {segmented.version}".strip())[:_LO_CHARACTERS],
    )
    _refer(segmentation, dict(zip((source.SOPInstanceUID for source in sources), series.slices, strict=True)))
    return segmentation


def _descriptions(segmented: Segmented, names: Sequence[str]) -> list[SegmentDescription]:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
    from pydicom.sr.codedict import codes

    kind, algorithm = SegmentAlgorithmTypeValues.MANUAL, None
    if segmented.model:
        kind = SegmentAlgorithmTypeValues.AUTOMATIC
        algorithm = AlgorithmIdentificationSequence(
            name=segmented.model, version=segmented.version, family=codes.DCM.ArtificialIntelligence, source="Pixels"
        )
    descriptions = []
    for number, name in enumerate(names, 1):
        meaning = meaning_of(name)
        description = SegmentDescription(
            segment_number=number,
            segment_label=name[:_LO_CHARACTERS],
            segmented_property_category=meaning.category,
            segmented_property_type=meaning.kind,
            algorithm_type=kind,
            algorithm_identification=algorithm,
        )
        if meaning.side:
            side = Dataset()
            side.CodeValue, side.CodingSchemeDesignator, side.CodeMeaning = meaning.side[:3]
            description.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [side]
        descriptions.append(description)
    return descriptions


def _source(series: Series, one: Slice) -> Dataset:
    """Return what highdicom looks at of an image: one a slice, be it an object of its own or a frame among others."""
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID, image.Modality = CTImageStorage, generate_uid(), series.Modality
    image.StudyInstanceUID, image.SeriesInstanceUID = series.StudyInstanceUID, series.SeriesInstanceUID
    image.FrameOfReferenceUID = one.reference or generate_uid(entropy_srcs=["reference", series.SeriesInstanceUID])
    _, image.Rows, image.Columns = series.shape
    image.ImagePositionPatient = list(one.position)
    image.ImageOrientationPatient = list(series.slices[0].orientation)
    image.PixelSpacing = list(series.slices[0].spacing)
    image.SliceThickness = image.SpacingBetweenSlices = series.spacing[0]
    return image


def _describe_patient(image: Dataset, header: Dataset) -> None:
    """Add what the segmentation takes over of its source: patient, study, whether its compression was lossy."""
    image.update({element.tag: element for element in header if element.tag not in image})
    for keyword in _NEEDED:
        if keyword not in image:
            setattr(image, keyword, "")


def _refer(segmentation: Dataset, slices: Mapping[str, Slice]) -> None:
    """Let a segmentation refer to the instances and frames that its sources, given by their UIDs, stand for."""
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        (source,) = frame.DerivationImageSequence[0].SourceImageSequence
        one = slices.get(source.ReferencedSOPInstanceUID)
        if one is None:
            continue  # frames of several segments share the item
        source.update(_reference(one.instance))
        if one.instance.pixels["NumberOfFrames"]:
            source.ReferencedFrameNumber = one.frame + 1
    instances = {one.instance.SOPInstanceUID: one.instance for one in slices.values()}
    references = [_reference(instance) for instance in instances.values()]
    segmentation.SourceImageSequence = references
    segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence = references


def _reference(instance: Instance) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = instance.SOPClassUID
    reference.ReferencedSOPInstanceUID = instance.SOPInstanceUID
    return reference


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
    dataset = segmentation if isinstance(segmentation, Dataset) else _read(segmentation)
    if dataset.get("SOPClassUID") not in SEGMENTATIONS:
        raise unsuitable(dataset, "is no segmentation")
    names = {int(item.SegmentNumber): str(item.get("SegmentLabel", "")) for item in dataset.get("SegmentSequence", [])}
    if labels is None:
        labels = {name: number for number, name in sorted(names.items())}
    values = np.zeros(max(names, default=0) + 1, np.uint8)
    for number, name in names.items():
        if not 0 <= labels.get(name, 0) <= 255:
            raise unsuitable(dataset, f"has {len(names)} segments: a labelmap holds 255")
        values[number] = labels.get(name, 0)
    numbers = np.zeros(series.shape, np.uint16)
    for place, segments in _frames(dataset, series):
        highest = int(segments.max())
        if highest and highest not in names:
            raise unsuitable(dataset, f"it has pixels of segment {highest}, and describes none of this number")
        segments[values[segments] == 0] = 0  # what is left out hides nothing
        np.maximum(numbers[place], segments, out=numbers[place])
    return Labelmap(values[numbers], dict(labels))


def _read(instance: Instance) -> Dataset:
    with open_object(instance.local_path, instance.length) as reader, quiet():
        return pydicom.dcmread(open_file(reader))


def _frames(dataset: Dataset, series: Series) -> Iterator[tuple[int, NDArray[np.uint16]]]:
    """Yield the place of each frame among the slices, and the numbers of the segments that its pixels belong to."""
    frames = list(segment_frames(dataset, series))
    if not frames:
        return
    half = (dataset.get("MaximumFractionalValue", 1) + 1) // 2
    try:
        for frame, pixels in zip(frames, iter_pixels(dataset), strict=True):
            if frame.segment is None:
                yield frame.place, pixels.astype(np.uint16)
            else:
                yield frame.place, (pixels >= half) * np.uint16(frame.segment)
    except Exception as error:  # pydicom's codecs raise whatever bad data leads to
        raise unsuitable(dataset, f"its pixel data cannot be read: {error}") from error
