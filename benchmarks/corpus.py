"""The files that are measured: a deterministic mix of modalities, many tiny ones, and a large one.

The mix repeats every 100 files: CT, MR with 74 KB of private blobs, enhanced MR, DX, MG, US, SR and SEG, in explicit
and implicit VR, with 120 to 1,330 elements. Headers are fully there. Native pixel data has its real length, but is a
hole at the end of a sparse file: 100,000 files take 3 GB of disk, not 110, and no header reader sees a difference.

    python -m benchmarks.corpus FOLDER COUNT
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, Sequence
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
    EnhancedMRImageStorage,
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    MRImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    UltrasoundImageStorage,
)

from benchmarks.attributes import COMMON, MR, PLANE
from benchmarks.synthetic import Template, Values, describe_image, encoded, identified, uid

BLOCK = 100  # files after which the mix repeats
VARIANTS = 4  # of each kind, with other values; every fourth is in implicit VR

_WINDOW = "WindowCenter WindowWidth RescaleIntercept RescaleSlope RescaleType WindowCenterWidthExplanation"
_CT = """
ScanOptions KVP DataCollectionDiameter ReconstructionDiameter DistanceSourceToDetector DistanceSourceToPatient
GantryDetectorTilt TableHeight RotationDirection ExposureTime XRayTubeCurrent Exposure FilterType GeneratorPower
FocalSpots ConvolutionKernel RevolutionTime SingleCollimationWidth TotalCollimationWidth TableSpeed
TableFeedPerRotation SpiralPitchFactor ExposureModulationType CTDIvol
"""
_X_RAY = """
KVP DistanceSourceToDetector DistanceSourceToPatient ExposureTime XRayTubeCurrent Exposure ExposureInuAs
ImageAndFluoroscopyAreaDoseProduct FilterType ImagerPixelSpacing Grid FocalSpots DetectorTemperature DetectorType
DetectorDescription DetectorID ViewPosition FieldOfViewShape FieldOfViewDimensions RelativeXRayExposure
PatientOrientation ImageLaterality LossyImageCompression PresentationLUTShape AnatomicRegionSequence
ViewCodeSequence
"""
_MAMMO = """
CompressionForce BodyPartThickness OrganExposed EntranceDoseInmGy HalfValueLayer AnodeTargetMaterial FilterMaterial
PartialView BreastImplantPresent PositionerPrimaryAngle BurnedInAnnotation
"""
_ULTRASOUND = """
TransducerData FocusDepth ProcessingFunction MechanicalIndex BoneThermalIndex SoftTissueThermalIndex
DepthOfScanField LossyImageCompression LossyImageCompressionRatio FrameTime CineRate HeartRate BurnedInAnnotation
"""
_FRAME = {
    "FrameContentSequence": "FrameAcquisitionNumber FrameReferenceDateTime FrameAcquisitionDateTime "
    "FrameAcquisitionDuration StackID InStackPositionNumber TemporalPositionIndex DimensionIndexValues",
    "PlanePositionSequence": "ImagePositionPatient",
    "PlaneOrientationSequence": "ImageOrientationPatient",
    "PixelMeasuresSequence": "SliceThickness PixelSpacing SpacingBetweenSlices",
    "FrameVOILUTSequence": "WindowCenter WindowWidth WindowCenterWidthExplanation",
    "PixelValueTransformationSequence": "RescaleIntercept RescaleSlope RescaleType",
    "MREchoSequence": "EffectiveEchoTime",
}


def _ct(dataset: Dataset, values: Values) -> int:
    values.fill(dataset, PLANE, _WINDOW, _CT)
    values.private(dataset, 0x0043, "GEMS_PARM_01", 12)
    return describe_image(dataset, 512, 512)


def _mr(dataset: Dataset, values: Values) -> int:
    values.fill(dataset, PLANE, "WindowCenter WindowWidth", MR)
    values.private(dataset, 0x0019, "SIEMENS MR HEADER", 20)
    values.private(dataset, 0x0051, "SIEMENS MR HEADER", 12)
    csa = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    csa.add_new(0x10, "OB", values.random.randbytes(11 * 1024))
    csa.add_new(0x20, "OB", values.random.randbytes(63 * 1024))
    return describe_image(dataset, 256, 256)


def _enhanced_mr(dataset: Dataset, values: Values) -> int:
    frames = 46
    values.fill(dataset, "ScanningSequence SequenceVariant MRAcquisitionType ImagedNucleus MagneticFieldStrength")
    dataset.PerFrameFunctionalGroupsSequence = Sequence(_frame(values) for _ in range(frames))
    return describe_image(dataset, 256, 256, frames=frames)


def _frame(values: Values) -> Dataset:
    frame = Dataset()
    for sequence, keywords in _FRAME.items():
        setattr(frame, sequence, Sequence([values.fill(Dataset(), keywords)]))
    return frame


def _dx(dataset: Dataset, values: Values) -> int:
    values.fill(dataset, _WINDOW, _X_RAY)
    return describe_image(dataset, 1800, 1500)


def _mg(dataset: Dataset, values: Values) -> int:
    values.fill(dataset, _WINDOW, _X_RAY, _MAMMO)
    values.private(dataset, 0x0045, "GEMS_SENO_02", 20)
    return describe_image(dataset, 2294, 1914)


def _us(dataset: Dataset, values: Values) -> int:
    values.fill(dataset, _ULTRASOUND)
    region = (
        "RegionSpatialFormat RegionDataType RegionFlags RegionLocationMinX0 RegionLocationMinY0 RegionLocationMaxX1 "
    )
    region += "RegionLocationMaxY1 PhysicalUnitsXDirection PhysicalUnitsYDirection PhysicalDeltaX PhysicalDeltaY"
    regions = [values.fill(Dataset(), region) for _ in range(3)]
    dataset.SequenceOfUltrasoundRegions = Sequence(regions)
    describe_image(dataset, 600, 800, samples=3, bits=8)
    dataset.PixelData = encapsulate([bytes(40_000)])
    return 0


def _sr(dataset: Dataset, values: Values) -> int:
    values.fill(dataset, "CompletionFlag VerificationFlag ValueType ConceptNameCodeSequence")
    dataset.ContentSequence = Sequence(_content(values, depth=2) for _ in range(3))
    return 0


def _content(values: Values, depth: int) -> Dataset:
    """A content item with three items below it, down to `depth`."""
    item = values.fill(Dataset(), "RelationshipType ValueType ConceptNameCodeSequence TextValue")
    if depth > 1:
        item.ContentSequence = Sequence(_content(values, depth - 1) for _ in range(3))
    return item


def _seg(dataset: Dataset, values: Values) -> int:
    frames = 8
    segment = "SegmentNumber SegmentLabel SegmentAlgorithmType SegmentedPropertyTypeCodeSequence"
    dataset.SegmentSequence = Sequence(values.fill(Dataset(), segment) for _ in range(5))
    dataset.PerFrameFunctionalGroupsSequence = Sequence(_frame(values) for _ in range(frames))
    return describe_image(dataset, 512, 512, bits=1, frames=frames)


@dataclass(frozen=True)
class _Kind:
    """A kind of object, and how many of each 100 files are of it."""

    modality: str
    sop_class: str
    share: int
    build: Callable[[Dataset, Values], int]  # adds the kind's attributes, returns the length of native pixel data


_KINDS = (
    _Kind("CT", CTImageStorage, 46, _ct),
    _Kind("MR", MRImageStorage, 27, _mr),
    _Kind("MR", EnhancedMRImageStorage, 1, _enhanced_mr),
    _Kind("DX", DigitalXRayImageStorageForPresentation, 7, _dx),
    _Kind("MG", DigitalMammographyXRayImageStorageForPresentation, 4, _mg),
    _Kind("US", UltrasoundImageStorage, 8, _us),
    _Kind("SR", EnhancedSRStorage, 5, _sr),
    _Kind("SEG", SegmentationStorage, 2, _seg),
)


def _template(kind: _Kind, variant: int) -> Template:
    values = Values(f"{kind.sop_class} {variant}")
    dataset = Dataset()
    values.fill(dataset, COMMON)
    dataset.SpecificCharacterSet = "ISO_IR 100"
    hole = kind.build(dataset, values)
    encapsulated = "PixelData" in dataset
    implicit = variant == VARIANTS - 1 and not encapsulated
    syntax = JPEGBaseline8Bit if encapsulated else ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    if hole:
        dataset.PixelData = bytes(hole)
    whole = encoded(dataset, kind.modality, kind.sop_class, syntax)
    return Template(kind.modality.lower(), whole[: len(whole) - hole], hole)


def _block() -> list[list[Template]]:
    """The templates of a block's files, in an order without runs of one kind: for each its variants."""
    files = [[_template(kind, variant) for variant in range(VARIANTS)] for kind in _KINDS]
    block = [variants for kind, variants in zip(_KINDS, files, strict=True) for _ in range(kind.share)]
    random.Random(0).shuffle(block)
    return block


def large(path: Path, size: int) -> str:
    """Make a multi-frame image of about this size in bytes, mostly a hole, and return its Study Instance UID."""
    dataset = Values("large").fill(Dataset(), "StudyDate StudyTime PatientName StudyID SeriesNumber")
    hole = describe_image(dataset, 512, 512, frames=max(2, size // (512 * 512 * 2)))
    dataset.PixelData = b""
    sop_class = MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    head = encoded(dataset, "OT", sop_class, ExplicitVRLittleEndian)[:-4] + hole.to_bytes(4, "little")
    number = size % 10**7
    Template("ot", head, hole).write(path, _identified(number))
    return uid(3, number // BLOCK)


def mixed(folder: Path, count: int) -> list[str]:
    """Make the mixed corpus, unless it is there.

    Parameters
    ----------
    folder : pathlib.Path
        Where the files go, a folder for each 100.
    count : int
        How many; any multiple of 100 holds the mix exactly.

    Returns
    -------
    list of str
        The paths, in the order in which the mix repeats.
    """
    return _written(folder, count, _block)


def tiny(folder: Path, count: int) -> list[str]:
    """Make files of 1 KB, for what depends on the number of files only. Parameters and result as for `mixed`."""

    def block() -> list[list[Template]]:
        dataset = Values("tiny").fill(
            Dataset(), "StudyDate StudyTime PatientName PatientBirthDate PatientSex StudyID SeriesNumber"
        )
        whole = encoded(dataset, "OT", SecondaryCaptureImageStorage, ExplicitVRLittleEndian)
        return [[Template("ot", whole, 0)] * VARIANTS] * BLOCK

    return _written(folder, count, block)


def _written(folder: Path, count: int, make_block: Callable[[], list[list[Template]]]) -> list[str]:
    block = make_block()
    complete = folder.with_suffix(".complete")
    paths = list(_paths(folder, count, block))
    if not complete.exists():
        for number, (path, template) in enumerate(paths):
            if number % BLOCK == 0:
                path.parent.mkdir(parents=True, exist_ok=True)
            template.write(path, _identified(number))
        complete.touch()
    return [str(path) for path, _ in paths]


def _identified(number: int) -> list[tuple[str, str]]:
    """Return what tells file `number` of a corpus from others; its series and study are the block it belongs to."""
    study = number // BLOCK
    return identified(uid(1, number), uid(2, study), uid(3, study), study, number)


def _paths(folder: Path, count: int, block: list[list[Template]]) -> Iterator[tuple[Path, Template]]:
    for number in range(count):
        study, place = divmod(number, BLOCK)
        template = block[place][study % VARIANTS]
        yield folder / f"study-{study:05}" / f"{template.name}-{place:02}.dcm", template


if __name__ == "__main__":
    print(len(mixed(Path(sys.argv[1]), int(sys.argv[2]))), "files")
