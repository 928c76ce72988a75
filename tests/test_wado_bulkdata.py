"""Bulk data: the values that metadata address, byte for byte as pydicom reads them."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pydicom
import pytest

from dbx.pixels.web.dicomweb.bulkdata import bulk_value
from headers import SAMPLES, dicom, element, item, read
from images import name_of

from conftest import TEST_FILES


def addresses(path: Path) -> list[str]:
    return re.findall(r"'bulkdata/([^']*)'", str(read(str(path), bulk_threshold=16)["meta"]))


@pytest.mark.parametrize("path", [path for path in SAMPLES if addresses(path)], ids=name_of)
def test_every_address_of_metadata_leads_to_its_value(path: Path) -> None:
    dataset = pydicom.dcmread(path, force=True)
    for address in addresses(path):
        value = bulk_value(str(path), address)
        steps = address.split("/")
        holder = dataset
        for tag, number in zip(steps[:-1:2], steps[1::2], strict=True):
            holder = holder[int(tag, 16)].value[int(number)]
        expected = holder[int(steps[-1], 16)]
        if dataset.original_encoding[1] or expected.VR in ("OB", "UN"):
            assert value == expected.value
        else:
            assert value == struct.pack(
                f"<{len(expected.value) // 2}H", *struct.unpack(f">{len(expected.value) // 2}H", expected.value)
            )


def test_values_in_sequences_are_found(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    inner = element(0x00282000, "OB", b"profile!")
    path.write_bytes(dicom(element(0x00480105, "SQ", item() + item(inner))))
    assert bulk_value(str(path), "00480105/1/00282000") == b"profile!"
    assert bulk_value(str(path), "00480105/0/00282000") is None
    assert bulk_value(str(path), "00480105/2/00282000") is None


@pytest.mark.parametrize(
    "address", ["00420011", "00100010", "7FE00010", "00100010/0/00080018", "", "..", "0042", "00420011/", "x" * 8]
)
def test_anything_else_is_no_bulk_data(address: str) -> None:
    assert bulk_value(str(TEST_FILES / "CT_small.dcm"), address) is None
