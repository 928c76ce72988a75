"""Objects and frames in Explicit VR Little Endian: equal to what they were made of, and readable by pydicom."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels import pack_bits
from pydicom.tag import Tag, tag_in_exception
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless

from dbx.pixels.dicom import inflating
from dbx.pixels.dicom.image import ImagePixel
from dbx.pixels.dicom.pixels import decode_frame, encoded_frame
from dbx.pixels.dicom.quiet import reason
from dbx.pixels.errors import PixelDataError
from dbx.pixels.storage import open_object
from dbx.pixels.web.dicomweb.frames import frame_bytes
from dbx.pixels.web.dicomweb.transcoding import explicit_little_endian
from headers import dicom, element
from images import image_files, name_of, row_of, write_image

from conftest import TEST_FILES

#: Without a SOP class there is no file.
NAMELESS = {"UN_sequence.dcm", "empty_charset_LEI.dcm", "meta_missing_tsyntax.dcm", "nested_priv_SQ.dcm", "no_meta.dcm"}
NAMELESS |= {"no_meta_group_length.dcm", "priv_SQ.dcm"}
#: Pixel data that cannot be decoded, or ends too early.
DAMAGED = {"JPEG2000-embedded-sequence-delimiter.dcm", "MR_truncated.dcm"}
FILES = [path for path in sorted(TEST_FILES.glob("*.dcm")) if path.name not in NAMELESS | DAMAGED]
IMAGES = [path for path in image_files(TEST_FILES) if path.name not in NAMELESS]


def transcoded(path: Path) -> bytes:
    return b"".join(explicit_little_endian(str(path), row_of(path)))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_the_header_stays_the_same(path: Path) -> None:
    expected = pydicom.dcmread(path, force=True, stop_before_pixels=True)
    read = pydicom.dcmread(io.BytesIO(transcoded(path)), stop_before_pixels=True)
    assert read.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert read.file_meta.MediaStorageSOPInstanceUID == expected.SOPInstanceUID
    is_decoded = row_of(path)["fragments"] is not None
    changed = {"PhotometricInterpretation", "PlanarConfiguration"} if is_decoded else set()
    for tag in expected.keys() | read.keys():
        if tag.element != 0 and pydicom.datadict.keyword_for_tag(tag) not in changed:  # lengths of groups are retired
            assert read[tag].value == expected[tag].value


@pytest.mark.parametrize("path", IMAGES, ids=name_of)
def test_the_pixels_stay_the_same(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.dcm"
    copy.write_bytes(transcoded(path))
    row, new_row = row_of(path), row_of(copy)
    for frame in range(row["NumberOfFrames"] or 1):
        expected = decode_frame(str(path), row, frame)
        np.testing.assert_array_equal(decode_frame(str(copy), new_row, frame), expected)
        # What is sent as a frame is what the transcoded object holds.
        sent = frame_bytes(str(path), ImagePixel.from_row(row), frame, ExplicitVRLittleEndian)
        assert sent == frame_bytes(str(copy), ImagePixel.from_row(new_row), frame, ExplicitVRLittleEndian)


def test_binary_values_of_big_endian_objects_are_swapped(tmp_path: Path) -> None:
    lut = pydicom.DataElement("RedPaletteColorLookupTableData", "OW", b"\x01\x02\x03\x04")
    pixels = np.arange(6, dtype=np.uint16).reshape(2, 3)
    path = write_image(
        tmp_path / "a.dcm", pixels.byteswap(), transfer_syntax=ExplicitVRBigEndian, RedPaletteColorLookupTableData=lut
    )
    read = pydicom.dcmread(io.BytesIO(transcoded(path)))
    assert read.RedPaletteColorLookupTableData == b"\x02\x01\x04\x03"
    assert read.PixelData == pixels.tobytes()


def test_pixel_data_of_odd_length_is_padded(tmp_path: Path) -> None:
    pixels = np.arange(9, dtype=np.uint8).reshape(3, 3)
    rle = pydicom.dcmread(write_image(tmp_path / "a.dcm", pixels))
    rle.compress(RLELossless)
    rle.save_as(tmp_path / "rle.dcm")
    assert pydicom.dcmread(io.BytesIO(transcoded(tmp_path / "rle.dcm"))).PixelData == pixels.tobytes() + b"\0"


def test_frames_of_single_bits_begin_with_a_byte(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 2, (3, 3, 5), np.uint8)
    path = write_image(tmp_path / "a.dcm", frames[0], BitsAllocated=1, BitsStored=1, HighBit=0, NumberOfFrames=3)
    image = pydicom.dcmread(path)
    image.PixelData = pack_bits(frames)
    image.save_as(path)
    for number, frame in enumerate(frames):
        sent = frame_bytes(str(path), ImagePixel.from_row(row_of(path)), number, ExplicitVRLittleEndian)
        assert sent == pack_bits(frame, pad=False)


def test_encapsulated_frames_go_out_as_they_are_stored() -> None:
    path = TEST_FILES / "SC_rgb_jpeg_dcmtk.dcm"
    image = ImagePixel.from_row(row_of(path))
    sent = frame_bytes(str(path), image, 0, JPEGBaseline8Bit)
    assert sent == encoded_frame(str(path), image, 0)
    assert sent.startswith(b"\xff\xd8\xff")


def test_objects_in_archives_are_transcoded(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(TEST_FILES / "MR_small_RLE.dcm", "a.dcm")
    with open_object(f"zip://a.dcm::{tmp_path}/a.zip") as reader:
        data = b"".join(explicit_little_endian(reader, row_of(TEST_FILES / "MR_small_RLE.dcm")))
    assert data == transcoded(TEST_FILES / "MR_small_RLE.dcm")


def test_what_cannot_be_decoded_is_said_before_the_first_piece() -> None:
    with pytest.raises(PixelDataError, match="cannot be decoded"):
        transcoded(TEST_FILES / "JPEG2000-embedded-sequence-delimiter.dcm")


def test_an_object_without_a_sop_class_cannot_become_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(dicom(element(0x00080060, "CS", b"CT")))
    with pytest.raises(PixelDataError, match="cannot be transcoded"):
        transcoded(path)


def test_what_is_told_of_pydicoms_errors_is_no_traceback() -> None:
    with pytest.raises(ValueError, match="Traceback") as caught, tag_in_exception(Tag(0x7FE00010)):
        raise ValueError("is odd")
    assert reason(caught.value) == "ValueError: is odd"


def test_a_deflated_object_too_long_to_be_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflating, "LARGEST_INFLATED", 1 << 17)
    with pytest.raises(PixelDataError, match="cannot be transcoded: the deflated data set inflates to more than"):
        transcoded(TEST_FILES / "image_dfl.dcm")
