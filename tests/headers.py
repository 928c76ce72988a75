"""Headers for tests: as bytes, right or wrong, and as pydicom reads them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
import pydicom.data
from pydicom.uid import ExplicitVRLittleEndian

from dbx.pixels.dicom.headers import read_headers

PYDICOM_DATA = Path(pydicom.data.__file__).parent

#: Files that come with pydicom, and are no DICOM for all that are not.
SAMPLES = sorted(
    path for folder in ("test_files", "charset_files") for path in (PYDICOM_DATA / folder).rglob("*") if path.is_file()
)

UNDEFINED = 0xFFFFFFFF
_LONG_VRS = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
_PIXEL_DATA = ("7FE00010", "7FE00008", "7FE00009")

Json = dict[str, Any]


# --- What is read ---


def read(source: Any, bulk_threshold: int | None = 1024) -> Json:
    """Read one header; ``meta`` is parsed, and ``issues`` are a list in any case."""
    row = read_headers([source], bulk_threshold=bulk_threshold).to_pylist()[0]
    return row | {"meta": row["meta"] and strict_json(row["meta"]), "issues": row["issues"] or []}


def strict_json(text: str) -> Json:
    """Parse JSON, and refuse what is none, such as NaN."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


# --- What pydicom reads ---


def pydicom_meta(source: Path | BinaryIO, *, force: bool = False) -> Json:
    """Read a header with pydicom, group 0002 included, and apply the differences that are deliberate."""
    dataset = pydicom.dcmread(source, stop_before_pixels=True, force=force)
    meta = json.loads(json.dumps(dataset.file_meta.to_json_dict() | dataset.to_json_dict()))
    return with_nulls(without_empty_sequences(without_pixel_data(meta)))


def without_pixel_data(meta: Json) -> Json:
    """Leave pixel data out at any depth: it is located, never copied; that of an icon is no metadata either."""
    return {key: _in_items(attribute, without_pixel_data) for key, attribute in meta.items() if key not in _PIXEL_DATA}


def without_empty_sequences(meta: Json) -> Json:
    """Leave the Value of an empty sequence out, as of any empty attribute (PS3.18 F.2.5); pydicom writes ``[]``."""
    return {
        key: {"vr": "SQ"} if attribute == {"vr": "SQ", "Value": []} else _in_items(attribute, without_empty_sequences)
        for key, attribute in meta.items()
    }


def with_nulls(meta: Json) -> Json:
    """Make the empty ones of several values null (PS3.18 F.2.5); pydicom writes empty strings."""

    def convert(attribute: Json) -> Json:
        attribute = _in_items(attribute, with_nulls)
        if "Value" in attribute:
            attribute["Value"] = [None if value == "" else value for value in attribute["Value"]]
        return attribute

    return {key: convert(attribute) for key, attribute in meta.items()}


def _in_items(attribute: Json, convert: Any) -> Json:
    if attribute["vr"] != "SQ" or "Value" not in attribute:
        return dict(attribute)
    return {"vr": "SQ", "Value": [convert(item) for item in attribute["Value"]]}


def differences(meta: Json, expected: Json) -> dict[str, tuple[Any, Any]]:
    """Pair what differs, by tag: ours first."""
    tags = sorted(meta.keys() | expected.keys())
    return {tag: (meta.get(tag), expected.get(tag)) for tag in tags if meta.get(tag) != expected.get(tag)}


# --- Bytes ---


def element(tag: int, vr: str, value: bytes = b"", *, length: int | None = None) -> bytes:
    """Encode a data element in explicit VR little endian; `length` is what it claims to have."""
    claimed = len(value) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    return head + (struct.pack("<xxI", claimed) if vr in _LONG_VRS else struct.pack("<H", claimed)) + value


def implicit(tag: int, value: bytes = b"", *, length: int | None = None) -> bytes:
    """Encode a data element in implicit VR, or an item or a delimiter."""
    claimed = len(value) if length is None else length
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, claimed) + value


def item(content: bytes = b"", *, length: int | None = None) -> bytes:
    """Encode an item of a sequence; with undefined length, its delimiter is added."""
    end = implicit(0xFFFEE00D) if length == UNDEFINED else b""
    return implicit(0xFFFEE000, content, length=length) + end


def dicom(*elements: bytes, transfer_syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Put a preamble and file meta information before data elements."""
    return bytes(128) + b"DICM" + element(0x00020010, "UI", padded(transfer_syntax, "\0")) + b"".join(elements)


def padded(text: str, padding: str = " ") -> bytes:
    """Encode text to an even length."""
    return (text + padding * (len(text) % 2)).encode("latin-1")
