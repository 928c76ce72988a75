"""Synthetic objects: plausible values by VR, and templates from which many files are written quickly."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

from pydicom import DataElement, Dataset, Sequence
from pydicom.datadict import dictionary_VM, dictionary_VR, private_dictionary_VR
from pydicom.dataset import FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import UID


def uid(kind: int, number: int) -> str:
    """Return a UID of an instance (1), a series (2), a study (3) or of something else (4)."""
    return f"2.25.{kind}{number:036}"


# Stand-ins in the templates, as long as what replaces them in each file.
_INSTANCE, _SERIES, _STUDY = (uid(kind, 99999999) for kind in (1, 2, 3))
_PATIENT, _NUMBER = "PATIENT-99999999", "99999999"

Value = object
_WORDS = "axial body contrast delayed early frontal head knee late lung neck phase routine soft thorax venous"


class Values:
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
            "UI": lambda: uid(4, self.random.randint(0, 10**8 - 2)),
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


def describe_image(dataset: Dataset, rows: int, columns: int, samples: int = 1, bits: int = 16, frames: int = 1) -> int:
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

    def write(self, path: Path, told_apart_by: Iterable[tuple[str, str]], pixels: bytes = b"") -> None:
        """Write a file.

        Parameters
        ----------
        path : pathlib.Path
            Of the file.
        told_apart_by : iterable of tuple of str
            Stand-ins, and what this file has in their place.
        pixels : bytes
            Native pixel data; without it, it is a hole.
        """
        head = self.head
        for stand_in, value in told_apart_by:
            head = head.replace(stand_in.encode(), value.encode())
        with path.open("wb") as file:
            file.write(head + pixels)
            file.truncate(len(head) + self.hole)


def identified(instance: str, series: str, study: str, patient: int, number: int) -> list[tuple[str, str]]:
    """Return what tells an object from all others: stand-ins, and its UIDs and numbers."""
    return [
        (_INSTANCE, instance),
        (_SERIES, series),
        (_STUDY, study),
        (_PATIENT, f"PATIENT-{patient:08}"),
        (_NUMBER, f"{number:08}"),
    ]


def encoded(dataset: Dataset, modality: str, sop_class: str, syntax: UID) -> bytes:
    """Return an object's file, with stand-ins for what tells it from others."""
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, _INSTANCE
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = _STUDY, _SERIES
    dataset.PatientID, dataset.InstanceNumber, dataset.Modality = _PATIENT, _NUMBER, modality
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
