"""Where pixel data lies: frames cut out of a file by the row's offsets are those that pydicom finds."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames, itemize_fragment
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, JPEGBaseline8Bit

from dbx.pixels.storage.reader import ClosingReader
from headers import SAMPLES, UNDEFINED, dicom, element, implicit, item, read

pytestmark = pytest.mark.filterwarnings("ignore")

PIXEL_DATA = 0x7FE00010
END_OF_SEQUENCE = implicit(0xFFFEE0DD)

#: An end marker of JPEG ends each frame.
FRAMES = [b"\xff\xd8" + bytes([number]) * (20 + 4 * number) + b"\xff\xd9" for number in range(1, 5)]


def frames_of(content: bytes, row: dict[str, Any]) -> list[bytes]:
    """Cut the frames out of an object by its row."""
    frames: dict[int, bytes] = {}
    for fragment in row["fragments"]:
        piece = content[fragment["offset"] : fragment["offset"] + fragment["length"]]
        frames[fragment["frame"]] = frames.get(fragment["frame"], b"") + piece
    return [frames[number] for number in sorted(frames)]


def encapsulated(value: bytes, *before: bytes, frames: int = len(FRAMES)) -> bytes:
    """Encode an object with encapsulated pixel data."""
    number_of_frames = element(0x00280008, "IS", f"{frames:<2}".encode())
    pixel_data = element(PIXEL_DATA, "OB", value, length=UNDEFINED) + END_OF_SEQUENCE
    return dicom(number_of_frames, *before, pixel_data, transfer_syntax=JPEGBaseline8Bit)


def with_pixel_data(*, is_encapsulated: bool) -> list[Path]:
    paths = []
    for path in SAMPLES:
        try:
            dataset = pydicom.dcmread(path)
        except pydicom.errors.InvalidDicomError:
            continue
        if any(keyword in dataset for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
            syntax = dataset.file_meta.get("TransferSyntaxUID")
            if bool(syntax and syntax.is_encapsulated) == is_encapsulated:
                paths.append(path)
    return paths


def messages(row: dict[str, Any]) -> list[str]:
    return [issue["message"] for issue in row["issues"]]


# --- Against pydicom ---


def test_frames_of_encapsulated_files_are_those_of_pydicom() -> None:
    paths = with_pixel_data(is_encapsulated=True)
    assert len(paths) > 30
    for path in paths:
        dataset = pydicom.dcmread(path)
        row = read(str(path))
        expected = list(generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames", 1))))
        assert frames_of(path.read_bytes(), row) == expected, path.name
        assert row["pixel_data"]["length"] is None
        assert row["issues"] == [], path.name


def test_raw_pixel_data_lies_where_pydicom_reads_it() -> None:
    paths = with_pixel_data(is_encapsulated=False)
    assert len(paths) > 30
    for path in paths:
        row = read(str(path))
        dataset = pydicom.dcmread(path, defer_size=0)
        tag = int(row["pixel_data"]["tag"], 16)
        if row["TransferSyntaxUID"] == DeflatedExplicitVRLittleEndian:
            assert row["pixel_data"]["length"] == len(dataset[tag].value)  # its offset is in the inflated data set
            continue
        offset, length = row["pixel_data"]["offset"], row["pixel_data"]["length"]
        stored = path.read_bytes()[offset : offset + length]
        value = dataset[tag].value
        if row["TransferSyntaxUID"] == ExplicitVRBigEndian and dataset[tag].VR == "OW":
            assert len(stored) == len(value), path.name
        else:
            assert stored == value, path.name
        assert row["fragments"] is None


# --- Offset tables ---


def test_without_an_offset_table_end_markers_tell_frames_apart() -> None:
    fragments = b"".join(itemize_fragment(frame[at : at + 8]) for frame in FRAMES for at in range(0, len(frame), 8))
    content = encapsulated(item() + fragments)
    row = read(content)
    assert frames_of(content, row) == FRAMES
    assert len(row["fragments"]) > 2 * len(FRAMES)


@pytest.mark.parametrize("fragments_per_frame", [1, 3])
@pytest.mark.parametrize("has_bot", [True, False])
def test_frames_of_several_fragments(fragments_per_frame: int, has_bot: bool) -> None:
    content = encapsulated(encapsulate(FRAMES, fragments_per_frame=fragments_per_frame, has_bot=has_bot))
    row = read(content)
    assert frames_of(content, row) == FRAMES
    assert len(row["fragments"]) == fragments_per_frame * len(FRAMES)
    assert row["issues"] == []


def test_a_frame_of_many_fragments_without_a_table() -> None:
    content = encapsulated(item() + b"".join(itemize_fragment(frame) for frame in FRAMES), frames=1)
    row = read(content)
    assert frames_of(content, row) == [b"".join(FRAMES)]
    assert row["issues"] == []


def test_the_extended_offset_table() -> None:
    value, offsets, lengths = encapsulate_extended(FRAMES)
    content = encapsulated(value, element(0x7FE00001, "OV", offsets), element(0x7FE00002, "OV", lengths))
    row = read(content)
    assert frames_of(content, row) == FRAMES
    assert [fragment["frame"] for fragment in row["fragments"]] == [0, 1, 2, 3]
    assert row["issues"] == []


@pytest.mark.parametrize(
    ("offsets", "lengths"),
    [([0] * 3, [1] * 3), ([0, 2**63, 8, 16], [1] * 4), ([0, 8, 16, 24], [2**64 - 1] * 4), ([2**64 - 8] * 4, [16] * 4)],
)
def test_an_extended_offset_table_that_lies_is_an_issue(offsets: list[int], lengths: list[int]) -> None:
    tables = [
        element(tag, "OV", struct.pack(f"<{len(values)}Q", *values))
        for tag, values in ((0x7FE00001, offsets), (0x7FE00002, lengths))
    ]
    content = encapsulated(encapsulate(FRAMES), *tables)
    row = read(content)
    assert messages(row) == ["has an extended offset table that does not fit its frames"]
    assert frames_of(content, row) == FRAMES


@pytest.mark.parametrize("offsets", [[8, 40, 80, 120], [0, 7, 8, 9], [0, 2**31], [0, 0, 0, 0], [0] * 1000])
def test_a_basic_offset_table_that_lies_is_an_issue(offsets: list[int]) -> None:
    table = struct.pack(f"<{len(offsets)}I", *offsets)
    content = encapsulated(item(table) + b"".join(itemize_fragment(frame) for frame in FRAMES))
    row = read(content)
    assert "has an offset table that does not fit its fragments" in messages(row)
    assert frames_of(content, row) == FRAMES


def test_fragments_that_no_frame_can_be_told_of() -> None:
    content = encapsulated(item() + itemize_fragment(b"12345678") + itemize_fragment(b"12345678"), frames=5)
    row = read(content)
    assert [fragment["frame"] for fragment in row["fragments"]] == [None, None]
    assert messages(row) == ["has 2 fragments for 5 frames"]


# --- Broken ---


def image(pixel_data: bytes, *, frames: int = 3) -> bytes:
    """Encode an image of 4 x 5 pixels of 16 bits."""
    sizes = {0x00280002: 1, 0x00280010: 4, 0x00280011: 5, 0x00280100: 16}
    elements = [element(tag, "US", struct.pack("<H", size)) for tag, size in sizes.items()]
    elements.insert(1, element(0x00280008, "IS", f"{frames:<2}".encode()))
    return dicom(*elements, pixel_data)


def test_raw_frames_follow_each_other() -> None:
    content = image(element(PIXEL_DATA, "OW", bytes(range(120))))
    row = read(content)
    assert row["pixel_data"] == {"tag": "7FE00010", "offset": len(content) - 120, "length": 120}
    assert row["fragments"] is None
    assert row["issues"] == []


def test_pixel_data_cut_off_is_an_issue_and_no_error() -> None:
    content = image(element(PIXEL_DATA, "OW", bytes(100), length=120))
    row = read(content)
    assert row["pixel_data"] == {"tag": "7FE00010", "offset": len(content) - 100, "length": 100}
    assert row["issues"] == [{"tag": "7FE00010", "vr": "OW", "message": "ends after 100 of 120 bytes"}]
    assert row["error"] is None


def test_too_little_pixel_data_is_an_issue() -> None:
    row = read(image(element(PIXEL_DATA, "OW", bytes(80))))
    assert row["issues"] == [
        {"tag": "7FE00010", "vr": "OW", "message": "has 80 bytes where its frames need 120"},
    ]


def test_encapsulated_pixel_data_cut_off_keeps_the_fragments_before() -> None:
    content = encapsulated(encapsulate(FRAMES, has_bot=False))
    for missing in range(9, 70):
        cut = content[:-missing]
        row = read(cut)
        fragments = [cut[at["offset"] :][: at["length"]] for at in row["fragments"]]
        assert b"".join(FRAMES).startswith(b"".join(fragments))
        assert len(fragments) > 1
        assert row["issues"]
        assert row["error"] is None


def test_no_fragments_at_all() -> None:
    for value in (b"", item(), item(bytes(4), length=2**31)):
        row = read(dicom(element(PIXEL_DATA, "OB", value, length=UNDEFINED), transfer_syntax=JPEGBaseline8Bit))
        assert row["pixel_data"]["length"] is None
        assert row["fragments"] is None
        assert row["issues"]
        assert row["error"] is None


@pytest.mark.parametrize(("tag", "vr"), [(0x7FE00008, "OF"), (0x7FE00009, "OD")])
def test_float_pixel_data(tag: int, vr: str) -> None:
    content = dicom(element(tag, vr, bytes(64)))
    row = read(content)
    assert row["pixel_data"] == {"tag": f"{tag:08X}", "offset": len(content) - 64, "length": 64}
    assert f"{tag:08X}" not in row["meta"]


def test_pixel_data_of_an_icon_is_not_that_of_the_image() -> None:
    icon = element(0x00880200, "SQ", item(element(PIXEL_DATA, "OB", bytes(8))))
    assert read(dicom(icon))["pixel_data"] is None


# --- How it is read ---


class CountingReader(ClosingReader):
    """A `Reader` of bytes that remembers how far it was read."""

    def __init__(self, content: bytes, *, sequential: bool) -> None:
        self.size, self.sequential, self.farthest = len(content), sequential, 0
        self._file = io.BytesIO(content)

    def read(self, offset: int, length: int) -> bytes:
        self.farthest = max(self.farthest, min(offset + length, self.size))
        self._file.seek(offset)
        return self._file.read(length)


@pytest.mark.parametrize("sequential", [False, True])
def test_fragments_of_what_is_read_front_to_back_are_left_alone(sequential: bool) -> None:
    frames = [bytes(2_000_000) for _ in range(3)]
    content = encapsulated(encapsulate(frames), frames=3)
    reader = CountingReader(content, sequential=sequential)
    row = read(reader)
    assert row["pixel_data"]["offset"] == content.index(b"\xfe\xff\x00\xe0")
    assert (row["fragments"] is None) == sequential
    assert (reader.farthest > 4_000_000) != sequential
    assert row["issues"] == []
