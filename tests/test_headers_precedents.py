"""What an object becomes does not depend on what is read with it, although the core remembers similar objects."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, Sequence, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dbx.pixels.dicom.headers import read_headers
from headers import SAMPLES

SMALL = [path.read_bytes() for path in SAMPLES if path.stat().st_size < 40_000]

#: Of Latin, Cyrillic or no letters, as the character set has it.
LETTERS = b"\xdc\xe9\xdd\xde"


def rows(*contents: bytes) -> list[dict[str, Any]]:
    batch = read_headers(contents)
    batch.validate(full=True)
    return batch.to_pylist()


def alone(*contents: bytes) -> list[dict[str, Any]]:
    return [row for content in contents for row in rows(content)]


def image(syntax: str = ExplicitVRLittleEndian, **attributes: object) -> bytes:
    """Write a small image, with sequences and private elements; None leaves an attribute out."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, "1.2.3"
    dataset.StudyDate, dataset.Modality, dataset.PatientName = "20260105", "CT", "Phantom^ABCD"
    dataset.ProcedureCodeSequence = Sequence([Dataset()])
    dataset.ProcedureCodeSequence[0].CodeMeaning = "head"
    dataset.SmallestImagePixelValue, dataset.PixelRepresentation = 100, 0
    dataset.PixelSpacing, dataset.SliceLocation, dataset.InstanceNumber = ["0.50", "0.50"], "12.5", "3"
    dataset.Rows = dataset.Columns = 4
    dataset.SamplesPerPixel, dataset.BitsAllocated = 1, 16
    creator = attributes.pop("creator", "GEMS_PARM_01")
    if creator:
        block = dataset.private_block(0x0043, str(creator), create=True)
        block.add_new(0x01, "SS", 7)
        block.add_new(0x27, "SH", "1.5")
    dataset.PixelData = bytes(32)
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    file = BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True, overwrite=True)
    return file.getvalue().replace(b"ABCD", LETTERS)


def test_images_of_a_series_keep_what_differs() -> None:
    images = [image(SOPInstanceUID=f"1.2.{at}", SliceLocation=f"{at}.5", InstanceNumber=at) for at in range(3)]
    assert rows(*images) == alone(*images)
    assert [row["InstanceNumber"] for row in rows(*images)] == [0, 1, 2]
    assert [row["SliceLocation"] for row in rows(*images)] == [0.5, 1.5, 2.5]


@pytest.mark.parametrize(
    "change",
    [
        {"SpecificCharacterSet": "ISO_IR 144"},
        {"SpecificCharacterSet": None},
        {"PixelRepresentation": 1},
        {"PixelRepresentation": None, "SmallestImagePixelValue": None},
        {"creator": "SIEMENS MR HEADER"},
        {"creator": None},
        {"Rows": 5, "PixelData": bytes(40)},
        {"PatientName": None},
        {"PatientID": "P7", "BodyPartExamined": "HEAD"},
        {"PixelSpacing": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_what_other_elements_depend_on_is_not_taken_over(syntax: str, change: dict[str, object]) -> None:
    """A character set, a private creator, the sign of pixels: the same bytes after them mean something else."""
    images = [image(syntax), image(syntax, **change)]
    assert rows(*images, *reversed(images)) == alone(*images, *reversed(images))


def test_transfer_syntaxes_are_told_apart() -> None:
    syntaxes = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]
    images = [image(syntax) for syntax in [*syntaxes, *reversed(syntaxes)]]
    assert rows(*images) == alone(*images)


def test_issues_are_each_objects_own() -> None:
    broken = image().replace(b"12.5", b"far ")
    assert [len(row["issues"] or []) for row in rows(broken, broken, image(), broken)] == [1, 1, 0, 1]


def test_each_object_tells_that_its_character_set_is_unknown() -> None:
    unknown = image().replace(b"ISO_IR 100", b"ISO_IR\x00100")
    assert [len(row["issues"] or []) for row in rows(unknown, image(), unknown)] == [1, 0, 1]


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    content=st.sampled_from(SMALL),
    changes=st.lists(
        st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=0, max_size=4),
        min_size=2,
        max_size=4,
    ),
)
@pytest.mark.filterwarnings("ignore")
def test_objects_that_differ_anywhere_are_read_as_if_alone(
    content: bytes, changes: list[list[tuple[float, int]]]
) -> None:
    """Bytes of a file are changed, here and there, in a few copies of it."""
    copies = []
    for places in changes:
        copy = bytearray(content)
        for place, bits in places:
            copy[int(place * len(copy))] ^= bits
        copies.append(bytes(copy))
    assert rows(*copies) == alone(*copies)


def test_files_with_long_values_are_read_as_if_alone(tmp_path: Path) -> None:
    """From files, of which only a part is in view at a time."""
    comments = ["one ", "one ", "other ", "some more of it ", "one "]
    images = [image(InstanceNumber=at, TextValue=comment * 1000) for at, comment in enumerate(comments)]
    paths = [tmp_path / f"{at}.dcm" for at in range(len(images))]
    for path, content in zip(paths, images, strict=True):
        path.write_bytes(content)
    assert read_headers([str(path) for path in paths]).to_pylist() == alone(*images)
