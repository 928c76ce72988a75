"""The files that are measured: a deterministic mix of modalities, studies of MR images, and many tiny ones.

The mix repeats every 100 files: CT, MR with 74 KB of private blobs, enhanced MR, DX, MG, US, SR and SEG, in explicit
and implicit VR, with 120 to 1,330 elements. Headers are fully there. Native pixel data has its real length, but is a
hole at the end of a sparse file: 100,000 files take 3 GB of disk, not 110, and no header reader sees a difference.

The studies of MR images are like those of GE's scanners: 350 attributes, most of them private, and 28 KB of JSON each.
Between the images of a series some thirty values differ. A study has 3,036 images in 13 series, 12 of them of 240.

    python -m benchmarks.corpus FOLDER COUNT
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from pydicom import DataElement, Dataset, Sequence
from pydicom.datadict import dictionary_VM, dictionary_VR, private_dictionary_VR
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
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

BLOCK = 100  # files after which the mix repeats
VARIANTS = 4  # of each kind, with other values; every fourth is in implicit VR


def _uid(kind: int, number: int) -> str:
    return f"2.25.{kind}{number:036}"


# Stand-ins in the templates, as long as what replaces them in each file.
_INSTANCE, _SERIES, _STUDY = (_uid(kind, 99999999) for kind in (1, 2, 3))
_PATIENT, _NUMBER = "PATIENT-99999999", "99999999"

_COMMON = """
SpecificCharacterSet ImageType InstanceCreationDate InstanceCreationTime StudyDate SeriesDate AcquisitionDate
ContentDate StudyTime SeriesTime AcquisitionTime ContentTime AccessionNumber Manufacturer InstitutionName
InstitutionAddress ReferringPhysicianName StationName StudyDescription SeriesDescription InstitutionalDepartmentName
PerformingPhysicianName NameOfPhysiciansReadingStudy OperatorsName AdmittingDiagnosesDescription
ManufacturerModelName PatientName PatientBirthDate PatientSex OtherPatientIDs PatientAge PatientSize PatientWeight
EthnicGroup AdditionalPatientHistory PregnancyStatus BodyPartExamined DeviceSerialNumber SoftwareVersions
ProtocolName PatientPosition StudyID SeriesNumber AcquisitionNumber FrameOfReferenceUID PositionReferenceIndicator
RequestingPhysician RequestedProcedureDescription PerformedProcedureStepStartDate PerformedProcedureStepStartTime
PerformedProcedureStepID PerformedProcedureStepDescription CommentsOnThePerformedProcedureStep ProcedureCodeSequence
RequestAttributesSequence
"""
_PLANE = "SliceThickness ImagePositionPatient ImageOrientationPatient SliceLocation PixelSpacing"
_WINDOW = "WindowCenter WindowWidth RescaleIntercept RescaleSlope RescaleType WindowCenterWidthExplanation"
_CT = """
ScanOptions KVP DataCollectionDiameter ReconstructionDiameter DistanceSourceToDetector DistanceSourceToPatient
GantryDetectorTilt TableHeight RotationDirection ExposureTime XRayTubeCurrent Exposure FilterType GeneratorPower
FocalSpots ConvolutionKernel RevolutionTime SingleCollimationWidth TotalCollimationWidth TableSpeed
TableFeedPerRotation SpiralPitchFactor ExposureModulationType CTDIvol
"""
_MR = """
ScanningSequence SequenceVariant ScanOptions MRAcquisitionType SequenceName AngioFlag RepetitionTime EchoTime
InversionTime NumberOfAverages ImagingFrequency ImagedNucleus EchoNumbers MagneticFieldStrength SpacingBetweenSlices
NumberOfPhaseEncodingSteps EchoTrainLength PercentSampling PercentPhaseFieldOfView PixelBandwidth ReceiveCoilName
TransmitCoilName AcquisitionMatrix InPlanePhaseEncodingDirection FlipAngle VariableFlipAngleFlag SAR dBdt
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


#: Instances of the series of a study of MR images.
STUDY = (240,) * 12 + (156,)

_FIRST_MR = 50_000_000  # their UIDs follow those of the mix
_GE = """
InstanceCreatorUID ReferencedPerformedProcedureStepSequence TriggerTime
NominalInterval BeatRejectionFlag LowRRValue HighRRValue IntervalsAcquired IntervalsRejected
HeartRate CardiacNumberOfImages TriggerWindow ReconstructionDiameter ImagesInAcquisition TemporalPositionIdentifier
NumberOfTemporalPositions SmallestImagePixelValue LargestImagePixelValue PixelPaddingValue
"""
_GE_PRIVATE = (
    (0x0009, "GEMS_IDEN_01", 12),
    (0x0019, "GEMS_ACQU_01", 70),
    (0x0021, "GEMS_RELA_01", 25),
    (0x0023, "GEMS_STDY_01", 6),
    (0x0025, "GEMS_SERS_01", 8),
    (0x0027, "GEMS_IMAG_01", 32),
    (0x0029, "GEMS_IMPS_01", 14),
    (0x0043, "GEMS_PARM_01", 47),
)
_GE_BINARY = ((0x28, 80), (0x29, 1000), (0x2A, 1000), (0x2B, 8))
#: Stand-ins of values that differ between the images of a series.
_DIFFERING = tuple(f"{number}.777777" for number in range(701, 733))

Value = object
_WORDS = "axial body contrast delayed early frontal head knee late lung neck phase routine soft thorax venous"


class _Values:
    """Plausible values by VR, the same for the same seed."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        words = partial(self._words, 1)
        self._by_vr: dict[str, Callable[[], Value]] = {
            "AS": lambda: f"{self.random.randint(18, 90):03}Y",
            "CS": lambda: words().upper(),
            "DA": lambda: f"2026{self.random.randint(1, 12):02}{self.random.randint(1, 28):02}",
            "DS": lambda: f"{self.random.uniform(-500, 500):.6f}",
            "DT": lambda: f"202601051{self.random.randint(0, 9)}{self.random.randint(10, 59)}00.123456",
            "FD": lambda: self.random.uniform(-500, 500),
            "FL": lambda: self.random.randint(-4000, 4000) / 8,
            "IS": lambda: str(self.random.randint(0, 5000)),
            "LO": partial(self._words, 3),
            "LT": partial(self._words, 12),
            "PN": lambda: f"Phantom^{words().title()}",
            "SH": words,
            "ST": partial(self._words, 9),
            "TM": lambda: f"{self.random.randint(8, 18):02}{self.random.randint(0, 59):02}31.250000",
            "UI": lambda: _uid(4, self.random.randint(0, 10**8 - 2)),
            "UT": partial(self._words, 30),
        }

    def _words(self, count: int) -> str:
        return " ".join(self.random.choices(_WORDS.split(), k=count))

    def of(self, vr: str, multiplicity: str = "1") -> Value:
        """A value of this VR, with the least number of values that its multiplicity asks for, two if it has no end."""
        if vr == "SQ":
            return Sequence([self.code()])
        if vr in ("OB", "UN"):
            return self.random.randbytes(64)
        one = self._by_vr.get(vr, lambda: self.random.randint(0, 200))
        count = 2 if multiplicity.endswith("n") else int(multiplicity.split("-")[0])
        return one() if count == 1 else [one() for _ in range(count)]

    def fill(self, dataset: Dataset, *keywords: str) -> Dataset:
        """Give the data set these attributes; each string names some."""
        for keyword in " ".join(keywords).split():
            tag = Tag(keyword)
            dataset[tag] = DataElement(tag, dictionary_VR(tag), self.of(dictionary_VR(tag), dictionary_VM(tag)))
        return dataset

    def code(self) -> Dataset:
        """A coded concept."""
        return self.fill(Dataset(), "CodeValue CodingSchemeDesignator CodeMeaning")

    def private(self, dataset: Dataset, group: int, creator: str, most: int, numbers: str = "1") -> None:
        """Add up to `most` elements that this private creator is known for, with so many numbers in each DS and FL."""
        block = dataset.private_block(group, creator, create=True)
        for offset in range(256):
            try:
                vr = private_dictionary_VR(Tag(group, 0x1000 + offset), creator)
            except KeyError:
                continue
            if vr not in ("OB", "OW", "SQ", "UN") and most > 0:
                most -= 1
                block.add_new(offset, vr, self.of(vr, numbers if vr in ("DS", "FL") else "1"))


def _image(dataset: Dataset, rows: int, columns: int, samples: int = 1, bits: int = 16, frames: int = 1) -> int:
    """Describe native pixel data, and return its length in bytes."""
    dataset.SamplesPerPixel = samples
    dataset.PhotometricInterpretation = "RGB" if samples == 3 else "MONOCHROME2"
    if samples == 3:
        dataset.PlanarConfiguration = 0
    if frames > 1:
        dataset.NumberOfFrames = frames
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = 0
    return rows * columns * samples * frames * bits // 8


def _ct(dataset: Dataset, values: _Values) -> int:
    values.fill(dataset, _PLANE, _WINDOW, _CT)
    values.private(dataset, 0x0043, "GEMS_PARM_01", 12)
    return _image(dataset, 512, 512)


def _mr(dataset: Dataset, values: _Values) -> int:
    values.fill(dataset, _PLANE, "WindowCenter WindowWidth", _MR)
    values.private(dataset, 0x0019, "SIEMENS MR HEADER", 20)
    values.private(dataset, 0x0051, "SIEMENS MR HEADER", 12)
    csa = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    csa.add_new(0x10, "OB", values.random.randbytes(11 * 1024))
    csa.add_new(0x20, "OB", values.random.randbytes(63 * 1024))
    return _image(dataset, 256, 256)


def _enhanced_mr(dataset: Dataset, values: _Values) -> int:
    frames = 46
    values.fill(dataset, "ScanningSequence SequenceVariant MRAcquisitionType ImagedNucleus MagneticFieldStrength")
    dataset.PerFrameFunctionalGroupsSequence = Sequence(_frame(values) for _ in range(frames))
    return _image(dataset, 256, 256, frames=frames)


def _frame(values: _Values) -> Dataset:
    frame = Dataset()
    for sequence, keywords in _FRAME.items():
        setattr(frame, sequence, Sequence([values.fill(Dataset(), keywords)]))
    return frame


def _dx(dataset: Dataset, values: _Values) -> int:
    values.fill(dataset, _WINDOW, _X_RAY)
    return _image(dataset, 1800, 1500)


def _mg(dataset: Dataset, values: _Values) -> int:
    values.fill(dataset, _WINDOW, _X_RAY, _MAMMO)
    values.private(dataset, 0x0045, "GEMS_SENO_02", 20)
    return _image(dataset, 2294, 1914)


def _us(dataset: Dataset, values: _Values) -> int:
    values.fill(dataset, _ULTRASOUND)
    region = (
        "RegionSpatialFormat RegionDataType RegionFlags RegionLocationMinX0 RegionLocationMinY0 RegionLocationMaxX1 "
    )
    region += "RegionLocationMaxY1 PhysicalUnitsXDirection PhysicalUnitsYDirection PhysicalDeltaX PhysicalDeltaY"
    regions = [values.fill(Dataset(), region) for _ in range(3)]
    dataset.SequenceOfUltrasoundRegions = Sequence(regions)
    _image(dataset, 600, 800, samples=3, bits=8)
    dataset.PixelData = encapsulate([bytes(40_000)])
    return 0


def _sr(dataset: Dataset, values: _Values) -> int:
    values.fill(dataset, "CompletionFlag VerificationFlag ValueType ConceptNameCodeSequence")
    dataset.ContentSequence = Sequence(_content(values, depth=2) for _ in range(3))
    return 0


def _content(values: _Values, depth: int) -> Dataset:
    """A content item with three items below it, down to `depth`."""
    item = values.fill(Dataset(), "RelationshipType ValueType ConceptNameCodeSequence TextValue")
    if depth > 1:
        item.ContentSequence = Sequence(_content(values, depth - 1) for _ in range(3))
    return item


def _seg(dataset: Dataset, values: _Values) -> int:
    frames = 8
    segment = "SegmentNumber SegmentLabel SegmentAlgorithmType SegmentedPropertyTypeCodeSequence"
    dataset.SegmentSequence = Sequence(values.fill(Dataset(), segment) for _ in range(5))
    dataset.PerFrameFunctionalGroupsSequence = Sequence(_frame(values) for _ in range(frames))
    return _image(dataset, 512, 512, bits=1, frames=frames)


@dataclass(frozen=True)
class _Kind:
    """A kind of object, and how many of each 100 files are of it."""

    modality: str
    sop_class: str
    share: int
    build: Callable[[Dataset, _Values], int]  # adds the kind's attributes, returns the length of native pixel data


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


@dataclass(frozen=True)
class Template:
    """A file but for what tells it from others of its kind.

    Attributes
    ----------
    name : str
        Begin of the file's name.
    head : bytes
        All bytes up to the value of native pixel data.
    hole : int
        Length of that value.
    """

    name: str
    head: bytes
    hole: int

    def write(self, path: Path, number: int) -> None:
        """Write file `number` of a corpus; its study is the block it belongs to."""
        study = number // BLOCK
        head = self.head
        for stand_in, value in (
            (_INSTANCE, _uid(1, number)),
            (_SERIES, _uid(2, study)),
            (_STUDY, _uid(3, study)),
            (_PATIENT, f"PATIENT-{study:08}"),
            (_NUMBER, f"{number:08}"),
        ):
            head = head.replace(stand_in.encode(), value.encode())
        with path.open("wb") as file:
            file.write(head)
            if self.hole:
                file.truncate(len(head) + self.hole)


def _template(kind: _Kind, variant: int) -> Template:
    values = _Values(f"{kind.sop_class} {variant}")
    dataset = Dataset()
    values.fill(dataset, _COMMON)
    dataset.SpecificCharacterSet = "ISO_IR 100"
    hole = kind.build(dataset, values)
    encapsulated = "PixelData" in dataset
    implicit = variant == VARIANTS - 1 and not encapsulated
    syntax = JPEGBaseline8Bit if encapsulated else ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    if hole:
        dataset.PixelData = bytes(hole)
    encoded = _encoded(dataset, kind, syntax)
    return Template(kind.modality.lower(), encoded[: len(encoded) - hole], hole)


def _encoded(dataset: Dataset, kind: _Kind, syntax: UID) -> bytes:
    dataset.SOPClassUID, dataset.SOPInstanceUID = kind.sop_class, _INSTANCE
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = _STUDY, _SERIES
    dataset.PatientID, dataset.InstanceNumber, dataset.Modality = _PATIENT, _NUMBER, kind.modality
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _block() -> list[list[Template]]:
    """The templates of a block's files, in an order without runs of one kind: for each its variants."""
    files = [[_template(kind, variant) for variant in range(VARIANTS)] for kind in _KINDS]
    block = [variants for kind, variants in zip(_KINDS, files, strict=True) for _ in range(kind.share)]
    random.Random(0).shuffle(block)
    return block


class Series(NamedTuple):
    """A series on disk: its UID, and UID and path of each instance."""

    uid: str
    instances: list[str]
    paths: list[Path]


class Study(NamedTuple):
    """A study on disk."""

    uid: str
    series: list[Series]


def mr_study(folder: Path, number: int, sizes: tuple[int, ...] = STUDY, *, protocol: bool = False) -> Study:
    """Make a study of MR images in a folder of its own, unless it is there.

    Parameters
    ----------
    folder : pathlib.Path
        Where the study's folder goes.
    number : int
        Of the study, which tells it from others, from 0 to 99. Of study 0 the pixel data is noise, of others a hole.
    sizes : tuple of int
        Instances of each series.
    protocol : bool
        Whether each image carries its scan protocol, 5 KB: a value that becomes bulk data.
    """
    uid = _uid(3, _FIRST_MR + number)
    place = folder / f"study-{number:02}"
    template = _mr_template(protocol)
    complete = folder.with_name(f"{folder.name}-{place.name}.complete")  # not in the folder, which is ingested
    study = Study(uid, [])
    for series_number, size in enumerate(sizes):
        series_place = place / f"series-{series_number:02}"
        first = _FIRST_MR + number * 100_000 + series_number * 1000
        instances = [_uid(1, first + at) for at in range(size)]
        paths = [series_place / f"mr-{at:04}.dcm" for at in range(size)]
        series = Series(_uid(2, first), instances, paths)
        study.series.append(series)
        if complete.exists():
            continue
        series_place.mkdir(parents=True, exist_ok=True)
        for at, (instance, path) in enumerate(zip(instances, paths, strict=True)):
            head = template.head
            for stand_in, value in (
                (_INSTANCE, instance),
                (_SERIES, series.uid),
                (_STUDY, uid),
                (_PATIENT, f"PATIENT-{number:08}"),
                (_NUMBER, f"{at + 1:08}"),
                *_differing(first + at),
            ):
                head = head.replace(stand_in.encode(), value.encode())
            pixels = b"" if number else random.Random(first + at).randbytes(template.hole)
            with path.open("wb") as file:
                file.write(head + pixels)
                file.truncate(len(head) + template.hole)
    complete.touch()
    return study


def _differing(seed: int) -> Iterator[tuple[str, str]]:
    """Yield what differs between the images of a series: stand-ins and values of the same length."""
    values = random.Random(seed)
    for stand_in in _DIFFERING:
        yield stand_in, f"{values.uniform(100, 999):.6f}"


@cache
def _mr_template(protocol: bool) -> Template:
    values = _Values("GE")
    dataset = Dataset()
    values.fill(dataset, _COMMON, _PLANE, "WindowCenter WindowWidth", _MR, _GE)
    dataset.SpecificCharacterSet = "ISO_IR 100"
    for group, creator, most in _GE_PRIVATE:
        values.private(dataset, group, creator, most, numbers="14")
    parameters = dataset.private_block(0x0043, "GEMS_PARM_01")
    for offset, size in _GE_BINARY:
        parameters.add_new(offset, "OB", values.random.randbytes(size))
    if protocol:
        dataset.private_block(0x0025, "GEMS_SERS_01").add_new(0x1B, "OB", values.random.randbytes(5 * 1024))
    dataset.ReferencedImageSequence = Sequence(
        values.fill(Dataset(), "ReferencedSOPClassUID ReferencedSOPInstanceUID") for _ in range(9)
    )
    differing = iter(_DIFFERING)
    for element in dataset:
        if element.VR != "DS":
            continue
        count = element.VM
        some = [stand_in for stand_in, _ in zip(differing, range(count), strict=False)]
        if len(some) == count:
            element.value = some
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    hole = _image(dataset, 256, 256)
    dataset.PixelData = bytes(hole)
    encoded = _encoded(dataset, _Kind("MR", MRImageStorage, 0, _mr), ExplicitVRLittleEndian)
    return Template("mr", encoded[: len(encoded) - hole], hole)


def large(path: Path, size: int) -> str:
    """Make a multi-frame image of about this size in bytes, mostly a hole, and return its Study Instance UID."""
    dataset = _Values("large").fill(Dataset(), "StudyDate StudyTime PatientName StudyID SeriesNumber")
    hole = _image(dataset, 512, 512, frames=max(2, size // (512 * 512 * 2)))
    dataset.PixelData = b""
    kind = _Kind("OT", MultiFrameGrayscaleWordSecondaryCaptureImageStorage, 0, lambda *_: 0)
    head = _encoded(dataset, kind, ExplicitVRLittleEndian)[:-4] + hole.to_bytes(4, "little")
    Template("ot", head, hole).write(path, size % 10**7)
    return _uid(3, size % 10**7 // BLOCK)


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
        dataset = _Values("tiny").fill(
            Dataset(), "StudyDate StudyTime PatientName PatientBirthDate PatientSex StudyID SeriesNumber"
        )
        kind = _Kind("OT", SecondaryCaptureImageStorage, BLOCK, lambda *_: 0)
        return [[Template("ot", _encoded(dataset, kind, ExplicitVRLittleEndian), 0)] * VARIANTS] * BLOCK

    return _written(folder, count, block)


def _written(folder: Path, count: int, make_block: Callable[[], list[list[Template]]]) -> list[str]:
    block = make_block()
    complete = folder.with_suffix(".complete")
    paths = list(_paths(folder, count, block))
    if not complete.exists():
        for number, (path, template) in enumerate(paths):
            if number % BLOCK == 0:
                path.parent.mkdir(parents=True, exist_ok=True)
            template.write(path, number)
        complete.touch()
    return [str(path) for path, _ in paths]


def _paths(folder: Path, count: int, block: list[list[Template]]) -> Iterator[tuple[Path, Template]]:
    for number in range(count):
        study, place = divmod(number, BLOCK)
        template = block[place][study % VARIANTS]
        yield folder / f"study-{study:05}" / f"{template.name}-{place:02}.dcm", template


if __name__ == "__main__":
    print(len(mixed(Path(sys.argv[1]), int(sys.argv[2]))), "files")
