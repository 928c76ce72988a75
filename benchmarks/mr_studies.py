"""Studies of MR images as a server holds them.

They are like those of GE's scanners: 350 attributes, most of them private, and 28 KB of JSON each. Between the images
of a series some thirty values differ. A study has 3,036 images in 13 series, 12 of them of 240.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pydicom import Dataset, Sequence
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from benchmarks.attributes import COMMON, MR, PLANE
from benchmarks.synthetic import Template, Values, describe_image, encoded, identified, uid

#: Instances of the series of a study of MR images.
STUDY = (240,) * 12 + (156,)

_FIRST = 50_000_000  # their UIDs follow those of the mix
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
    place = folder / f"study-{number:02}"
    template = _mr_template(protocol)
    complete = folder.with_name(f"{folder.name}-{place.name}.complete")  # not in the folder, which is ingested
    study = Study(uid(3, _FIRST + number), [])
    for series_number, size in enumerate(sizes):
        series_place = place / f"series-{series_number:02}"
        first = _FIRST + number * 100_000 + series_number * 1000
        instances = [uid(1, first + at) for at in range(size)]
        paths = [series_place / f"mr-{at:04}.dcm" for at in range(size)]
        series = Series(uid(2, first), instances, paths)
        study.series.append(series)
        if complete.exists():
            continue
        series_place.mkdir(parents=True, exist_ok=True)
        for at, (instance, path) in enumerate(zip(instances, paths, strict=True)):
            identity = identified(instance, series.uid, study.uid, number, at + 1)
            pixels = b"" if number else random.Random(first + at).randbytes(template.hole)
            template.write(path, (*identity, *_differing(first + at)), pixels)
    complete.touch()
    return study


def _differing(seed: int) -> Iterator[tuple[str, str]]:
    """Yield what differs between the images of a series: stand-ins and values of the same length."""
    values = random.Random(seed)
    for stand_in in _DIFFERING:
        yield stand_in, f"{values.uniform(100, 999):.6f}"


@cache
def _mr_template(protocol: bool) -> Template:
    values = Values("GE")
    dataset = Dataset()
    values.fill(dataset, COMMON, PLANE, "WindowCenter WindowWidth", MR, _GE)
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
    hole = describe_image(dataset, 256, 256)
    dataset.PixelData = bytes(hole)
    whole = encoded(dataset, "MR", MRImageStorage, ExplicitVRLittleEndian)
    return Template("mr", whole[: len(whole) - hole], hole)
