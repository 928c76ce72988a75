"""Headers as JSON: equal to pydicom's, but for three deliberate differences (see `headers.py`)."""

from __future__ import annotations

import base64
import io
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from pydicom._private_dict import private_dictionaries
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.valuerep import DS, IS

from headers import PYDICOM_DATA, SAMPLES, UNDEFINED, dicom, differences, element, implicit, item, pydicom_meta, read

pytestmark = pytest.mark.filterwarnings("ignore")

#: Media types by extension of what is no DICOM; the others are text.
NO_DICOM = {".gz": "application/x-gzip", ".icc": "application/vnd.iccprofile"}

#: Its first byte is missing.
UNRECOGNIZABLE = "no_meta.dcm"

WITHOUT_FILE_META = ("ExplVR_BigEndNoMeta.dcm", "ExplVR_LitEndNoMeta.dcm", "rtstruct.dcm")


def reference(path: Path) -> dict[str, Any] | None:
    """Read a file with pydicom; None if it cannot convert it."""
    try:
        return pydicom_meta(path)
    except (pydicom.errors.InvalidDicomError, ValueError):
        return None


def test_every_file_that_pydicom_converts_becomes_the_same_json() -> None:
    compared, unequal = 0, {}
    for path in SAMPLES:
        expected = reference(path)
        if expected is None:
            continue
        row = read(str(path), bulk_threshold=None)
        assert (path.name, row["parsed_by"], row["file_type"]) == (path.name, "native", "application/dicom")
        compared += 1
        if found := differences(row["meta"], expected):
            unequal[path.name] = found
    assert unequal == {}
    assert compared > 170


@pytest.mark.parametrize("name", WITHOUT_FILE_META)
def test_files_without_meta_information_that_pydicom_reads_if_forced(name: str) -> None:
    path = PYDICOM_DATA / "test_files" / name
    row = read(str(path), bulk_threshold=None)
    assert row["parsed_by"] == "native"
    assert differences(row["meta"], pydicom_meta(path, force=True)) == {}


def test_the_attribute_that_makes_pydicom_lose_a_file_costs_only_itself() -> None:
    row = read(str(PYDICOM_DATA / "test_files" / "badVR.dcm"))
    assert row["meta"]["00280008"] == {"vr": "IS"}
    assert row["meta"]["00280010"] == {"vr": "US", "Value": [10]}
    assert row["issues"] == [{"tag": "00280008", "vr": "IS", "message": "is not an integer string"}]


def test_an_empty_person_name_among_several_is_null_where_pydicom_fails() -> None:
    content = dicom(element(0x00081048, "PN", b"Who^A\\\\Who^B"))
    with pytest.raises(IndexError):
        pydicom_meta(io.BytesIO(content))
    assert read(content)["meta"]["00081048"]["Value"] == [{"Alphabetic": "Who^A"}, None, {"Alphabetic": "Who^B"}]


def test_what_is_no_dicom_has_a_file_type_and_no_meta() -> None:
    others = [path for path in SAMPLES if read(str(path))["file_type"] != "application/dicom"]
    assert len(others) > 5
    for path in others:
        row = read(str(path))
        wanted = "application/octet-stream" if path.name == UNRECOGNIZABLE else NO_DICOM.get(path.suffix, "text/plain")
        assert (path.name, row["file_type"]) == (path.name, wanted)
        assert row["meta"] is row["parsed_by"] is row["error"] is None


def test_the_same_from_memory() -> None:
    for path in SAMPLES:
        assert read(path.read_bytes()) == read(str(path)), path


# --- Binary values ---


def with_bulk_data_uris(meta: dict[str, Any], threshold: int, path: str = "bulkdata/") -> dict[str, Any]:
    """Replace long binary values as `read_headers` says."""
    converted = {}
    for key, attribute in meta.items():
        if len(base64.b64decode(attribute.get("InlineBinary", ""))) > threshold:
            attribute = {"vr": attribute["vr"], "BulkDataURI": path + key}
        elif attribute["vr"] == "SQ" and "Value" in attribute:
            items = enumerate(attribute["Value"])
            attribute = {
                "vr": "SQ",
                "Value": [
                    with_bulk_data_uris(content, threshold, f"{path}{key}/{number}/") for number, content in items
                ],
            }
        converted[key] = attribute
    return converted


@pytest.mark.parametrize("threshold", [0, 100, 1024])
def test_long_binary_values_become_bulk_data_uris(threshold: int) -> None:
    uris = 0
    for path in SAMPLES:
        expected = reference(path)
        if expected is not None:
            expected = with_bulk_data_uris(expected, threshold)
            meta = read(str(path), bulk_threshold=threshold)["meta"]
            assert differences(meta, expected) == {}, path
            uris += str(meta).count("BulkDataURI")
    assert uris > 5


def test_bulk_data_uris_name_the_way_to_the_element() -> None:
    """Of the threshold's length a value is inline still; item numbers count from 0."""
    private = element(0x00290010, "LO", b"SIEMENS CSA HEADER") + element(0x00291010, "OB", bytes(2000))
    overlay = element(0x60003000, "OW", bytes(1024)) + element(0x60023000, "OW", bytes(1026))
    inner = element(0x00081140, "SQ", item() + item(private), length=len(private) + 16)
    meta = read(dicom(inner, private, overlay))["meta"]
    assert meta["00291010"] == {"vr": "OB", "BulkDataURI": "bulkdata/00291010"}
    assert meta["00081140"]["Value"][1]["00291010"] == {"vr": "OB", "BulkDataURI": "bulkdata/00081140/1/00291010"}
    assert meta["60003000"] == {"vr": "OW", "InlineBinary": base64.b64encode(bytes(1024)).decode()}
    assert meta["60023000"] == {"vr": "OW", "BulkDataURI": "bulkdata/60023000"}


@pytest.mark.parametrize("length", [0, 2, 4, 1024, 2**20 + 2])
def test_inline_binary_values_are_base64(length: int) -> None:
    value = bytes(range(256)) * (length // 256 + 1)
    attribute = read(dicom(element(0x00420011, "OB", value[:length])), bulk_threshold=None)["meta"]["00420011"]
    assert base64.b64decode(attribute.get("InlineBinary", "")) == value[:length]
    assert ("InlineBinary" in attribute) == (length > 0)


# --- The traps of the format, one by one ---


def test_the_three_deliberate_differences() -> None:
    icon = element(0x00880200, "SQ", item(element(0x7FE00010, "OW", bytes(8)) + element(0x00280010, "US", b"\2\0")))
    meta = read(dicom(element(0x00080008, "CS", b"ORIGINAL\\\\AXIAL "), element(0x00081140, "SQ"), icon))["meta"]
    assert meta["00080008"]["Value"] == ["ORIGINAL", None, "AXIAL"]
    assert meta["00081140"] == {"vr": "SQ"}
    assert meta["00880200"]["Value"] == [{"00280010": {"vr": "US", "Value": [2]}}]


def test_file_meta_information_is_part_of_the_document() -> None:
    assert read(dicom())["meta"] == {"00020010": {"vr": "UI", "Value": [ExplicitVRLittleEndian]}}


def test_attributes_out_of_order_are_sorted_and_the_last_of_equals_counts() -> None:
    names = element(0x00100020, "LO", b"second"), element(0x00080060, "CS", b"MR"), element(0x00100020, "LO", b"third ")
    row = read(dicom(*names))
    assert list(row["meta"]) == ["00020010", "00080060", "00100020"]
    assert row["meta"]["00100020"]["Value"] == ["third"]
    assert row["PatientID"] == "third"
    assert [issue["tag"] for issue in row["issues"]] == ["00100020"]


def test_a_pixel_representation_that_comes_late_decides_too() -> None:
    smallest, representation = implicit(0x00280106, b"\xff\xff"), implicit(0x00280103, b"\1\0")
    for elements in ((smallest, representation), (representation, smallest)):
        meta = read(dicom(*elements, transfer_syntax=ImplicitVRLittleEndian))["meta"]
        assert meta["00280106"] == {"vr": "SS", "Value": [-1]}


def test_items_in_implicit_vr_within_a_data_set_in_explicit_vr() -> None:
    content = implicit(0x00080060, b"MR")
    sequence = element(0x00081140, "SQ", item(content, length=UNDEFINED) + implicit(0xFFFEE0DD), length=UNDEFINED)
    row = read(dicom(sequence, element(0x00100020, "LO", b"id")))
    assert row["meta"]["00081140"]["Value"] == [{"00080060": {"vr": "CS", "Value": ["MR"]}}]
    assert row["PatientID"] == "id"


# --- Any data set that pydicom can write ---

#: Specific Character Sets with letters that they have.
CHARACTERS = {
    "": string.ascii_letters,
    "ISO_IR 100": "abcÄöüßÉñ",
    "ISO_IR 101": "abcŁŚžŐ",
    "ISO_IR 144": "abcЛюкЖ",
    "ISO_IR 126": "abcΔπλφ",
    "ISO_IR 127": "abcقبنت",
    "ISO_IR 138": "abcשרדק",
    "ISO_IR 148": "abcÇğİş",
    "ISO_IR 166": "abcนามส",
    "ISO_IR 13": "ﾔﾏﾀﾞﾀﾛｳ",
    "ISO_IR 192": "abcäЛ王山田김😀",
    "GB18030": "abc王小东ä",
    "GBK": "abc王小东",
    "\\ISO 2022 IR 87": "abc山田太郎やまだ",
    "ISO 2022 IR 13\\ISO 2022 IR 87": "ﾔﾏﾀ山田太郎",
    "\\ISO 2022 IR 149": "abc김희중길동",
    "\\ISO 2022 IR 58": "abc张小东",
    "ISO 2022 IR 100\\ISO 2022 IR 144": "abcÄöЛюк",
}

#: Digits before and after the point of decimal strings, which hold 16 characters.
DECIMALS = st.builds(
    "{}{}{}".format,
    st.integers(-99999, 99999),
    st.sampled_from(["", ".", ".5", ".250", ".0000001"]),
    st.sampled_from(["", "e-5", "E+3"]),
).filter(lambda text: len(text) <= 16)


def floats(width: Any) -> st.SearchStrategy[float]:
    return st.floats(allow_nan=False, allow_infinity=False, width=width)


def integers(bits: int, *, signed: bool) -> st.SearchStrategy[int]:
    return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1) if signed else st.integers(0, (1 << bits) - 1)


def binaries(step: int) -> st.SearchStrategy[bytes]:
    return st.integers(0, 20).flatmap(lambda count: st.binary(min_size=count * step, max_size=count * step))


#: What one value may be, by VR, where it is no text in the Specific Character Set.
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "AE": st.text("AB_ 12", max_size=16),
    "AS": st.from_regex(r"[0-9]{3}[DWMY]", fullmatch=True),
    "AT": integers(32, signed=False),
    "CS": st.text("ABC_ 12", max_size=16),
    "DA": st.dates().map(lambda day: day.strftime("%Y%m%d").rjust(8, "0")),
    "DS": DECIMALS.map(DS),
    "DT": st.datetimes().map(lambda moment: f"{moment.year:04}{moment:%m%d%H%M%S.%f}"),
    "FD": floats(64),
    "FL": floats(32),
    "IS": integers(32, signed=True).map(IS),
    "SL": integers(32, signed=True),
    "SS": integers(16, signed=True),
    "SV": integers(64, signed=True),
    "TM": st.times().map(lambda time: time.strftime("%H%M%S.%f")),
    "UI": st.from_regex(r"[1-9](\.[1-9][0-9]{0,8}){1,5}", fullmatch=True),
    "UL": integers(32, signed=False),
    "UR": st.just("http://example.org/a?b=c&d=%20"),
    "US": integers(16, signed=False),
    "UV": integers(64, signed=False),
    "OB": binaries(2),
    "OD": binaries(8),
    "OF": binaries(4),
    "OL": binaries(4),
    "OV": binaries(8),
    "OW": binaries(2),
}
SINGLE = ("LT", "OB", "OD", "OF", "OL", "OV", "OW", "ST", "UN", "UR", "UT")

#: These decide what others mean.
DECISIVE = (0x00280103, 0x00283002, 0x54001004)

#: The other public attributes of data sets, by VR.
TAGS_BY_VR: dict[str, list[int]] = {}
for tag, (vr, *_) in DicomDictionary.items():
    if (
        0x0008_0005 < tag < 0x7FE0_0000
        and tag not in (0x0028_0103, 0x5400_1004)
        and not 0x0028_3000 <= tag <= 0x0028_3006
    ):
        TAGS_BY_VR.setdefault(vr, []).append(tag)

#: Creator, group, element and VR of private attributes.
PRIVATE = [
    (creator, int(key[:4], 16), int(key[6:], 16), entry[0])
    for creator in ("GEMS_PARM_01", "SIEMENS MR HEADER", "SIEMENS CSA HEADER", "Philips Imaging DD 001")
    for key, entry in private_dictionaries[creator].items()
    if key[4:6] == "xx" and entry[0] in VALUES
]


def texts(characters: str) -> dict[str, st.SearchStrategy[Any]]:
    """Values of the VRs whose text is in the Specific Character Set."""
    words = st.text(characters, max_size=12)
    names = st.lists(words, min_size=1, max_size=3).map("^".join)
    person_names = st.lists(names, min_size=1, max_size=3).map("=".join).filter(lambda name: name.strip("="))
    paragraphs = st.lists(words, max_size=3).map('\r\n "quoted"\t'.join)
    return (
        dict.fromkeys(("LO", "SH", "UC"), words) | {"PN": person_names} | dict.fromkeys(("LT", "ST", "UT"), paragraphs)
    )


@st.composite
def data_sets(draw: Callable[..., Any], characters: str | None = None, depth: int = 0) -> Dataset:
    """Draw a data set with nested sequences and private blocks."""
    dataset = Dataset()
    if characters is None:
        character_set = draw(st.sampled_from(sorted(CHARACTERS)))
        characters = CHARACTERS[character_set]
        if character_set:
            dataset.SpecificCharacterSet = character_set.split("\\")
    values = VALUES | texts(characters)
    for vr in draw(st.lists(st.sampled_from(sorted(values.keys() & TAGS_BY_VR.keys())), max_size=10)):
        tag = draw(st.sampled_from(TAGS_BY_VR[vr]))
        dataset.add_new(tag, vr, draw(one_or_several(values[vr], vr)))
    for creator, group, number, vr in draw(st.lists(st.sampled_from(PRIVATE), max_size=3)):
        dataset.private_block(group, creator, create=True).add_new(number, vr, draw(one_or_several(values[vr], vr)))
    if draw(st.booleans()):
        signed = draw(st.booleans())
        dataset.PixelRepresentation = int(signed)
        dataset.add_new(0x00280106, "SS" if signed else "US", draw(integers(16, signed=signed)))
    for tag in draw(st.lists(st.sampled_from(TAGS_BY_VR["SQ"]), max_size=2 if depth < 3 else 0)):
        items = draw(st.lists(data_sets(characters, depth + 1), max_size=2))
        for content in items:
            content.is_undefined_length_sequence_item = draw(st.booleans())
        dataset.add_new(tag, "SQ", Sequence(items))
        dataset[tag].is_undefined_length = draw(st.booleans())
    return dataset


def one_or_several(value: st.SearchStrategy[Any], vr: str) -> st.SearchStrategy[Any]:
    nothing = st.just(b"" if vr.startswith("O") else None)
    return value | nothing if vr in SINGLE else value | nothing | st.lists(value, min_size=2, max_size=4)


#: Not shrunk: that takes minutes, and `differences` names the attribute.
EXAMPLES = settings(
    max_examples=60, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


def write(dataset: Dataset, transfer_syntax: str) -> bytes:
    dataset.preamble = bytes(128)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset)
    return file.getvalue()


@pytest.mark.parametrize(
    "transfer_syntax",
    [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
    ids=lambda uid: uid.name,
)
@EXAMPLES
@given(dataset=data_sets())
@example(dataset=Dataset())
def test_any_data_set_becomes_the_same_json(transfer_syntax: str, dataset: Dataset) -> None:
    content = write(dataset, transfer_syntax)
    row = read(content, bulk_threshold=None)
    assert row["parsed_by"] == "native"
    assert row["error"] is None
    assert differences(row["meta"], pydicom_meta(io.BytesIO(content))) == {}
