"""The native DICOM model: as pydicom's JSON tells the data set, and as other software reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import pydicom
import pytest
from dicomweb_client.web import _load_xml_dataset
from pydicom.dataset import Dataset

from dbx.pixels.web.dicomweb.native_xml import native_xml
from headers import strict_json
from images import name_of, row_of

from conftest import TEST_FILES

NAMESPACE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"


def elements(dataset: dict[str, Any], path: str) -> list[Any]:
    return fromstring(native_xml(dataset)).findall(path.replace("/", "/" + NAMESPACE).replace("^", NAMESPACE))


@pytest.mark.parametrize("name", ["MR_small.dcm", "liver_1frame.dcm", "reportsi.dcm"])
def test_another_client_reads_the_attributes(name: str) -> None:
    meta = strict_json(row_of(TEST_FILES / name)["meta"])
    simple = {tag: element for tag, element in meta.items() if "Value" in element and element["vr"] not in ("PN", "SQ")}
    read = _load_xml_dataset(fromstring(native_xml(simple)))
    expected = pydicom.dcmread(TEST_FILES / name)
    assert read.SOPInstanceUID == expected.SOPInstanceUID
    assert {int(tag, 16) for tag in simple} == set(map(int, read.keys()))


def test_attributes_are_told_by_tag_vr_and_keyword() -> None:
    (attribute,) = elements({"00080060": {"vr": "CS", "Value": ["CT"]}}, "./DicomAttribute")
    assert attribute.attrib == {"tag": "00080060", "vr": "CS", "keyword": "Modality"}
    assert attribute[0].tag == f"{NAMESPACE}Value"
    assert (attribute[0].attrib, attribute[0].text) == ({"number": "1"}, "CT")


def test_names_are_split_into_groups_and_components() -> None:
    name = {"Alphabetic": "Yamada^Tarou^^Dr", "Ideographic": "山田^太郎"}
    (person,) = elements({"00100010": {"vr": "PN", "Value": [name]}}, "./DicomAttribute/PersonName")
    assert [(part.tag.removeprefix(NAMESPACE), part.text) for part in person.iter()][1:] == [
        ("Alphabetic", None),
        ("FamilyName", "Yamada"),
        ("GivenName", "Tarou"),
        ("NamePrefix", "Dr"),
        ("Ideographic", None),
        ("FamilyName", "山田"),
        ("GivenName", "太郎"),
    ]


def test_sequences_are_items() -> None:
    inner = {"00080100": {"vr": "SH", "Value": ["T-D1100"]}}
    items = elements({"00081032": {"vr": "SQ", "Value": [inner, {}]}}, "./DicomAttribute/Item")
    assert [item.attrib["number"] for item in items] == ["1", "2"]
    assert [len(item) for item in items] == [1, 0]


def test_an_empty_one_of_several_values_keeps_the_numbers() -> None:
    values = elements({"00080008": {"vr": "CS", "Value": ["A", None, "C"]}}, "./DicomAttribute/Value")
    assert [(value.attrib["number"], value.text) for value in values] == [("1", "A"), ("3", "C")]


def test_private_attributes_name_their_creator() -> None:
    dataset = {"00290010": {"vr": "LO", "Value": ["ACME & Co"]}, "00291001": {"vr": "LO", "Value": ["x"]}}
    creator, attribute = elements(dataset, "./DicomAttribute")
    assert "privateCreator" not in creator.attrib
    assert attribute.attrib["privateCreator"] == "ACME & Co"


def test_binaries_are_inline_or_addressed() -> None:
    dataset = {
        "00420011": {"vr": "OB", "BulkDataURI": "http://host/bulkdata/00420011?a=1&b=2"},
        "00282000": {"vr": "OB", "InlineBinary": "AAE="},
    }
    assert elements(dataset, "./DicomAttribute/BulkData")[0].attrib == {"uri": "http://host/bulkdata/00420011?a=1&b=2"}
    assert elements(dataset, "./DicomAttribute/InlineBinary")[0].text == "AAE="


def test_what_xml_cannot_hold_is_replaced() -> None:
    values = elements({"00104000": {"vr": "LT", "Value": ["a\x00b\x1b<c>\r\n\td"]}}, "./DicomAttribute/Value")
    assert values[0].text == "a\ufffdb\ufffd<c>\r\n\td"


@pytest.mark.parametrize("path", sorted(TEST_FILES.glob("*.dcm")), ids=name_of)
def test_every_sample_is_well_formed(path: Path) -> None:
    meta = row_of(path)["meta"]
    dataset = strict_json(meta) if meta else Dataset().to_json_dict()
    assert len(list(fromstring(native_xml(dataset)))) == len(dataset)
