"""Broken objects: each costs only what is broken, and says so."""

from __future__ import annotations

import io
import os
import random
import re
import threading
import zlib
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from dbx.pixels.dicom import inflating
from dbx.pixels.dicom.headers import read_headers
from dbx.pixels.errors import StorageError
from dbx.pixels.storage.reader import BrokenReader, ClosingReader
from headers import SAMPLES, UNDEFINED, dicom, element, implicit, item, padded, read, strict_json

from conftest import TEST_FILES

pytestmark = pytest.mark.filterwarnings("ignore")

UNDECODABLE = "has bytes that its character set does not know"

AFTER = element(0x7FDF0010, "LO", b"kept")
SEQUENCE = 0x00081140
END_OF_SEQUENCE = implicit(0xFFFEE0DD)


def messages(row: dict[str, Any]) -> list[str]:
    return [issue["message"] for issue in row["issues"]]


def nested(depth: int, *, defined: bool) -> bytes:
    """Encode sequences within sequences, the innermost empty."""
    if not defined:
        opened = element(SEQUENCE, "SQ", length=UNDEFINED) + implicit(0xFFFEE000, length=UNDEFINED)
        return opened * depth + (implicit(0xFFFEE00D) + END_OF_SEQUENCE) * depth
    pieces = [element(SEQUENCE, "SQ", length=20 * (depth - level) - 12) for level in range(depth)]
    return b"".join(
        piece + implicit(0xFFFEE000, length=20 * (depth - level) - 20) for level, piece in enumerate(pieces)
    )


# --- Cut off ---


def test_a_file_cut_off_anywhere() -> None:
    """What came before is kept; what is wrong is told, unless the cut is between two elements."""
    content = (TEST_FILES / "rtplan.dcm").read_bytes()
    whole = read(content)["meta"]
    rows = read_headers([content[:length] for length in range(len(content))]).to_pylist()
    for length, row in enumerate(rows):
        if row["meta"] is None:
            assert row["file_type"] or row["error"], length
            continue
        meta = strict_json(row["meta"])
        complete = list(meta) if row["error"] is None else list(meta)[:-1]
        assert [meta[tag] for tag in complete] == [whole[tag] for tag in complete], length
        assert meta.keys() <= whole.keys(), length
        assert row["error"] or row["issues"] is None, length
    assert sum(row["error"] is not None for row in rows) > len(content) * 0.9
    assert sum(row["meta"] is None for row in rows) < 200


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm", "test-SR.dcm", "DICOMDIR"])
def test_other_files_cut_off_in_many_places(name: str) -> None:
    path = next(path for path in SAMPLES if path.name == name)
    content = path.read_bytes()[:20_000]
    sources = [content[:length] for length in range(1, len(content), 61)]
    for source, row in zip(sources, read_headers(sources).to_pylist(), strict=True):
        assert row["meta"] or row["error"] or row["file_type"], len(source)
        assert row["meta"] is None or strict_json(row["meta"])


def test_a_cut_within_a_value_names_the_element() -> None:
    row = read(dicom(element(0x00080060, "CS", b"MR"), element(0x00100020, "LO", b"four", length=40)))
    assert row["error"] == "truncated inside 00100020"
    assert row["issues"] == [{"tag": "00100020", "vr": "LO", "message": "is truncated"}]
    assert row["Modality"] == "MR"


def test_a_cut_within_an_item_names_the_way_to_the_element() -> None:
    content = dicom(element(SEQUENCE, "SQ", item() + item(element(0x00081155, "UI", b"1.2.", length=30), length=38)))
    assert read(content)["issues"][0]["tag"] == "00081140/1/00081155"


def test_zeros_at_the_end_are_padding() -> None:
    assert read(dicom(AFTER, bytes(6)))["error"] is None


# --- No DICOM, or not there ---


def test_an_empty_object() -> None:
    row = read(b"")
    assert row["error"] == "empty file"
    assert row["meta"] is row["parsed_by"] is row["file_type"] is None


@pytest.mark.parametrize(
    ("content", "file_type"),
    [
        (b"Some words, not even short.\n" * 20, "text/plain"),
        ("Grüße aus Köln.\n".encode() * 20, "text/plain"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00", "image/png"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n", "application/pdf"),
        (b"PK\x03\x04" + bytes(300), "application/zip"),
        (random.Random(0).randbytes(5000), "application/octet-stream"),
        (bytes(5000), "application/octet-stream"),
    ],
)
def test_what_is_no_dicom_has_a_file_type_and_no_error(content: bytes, file_type: str) -> None:
    row = read(content)
    assert row["file_type"] == file_type
    assert row["meta"] is row["parsed_by"] is row["error"] is None


def test_a_preamble_and_nothing_more() -> None:
    row = read(bytes(128) + b"DICM")
    assert row["file_type"] == "application/dicom"
    assert row["error"] == "truncated: holds no data element"


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "gone.dcm")
    os.mkfifo(tmp_path / "pipe")
    sources = [str(tmp_path / name) for name in ("missing.dcm", "dangling", "pipe")]
    rows = read_headers([*sources, str(tmp_path), str(TEST_FILES / "CT_small.dcm")]).to_pylist()
    assert [row["error"] for row in rows[:2]] == ["cannot be opened: No such file or directory"] * 2
    assert [row["error"] for row in rows[2:4]] == ["is not a regular file"] * 2
    assert [row["meta"] is None for row in rows] == [True, True, True, True, False]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    secret = tmp_path / "secret.dcm"
    secret.write_bytes(dicom(AFTER))
    secret.chmod(0)
    assert read(str(secret))["error"] == "cannot be opened: Permission denied"


def test_names_that_are_no_text(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff\xfe.dcm"
    try:
        with open(name, "wb") as file:  # noqa: PTH123 - the path is bytes
            file.write(dicom(AFTER))
    except OSError:
        pytest.skip("this file system has only names that are text")
    assert read(os.fsdecode(name))["error"] is None


class MemoryReader(ClosingReader):
    """A `Reader` of bytes that claims to have any size."""

    def __init__(self, content: bytes, size: int | None = None) -> None:
        self.content = content
        self.size = len(content) if size is None else size

    def read(self, offset: int, length: int) -> bytes:
        return self.content[offset : offset + length]


class StubbornReader(MemoryReader):
    """It raises whatever it was given."""

    def __init__(self, error: Exception) -> None:
        super().__init__(b"", 1000)
        self.error = error

    def read(self, offset: int, length: int) -> bytes:  # noqa: ARG002 - the protocol's arguments
        raise self.error


def test_a_reader_gives_the_row_that_its_bytes_give() -> None:
    content = (TEST_FILES / "CT_small.dcm").read_bytes()
    assert read(MemoryReader(content)) == read(content)


@pytest.mark.parametrize(
    ("reader", "error"),
    [
        (BrokenReader(10, StorageError("s3://bucket/key", "access denied")), "s3://bucket/key: access denied"),
        (StubbornReader(OSError("gone")), "gone"),
        (StubbornReader(ValueError("odd")), "odd"),
        (MemoryReader(bytes(128) + b"DICM", 1000), "became shorter while it was read"),
        (object(), "'object' object has no attribute 'size'"),
    ],
    ids=["broken", "OSError", "ValueError", "shorter", "no reader"],
)
def test_readers_that_fail_cost_their_row(reader: Any, error: str) -> None:
    rows = read_headers([dicom(AFTER), reader, dicom(AFTER)]).to_pylist()
    assert [row["error"] for row in rows] == [None, error, None]
    assert [row["meta"] is None for row in rows] == [False, True, False]


# --- One bad element ---


def test_a_decimal_string_that_is_none_costs_only_itself() -> None:
    """As GE's scanners write it; pydicom loses the whole file."""
    private = element(0x00430010, "LO", b"GEMS_PARM_01"), element(0x00431080, "DS", b"P1:1")
    content = dicom(element(0x00080060, "CS", b"MR"), *private, AFTER)
    with pytest.raises(ValueError, match="could not convert string to float"):
        pydicom.dcmread(io.BytesIO(content)).to_json_dict()
    row = read(content)
    assert row["parsed_by"] == "native"
    assert row["error"] is None
    assert row["issues"] == [{"tag": "00431080", "vr": "DS", "message": "is not a decimal string"}]
    assert row["meta"]["00431080"] == {"vr": "DS"}
    assert row["meta"]["00080060"]["Value"] == ["MR"]
    assert row["meta"]["7FDF0010"]["Value"] == ["kept"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (element(0x00181318, "DS", b"1e999 "), "is beyond the range of numbers"),
        (element(0x00181318, "DS", b"NaN "), "is not a decimal string"),
        (element(0x00200011, "IS", b"0x1F"), "is not an integer string"),
        (element(0x00200011, "IS", b"12.5"), "has a fraction, which is cut off"),
        (element(0x00189073, "FD", bytes.fromhex("000000000000f87f")), "holds numbers that are not finite"),
        (element(0x00280010, "US", b"\1\2\3"), "has a length that does not fit its VR"),
        (element(0x00280009, "AT", b"\1\2\3\4\5\6"), "has a length that does not fit its VR"),
        (element(0x00091001, "ZZ", b"\1\2"), "has a value representation that DICOM does not know"),
        (element(0x00080005, "CS", b"ISO_IR 192") + element(0x00100020, "LO", b"\xff\xfe"), UNDECODABLE),
    ],
)
def test_one_bad_element_is_an_issue_and_the_rest_is_kept(bad: bytes, message: str) -> None:
    row = read(dicom(bad, AFTER))
    assert message in messages(row)
    assert row["error"] is None
    assert row["meta"]["7FDF0010"]["Value"] == ["kept"]


@pytest.mark.parametrize("vr", [b"A\x80", b"S\xff", b"\x80\x80", b"ab", b'A"', b"\0\0"])
def test_a_vr_that_is_no_text(vr: bytes) -> None:
    unknown = element(0x00091001, "ZZ", b"12").replace(b"ZZ", vr)
    batch = read_headers([dicom(element(0x00080060, "CS", b"MR"), unknown)])
    batch.validate(full=True)
    row = batch.to_pylist()[0]
    assert row["Modality"] == "MR"
    assert row["issues"]


def test_issues_without_end_are_cut_off() -> None:
    bad = [element(0x00431000 + number, "DS", b"P1:1") for number in range(200)]
    row = read(dicom(*bad, AFTER))
    assert len(row["issues"]) == 101
    assert row["issues"][-1] == {"tag": None, "vr": None, "message": "there are more issues than are listed"}
    assert row["meta"]["7FDF0010"]["Value"] == ["kept"]


def test_messages_hold_no_values_of_attributes() -> None:
    secret = b"SECRET"
    values = {0x00080020: "DA", 0x00101010: "AS", 0x00181318: "DS", 0x00200013: "IS", 0x00280010: "US"}
    numbers = [element(tag, vr, secret) for tag, vr in values.items()]
    others = element(0x00080005, "CS", secret), element(0x00091001, "ZZ", secret), element(0x00189073, "FD", secret)
    cut_off = element(0x7FDF0010, "LO", secret, length=1000)
    row = read(dicom(*numbers, *others, cut_off))
    assert len(row["issues"]) >= 6
    assert row["error"]
    assert "SECRET" not in str(row["issues"]) + row["error"]


# --- Structure ---


@pytest.mark.parametrize("defined", [False, True], ids=["undefined lengths", "defined lengths"])
@pytest.mark.parametrize("depth", [100, 101, 10_000])
def test_sequences_nested_deeply(depth: int, defined: bool) -> None:
    row = read(dicom(nested(depth, defined=defined), AFTER))
    assert row["error"] is None
    assert row["meta"]["7FDF0010"]["Value"] == ["kept"]
    level, levels = row["meta"], 0
    while "00081140" in level:
        level, levels = (level["00081140"].get("Value") or [{}])[0], levels + 1
    assert levels == min(depth, 101)
    assert ("is nested deeper than 100 sequences" in messages(row)) == (depth > 100)


def test_opened_and_never_closed() -> None:
    opened = element(SEQUENCE, "SQ", length=UNDEFINED) + implicit(0xFFFEE000, length=UNDEFINED)
    for depth in (1, 50, 10_000):
        row = read(dicom(element(0x00080060, "CS", b"MR"), opened * depth))
        assert row["error"].startswith("truncated")
        assert row["Modality"] == "MR"


@pytest.mark.parametrize("length", [6, 1000, 2**31 - 1, 2**32 - 2])
@pytest.mark.parametrize("vr", ["OB", "UT", "SQ", "UN"])
def test_a_length_beyond_the_end(vr: str, length: int) -> None:
    row = read(dicom(element(0x00080060, "CS", b"MR"), element(0x00420011, vr, b"1234", length=length)))
    assert row["error"]
    assert row["Modality"] == "MR"


def test_an_item_longer_than_its_sequence() -> None:
    content = element(0x00080060, "CS", b"MR")
    row = read(dicom(element(SEQUENCE, "SQ", item(content, length=500)), AFTER))
    assert messages(row) == ["ends inside an item or without its delimiter"]
    assert row["meta"]["00081140"]["Value"] == [{"00080060": {"vr": "CS", "Value": ["MR"]}}]
    assert row["meta"]["7FDF0010"]["Value"] == ["kept"]


def test_an_element_longer_than_its_sequence() -> None:
    row = read(dicom(element(SEQUENCE, "SQ", item(element(0x00080060, "CS", b"MR", length=500))), AFTER))
    assert row["issues"] == [
        {"tag": "00081140/0/00080060", "vr": "CS", "message": "is longer than the sequence that it is in"}
    ]
    assert row["meta"]["7FDF0010"]["Value"] == ["kept"]


def test_something_else_where_an_item_should_be() -> None:
    row = read(dicom(element(SEQUENCE, "SQ", element(0x00080060, "CS", b"MR")), AFTER))
    assert "has something else where an item should be" in messages(row)
    assert row["meta"]["7FDF0010"]["Value"] == ["kept"]


def test_delimiters_outside_of_sequences() -> None:
    """That of an item ends the data set, as it does for pydicom."""
    row = read(dicom(element(0x00080060, "CS", b"MR"), END_OF_SEQUENCE, AFTER))
    assert messages(row) == ["is an item or a delimiter outside of any sequence"]
    assert row["meta"]["7FDF0010"]["Value"] == ["kept"]
    row = read(dicom(element(0x00080060, "CS", b"MR"), implicit(0xFFFEE00D), AFTER))
    assert messages(row) == ["ends the data set, although no item is open"]
    assert row["Modality"] == "MR"


def test_sequences_of_unknown_vr() -> None:
    """Their items are in implicit VR (PS3.5 6.2.2)."""
    inner = item(implicit(0x00080060, b"MR"), length=UNDEFINED)
    row = read(dicom(element(SEQUENCE, "UN", inner + END_OF_SEQUENCE, length=UNDEFINED), AFTER))
    assert row["meta"]["00081140"] == {"vr": "SQ", "Value": [{"00080060": {"vr": "CS", "Value": ["MR"]}}]}
    assert row["meta"]["7FDF0010"]["Value"] == ["kept"]


def test_neither_preamble_nor_meta_information() -> None:
    elements = {0x00080005: ("CS", b"ISO_IR 100"), 0x00080016: ("UI", b"1.2.840\0"), 0x00080060: ("CS", b"MR")}
    explicit_vr = b"".join(element(tag, vr, value) for tag, (vr, value) in elements.items())
    implicit_vr = b"".join(implicit(tag, value) for tag, (_, value) in elements.items())
    for content in (explicit_vr, implicit_vr, bytes(128) + b"DICM" + explicit_vr, bytes(128) + b"DICM" + implicit_vr):
        row = read(content)
        assert (row["file_type"], row["Modality"], row["error"]) == ("application/dicom", "MR", None)
        assert row["TransferSyntaxUID"] is None


def test_another_transfer_syntax_than_promised() -> None:
    """Some write implicit VR and say explicit, and the other way round."""
    assert read(dicom(implicit(0x00080060, b"MR")))["Modality"] == "MR"
    assert read(dicom(element(0x00080060, "CS", b"MR"), transfer_syntax=ImplicitVRLittleEndian))["Modality"] == "MR"


# --- Deflated ---


def deflated(content: bytes) -> bytes:
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return dicom(compressor.compress(content) + compressor.flush(), transfer_syntax=DeflatedExplicitVRLittleEndian)


def test_a_deflated_data_set() -> None:
    row = read(deflated(AFTER))
    assert row["error"] is None
    assert row["meta"]["7FDF0010"]["Value"] == ["kept"]


def test_a_deflated_data_set_that_cannot_be_inflated() -> None:
    row = read(dicom(b"\xff" * 50, transfer_syntax=DeflatedExplicitVRLittleEndian))
    assert row["error"].startswith("the deflated data set cannot be inflated")
    assert row["TransferSyntaxUID"] == DeflatedExplicitVRLittleEndian


def test_a_deflated_data_set_that_ends_too_early() -> None:
    values = [element(0x00431000 + number, "LO", padded(f"value {number**5}")) for number in range(200)]
    content = deflated(b"".join(values))
    row = read(content[: len(content) // 2])
    assert row["error"]
    assert row["meta"]["00431000"]["Value"] == ["value 0"]


def test_a_deflate_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflating, "LARGEST_INFLATED", 1 << 20)
    row = read(deflated(element(0x00420011, "OB", bytes(2 << 20))))
    assert row["error"] == "the deflated data set inflates to more than 1 MiB"
    assert row["TransferSyntaxUID"] == DeflatedExplicitVRLittleEndian


# --- Many at once ---


def test_several_threads_read_the_same() -> None:
    sources: list[Any] = [str(path) for path in SAMPLES] + [path.read_bytes()[:999] for path in SAMPLES]
    expected = read_headers(sources)
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(read_headers(sources))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(result.equals(expected) for result in results)


def test_issues_name_elements_by_the_path_of_tags() -> None:
    batch = read_headers([path.read_bytes()[:1500] for path in SAMPLES])
    tags = [issue["tag"] for issues in batch.column("issues").to_pylist() for issue in issues or ()]
    assert len(tags) > 20
    assert all(tag is None or re.fullmatch(r"[0-9A-F]{8}(/\d+/[0-9A-F]{8})*", tag) for tag in tags)
