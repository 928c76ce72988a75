"""Typed columns: the types, lists and dates that SQL gets, equal to what pydicom says."""

from __future__ import annotations

import datetime
from typing import Any

import pyarrow as pa
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import ExplicitVRLittleEndian

from dbx.pixels.dicom.attributes import ATTRIBUTES, Attribute
from dbx.pixels.dicom.headers import read_headers
from dbx.pixels.dicom.schema import HEADER_SCHEMA
from headers import SAMPLES, dicom, element, item, padded, read

pytestmark = pytest.mark.filterwarnings("ignore")

#: Their values in columns are what is left of a malformed value; see `test_what_does_not_fit_is_null_and_an_issue`.
MALFORMED = {"badVR.dcm": {"NumberOfFrames"}}


def column(keyword: str, vr: str, text: str) -> Any:
    """Read what a column holds of a text that nothing is wrong with."""
    row = read(dicom(element(pydicom.datadict.tag_for_keyword(keyword), vr, padded(text))))
    assert row["issues"] == []
    return row[keyword]


def test_a_batch_has_the_schema_whatever_is_read() -> None:
    for sources in ([], [b""], [b"no DICOM"], [str(path) for path in SAMPLES]):
        batch = read_headers(sources)
        batch.validate(full=True)
        assert batch.schema.equals(HEADER_SCHEMA)
        assert batch.num_rows == len(sources)


@pytest.mark.parametrize("text", ["20240229", "2024.02.29", "20240229  "])
def test_dates_in_every_notation_are_read(text: str) -> None:
    assert column("StudyDate", "DA", text) == datetime.date(2024, 2, 29)


@pytest.mark.parametrize("text", ["00010101", "19700101", "19691231", "99991231"])
def test_dates_far_from_today(text: str) -> None:
    assert column("StudyDate", "DA", text) == datetime.datetime.strptime(text, "%Y%m%d").date()


def test_numbers_from_text() -> None:
    assert column("SliceThickness", "DS", " 1.25E-1") == 0.125
    assert column("InstanceNumber", "IS", "+0012 ") == 12
    assert column("InstanceNumber", "IS", "-2147483648") == -(2**31)
    assert column("PixelSpacing", "DS", "0.7\\0.65") == [0.7, 0.65]


def test_of_a_person_name_the_alphabetic_group() -> None:
    assert column("PatientName", "PN", "Yamada^Tarou=YAMADA^TAROU=yamada^tarou") == "Yamada^Tarou"
    assert column("PatientName", "PN", "=YAMADA^TAROU") is None


def test_several_values_become_a_list() -> None:
    assert column("ImageType", "CS", "ORIGINAL\\PRIMARY\\\\AXIAL ") == ["ORIGINAL", "PRIMARY", None, "AXIAL"]
    assert column("ImageType", "CS", "DERIVED") == ["DERIVED"]
    assert column("WindowCenter", "DS", "40\\400") == [40.0, 400.0]


@pytest.mark.parametrize("keyword", ["ImageType", "PatientID", "StudyDate", "SliceThickness", "WindowWidth"])
def test_empty_values_and_absent_attributes_are_null(keyword: str) -> None:
    attribute = next(attribute for attribute in ATTRIBUTES if attribute.keyword == keyword)
    assert column(keyword, attribute.vr, "") is None
    assert column(keyword, attribute.vr, "    ") is None
    assert read(dicom())[keyword] is None


def test_the_transfer_syntax_is_a_column() -> None:
    assert read(dicom())["TransferSyntaxUID"] == ExplicitVRLittleEndian


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        ("StudyDate", "DA", b"20240230"),
        ("StudyDate", "DA", b"2024-2-1"),
        ("StudyDate", "DA", b"20240101-20240102 "),
        ("SliceThickness", "DS", b"P1:1"),
        ("WindowCenter", "DS", b"40\\wide "),
        ("InstanceNumber", "IS", b"9999999999999999999 "),
        ("InstanceNumber", "LO", b"one "),
        ("Rows", "LO", b"9999999999"),
        ("Rows", "US", b"\1\2\3"),
        ("KVP", "FD", bytes.fromhex("000000000000f07f")),
        ("PatientID", "OB", b"12"),
    ],
)
def test_what_does_not_fit_is_null_and_an_issue(keyword: str, vr: str, value: bytes) -> None:
    tag = pydicom.datadict.tag_for_keyword(keyword)
    row = read(dicom(element(tag, vr, value), element(0x7FDF0010, "LO", b"kept")))
    assert row[keyword] is None
    assert [issue["tag"] for issue in row["issues"]] == [f"{tag:08X}"]
    assert row["meta"]["7FDF0010"]["Value"] == ["kept"]
    assert row["error"] is None


def test_a_column_of_one_value_holds_the_first_of_several() -> None:
    row = read(dicom(element(0x00100020, "LO", b"one\\two ")))
    assert row["PatientID"] == "one"
    assert row["meta"]["00100020"]["Value"] == ["one", "two"]
    assert [issue["tag"] for issue in row["issues"]] == ["00100020"]


def test_attributes_of_items_fill_no_column() -> None:
    row = read(dicom(element(0x00081140, "SQ", item(element(0x00100020, "LO", b"not mine")))))
    assert row["PatientID"] is None


def test_rows_do_not_mix() -> None:
    one = dicom(element(0x00080008, "CS", b"A\\B "), element(0x00100020, "LO", b"1 "))
    other = dicom(element(0x00080008, "CS", b"C "))
    batch = read_headers([one, b"no DICOM", other, b"", one])
    assert batch.column("ImageType").to_pylist() == [["A", "B"], None, ["C"], None, ["A", "B"]]
    assert batch.column("PatientID").to_pylist() == ["1", None, None, None, "1"]


# --- Against pydicom ---


def expected(dataset: Dataset, attribute: Attribute) -> Any:
    """Convert the value that pydicom reads to the column's type."""
    found = dataset.get(attribute.tag)
    if found is None or found.is_empty:
        return None
    values = list(found.value) if isinstance(found.value, MultiValue) else [found.value]
    arrow_type = attribute.field.type
    converted = [convert(value, arrow_type.value_type if attribute.multiple else arrow_type) for value in values]
    if not attribute.multiple:
        return converted[0]
    return converted if len(converted) > 1 or converted[0] is not None else None


def convert(value: Any, arrow_type: pa.DataType) -> Any:
    if isinstance(value, pydicom.valuerep.PersonName):
        value = value.alphabetic
    if isinstance(value, str):
        value = value.strip()
    if value is None or value == "":
        return None
    if arrow_type == pa.date32():
        return datetime.datetime.strptime(value.replace(".", ""), "%Y%m%d").date()
    return {pa.string(): str, pa.float64(): float, pa.int64(): int, pa.int32(): int}[arrow_type](value)


def test_every_column_holds_what_pydicom_reads() -> None:
    rows = read_headers([str(path) for path in SAMPLES]).to_pylist()
    filled: set[str] = set()
    for path, row in zip(SAMPLES, rows, strict=True):
        if row["meta"] is None:
            continue
        dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        dataset.update(dataset.file_meta)
        for attribute in ATTRIBUTES:
            if attribute.keyword in MALFORMED.get(path.name, ()):
                continue
            value = row[attribute.keyword]
            assert (path.name, attribute.keyword, value) == (path.name, attribute.keyword, expected(dataset, attribute))
            if value is not None:
                filled.add(attribute.keyword)
    assert len(filled) > 60
