"""Bulk data: the values that metadata address, byte for byte as pydicom reads them."""

from __future__ import annotations

import io
import random
import re
import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_VR
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dbx.pixels.storage.local import LocalReader
from dbx.pixels.web.dicomweb.bulkdata import find_bulk_value
from headers import SAMPLES, dicom, element, item, read
from images import name_of

from conftest import TEST_FILES


def bulk_value(path: Path, address: str) -> bytes | None:
    """Read a value, at once and byte by byte."""
    value = find_bulk_value(str(path), address)
    if value is None:
        return None
    whole = b"".join(value.pieces(str(path), 0, value.length))
    for first in range(min(value.length, 20)):
        assert b"".join(value.pieces(str(path), first, first + 1)) == whole[first : first + 1]
    return whole


def addresses(path: Path) -> list[str]:
    return re.findall(r"'bulkdata/([^']*)'", str(read(str(path), bulk_threshold=16)["meta"]))


@pytest.mark.parametrize("path", [path for path in SAMPLES if addresses(path)], ids=name_of)
def test_every_address_of_metadata_leads_to_its_value(path: Path) -> None:
    dataset = pydicom.dcmread(path, force=True)
    for address in addresses(path):
        value = bulk_value(path, address)
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
    assert bulk_value(path, "00480105/1/00282000") == b"profile!"
    assert bulk_value(path, "00480105/0/00282000") is None
    assert bulk_value(path, "00480105/2/00282000") is None


SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
#: Bytes of a value's units, of which big endian reverses the order, by the tag of a value of that kind.
UNITS = {0x00282000: 1, 0x00281201: 2, 0x00660016: 4, 0x00660040: 4, 0x7FE00001: 8}


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined", [False, True], ids=["defined lengths", "undefined lengths"])
def test_values_of_all_kinds_are_found_at_all_depths(tmp_path: Path, syntax: UID, undefined: bool) -> None:
    value = random.Random(1).randbytes(4000)
    dataset = pydicom.dcmread(TEST_FILES / "CT_small.dcm")
    nested = Dataset()
    for tag in UNITS:
        dataset[tag] = nested[tag] = DataElement(tag, dictionary_VR(tag).partition(" ")[0], value)
    inner, empty = Dataset(), Dataset()
    inner.ReferencedSeriesSequence = [nested]
    dataset.OpticalPathSequence = [empty, inner]
    for sequence in (dataset["OpticalPathSequence"], inner["ReferencedSeriesSequence"]):
        sequence.is_undefined_length = undefined
        for part in sequence.value:
            part.is_undefined_length_sequence_item = undefined
    dataset.file_meta.TransferSyntaxUID = syntax
    path = tmp_path / "a.dcm"
    pydicom.dcmwrite(path, dataset, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian)
    for tag, unit in UNITS.items():
        # pydicom writes these values as they are.
        expected = value if syntax.is_little_endian else np.frombuffer(value, f"u{unit}").byteswap().tobytes()
        assert bulk_value(path, f"{tag:08X}") == expected
        assert bulk_value(path, f"00480105/1/00081115/0/{tag:08X}") == expected
        assert bulk_value(path, f"00480105/0/00081115/0/{tag:08X}") is None


class Counting(LocalReader):
    """A reader of a file that counts what is read."""

    bytes_read = 0

    def read(self, offset: int, length: int) -> bytes:
        data = super().read(offset, length)
        self.bytes_read += len(data)
        return data


def test_no_more_is_read_than_a_range(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    size = 1 << 30
    before = element(0x00240012, "OB", length=size), element(0x00420010, "ST", b"pdf ")
    with path.open("wb") as file:
        for part in (dicom(before[0]), before[1] + element(0x00420011, "OB", length=size)):
            file.write(part)
            file.seek(size, io.SEEK_CUR)
        file.truncate()
    with Counting(str(path)) as reader:
        value = find_bulk_value(reader, "00420011")
        assert value is not None
        assert value.length == size
        assert b"".join(value.pieces(reader, size // 2, size // 2 + 100)) == bytes(100)
        assert reader.bytes_read < 100_000


@pytest.mark.parametrize(
    "address", ["00420011", "00100010", "7FE00010", "00100010/0/00080018", "", "..", "0042", "00420011/", "x" * 8]
)
def test_anything_else_is_no_bulk_data(address: str) -> None:
    assert bulk_value(TEST_FILES / "CT_small.dcm", address) is None
