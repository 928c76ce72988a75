"""Stored pixel values: equal to those of pydicom in every transfer syntax, one frame at a time; errors that say why."""

from __future__ import annotations

import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.uid import (
    HTJ2K,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from dbx.pixels.dicom import inflating, room
from dbx.pixels.dicom.image import ImagePixel
from dbx.pixels.dicom.pixels import decode, decode_frame, decode_frames
from dbx.pixels.dicom.room import room_for
from dbx.pixels.errors import PixelDataError, StorageError
from dbx.pixels.storage import Reader, open_object
from images import image_files, name_of, row_of, write_image

from conftest import TEST_FILES

RANDOM = np.random.default_rng(0)

#: What pydicom cannot decode by itself, with a file of the same image and how far apart their values may be.
SAME_IMAGE = {
    "MR_small_jpeg_ls_lossless.dcm": ("MR_small.dcm", 0),
    "SC_rgb_jpeg_gdcm.dcm": ("SC_rgb_rle.dcm", 0),
    "SC_rgb_jls_lossy_line.dcm": ("SC_rgb_rle.dcm", 2),
    "SC_rgb_jls_lossy_sample.dcm": ("SC_rgb_rle.dcm", 2),
    "badVR.dcm": ("rtdose_1frame.dcm", 0),
}

#: What pydicom cannot decode by itself and no other file equals.
ALONE = {
    "JPEG-lossy.dcm",
    "JPGExtended.dcm",
    "JPEGLSNearLossless_08.dcm",
    "JPEGLSNearLossless_16.dcm",
    "GDCMJ2K_TextGBR.dcm",
}


def frames_of(path: Path) -> NDArray[Any]:
    return np.stack(list(decode_frames(str(path), row_of(path))))


@pytest.mark.parametrize("path", [path for path in image_files(TEST_FILES) if path.name not in ALONE], ids=name_of)
def test_values_are_those_of_pydicom(path: Path) -> None:
    same_image, tolerance = SAME_IMAGE.get(path.name, (path.name, 0))
    if "jpeg" in path.name or "ybr" in path.name or "_dcmtk" in path.name:
        tolerance = 3  # decoders of JPEG, and conversions from YBR, round differently
    expected = pydicom.dcmread(TEST_FILES / same_image).pixel_array
    frames = frames_of(path).reshape(expected.shape)
    assert np.abs(frames.astype(float) - expected.astype(float)).max() <= tolerance


@pytest.mark.parametrize("path", [path for path in image_files(TEST_FILES) if path.name not in SAME_IMAGE], ids=name_of)
def test_types_tell_size_and_sign_of_values(path: Path) -> None:
    image = pydicom.dcmread(path)
    kind = "i" if image.PixelRepresentation else "u"
    assert frames_of(path).dtype == f"{kind}{max(image.BitsAllocated // 8, 1)}"


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("JPEGLSNearLossless_08.dcm", [0, 5, 15, 30, 65, 125, 255]),
        ("JPEGLSNearLossless_16.dcm", [0, 5, 15, 65, 255, 1025, 4095, 16385, 32765, 65535]),
    ],
)
def test_near_lossless_steps(name: str, steps: list[int]) -> None:
    assert np.unique(frames_of(TEST_FILES / name)).tolist() == steps


@pytest.mark.parametrize("name", ["JPEG-lossy.dcm", "JPGExtended.dcm"])
def test_jpeg_of_twelve_bits(name: str) -> None:
    same_scan = frames_of(TEST_FILES / "JPEG2000.dcm")  # lossy, too
    assert np.corrcoef(frames_of(TEST_FILES / name).ravel(), same_scan.ravel())[0, 1] > 0.95


def test_reversible_colour_transform() -> None:
    text = frames_of(TEST_FILES / "GDCMJ2K_TextGBR.dcm")[0]
    assert {(255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)} <= set(map(tuple, text.reshape(-1, 3).tolist()))


def encodings(pixels: NDArray[Any]) -> dict[str, bytes]:
    """Encode pixels in lossless transfer syntaxes, by what is no part of the project."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return {
        "1.2.840.10008.1.2.1.98": pixels.tobytes(),
        JPEGLosslessSV1: imagecodecs.ljpeg_encode(pixels.view(f"u{pixels.itemsize}")),
        JPEGLSLossless: imagecodecs.jpegls_encode(pixels.view(f"u{pixels.itemsize}")),
        JPEG2000Lossless: imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, codecformat="j2k"),
        HTJ2KLossless: imagecodecs.htj2k_encode(pixels),
        HTJ2K: imagecodecs.htj2k_encode(pixels),
        "1.2.840.10008.1.2.4.110": imagecodecs.jpegxl_encode(pixels.view(f"u{pixels.itemsize}"), lossless=True),
        "1.2.840.10008.1.2.8.1": deflater.compress(pixels.tobytes()) + deflater.flush(),
    }


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2"])
@pytest.mark.parametrize("syntax", encodings(np.zeros((8, 8), np.uint8)))
def test_lossless_syntaxes_lose_nothing(tmp_path: Path, syntax: str, dtype: str) -> None:
    limits = np.iinfo(dtype)
    pixels = RANDOM.integers(limits.min, limits.max, (31, 17), endpoint=True).astype(dtype)
    path = write_image(
        tmp_path / "image.dcm", pixels, transfer_syntax=syntax, frames=[bytes(encodings(pixels)[syntax])]
    )
    decoded = decode_frame(str(path), row_of(path))
    assert decoded.dtype == dtype
    assert np.array_equal(decoded, pixels)


def test_bits_above_the_stored_ones_mean_nothing(tmp_path: Path) -> None:
    values = RANDOM.integers(-2048, 2048, (9, 7)).astype(np.int16)
    overlay = RANDOM.integers(0, 16, (9, 7)).astype(np.uint16) << 12
    path = write_image(
        tmp_path / "12-bit.dcm", (values.view(np.uint16) & 0x0FFF) | overlay, PixelRepresentation=1, BitsStored=12
    )
    assert np.array_equal(decode_frame(str(path), row_of(path)), values)


def test_frames_of_single_bits_need_not_begin_with_a_byte(tmp_path: Path) -> None:
    frames = RANDOM.integers(0, 2, (5, 3, 7)).astype(np.uint8)
    packed = np.packbits(frames.ravel(), bitorder="little").tobytes()
    path = write_image(
        tmp_path / "bits.dcm", frames[0], BitsAllocated=1, BitsStored=1, HighBit=0, NumberOfFrames=5, PixelData=packed
    )
    assert np.array_equal(frames_of(path), frames)


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 5, 3)], ids=["grey", "colour"])
def test_bytes_are_swapped_within_big_endian_words(tmp_path: Path, shape: tuple[int, ...]) -> None:
    frames = RANDOM.integers(0, 256, shape).astype(np.uint8)
    words = np.frombuffer(frames.tobytes() + b"\0" * (frames.nbytes % 2), np.uint16).byteswap().tobytes()
    path = write_image(
        tmp_path / "words.dcm",
        frames[0],
        transfer_syntax=ExplicitVRBigEndian,
        NumberOfFrames=2,
        PixelData=pydicom.DataElement("PixelData", "OW", words),
    )
    assert np.array_equal(frames_of(path), frames)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_floating_point_pixel_data(tmp_path: Path, dtype: str) -> None:
    pixels = RANDOM.normal(size=(4, 6)).astype(dtype)
    path = write_image(tmp_path / "parametric-map.dcm", pixels)
    assert np.array_equal(decode_frame(str(path), row_of(path)), pixels)


def test_planes_of_colour(tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 256, (5, 4, 3)).astype(np.uint8)
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1)).tobytes()
    path = write_image(tmp_path / "planes.dcm", pixels, PlanarConfiguration=1, PixelData=planes)
    assert np.array_equal(decode_frame(str(path), row_of(path)), pixels)


def test_fragments_are_found_if_the_row_does_not_know_them() -> None:
    path = TEST_FILES / "examples_ybr_color.dcm"
    row = row_of(path)
    known = decode_frame(str(path), row, 17)
    assert np.array_equal(decode_frame(str(path), row | {"fragments": None}, 17), known)


def test_frames_of_several_fragments(tmp_path: Path) -> None:
    frames = RANDOM.integers(0, 256, (3, 16, 16)).astype(np.uint8)
    path = write_image(
        tmp_path / "fragments.dcm",
        frames[0],
        transfer_syntax="1.2.840.10008.1.2.1.98",
        frames=[frame.tobytes() for frame in frames],
        fragments_per_frame=2,
        NumberOfFrames=3,
    )
    image = row_of(path)
    assert [fragment["frame"] for fragment in image["fragments"]] == [0, 0, 1, 1, 2, 2]
    assert np.array_equal(frames_of(path), frames)


@pytest.mark.parametrize("name", ["CT_small.dcm", "examples_ybr_color.dcm", "image_dfl.dcm"])
def test_readers_give_what_paths_give(name: str) -> None:
    path = TEST_FILES / name
    with open_object(str(path)) as reader:
        assert np.array_equal(decode_frame(reader, row_of(path)), decode_frame(str(path), row_of(path)))


def test_one_frame_is_read_not_all() -> None:
    path = TEST_FILES / "examples_ybr_color.dcm"
    with open_object(str(path)) as opened:
        counted = CountingReader(opened)
        decode_frame(counted, row_of(path), 17)
    assert counted.bytes_read < opened.size / 20  # of 30 frames


class CountingReader:
    """A reader that counts what is read."""

    sequential = False

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.size = reader.size
        self.bytes_read = 0

    def read(self, offset: int, length: int) -> bytes:
        self.bytes_read += length
        return self.reader.read(offset, length)


def test_there_is_no_frame_beyond_the_last() -> None:
    path = TEST_FILES / "rtdose.dcm"
    with pytest.raises(PixelDataError, match="there is no frame 15: the image has 15"):
        decode_frame(str(path), row_of(path), 15)


def test_pixel_data_that_ends_too_early() -> None:
    path = TEST_FILES / "MR_truncated.dcm"
    with pytest.raises(PixelDataError, match="ends within the pixel data"):
        decode_frame(str(path), row_of(path))


def test_codestreams_that_are_none(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8), np.uint16)
    for syntax in encodings(pixels):
        path = write_image(tmp_path / "broken.dcm", pixels, transfer_syntax=syntax, frames=[b"no codestream"])
        with pytest.raises(PixelDataError):
            decode_frame(str(path), row_of(path))


def test_lengths_that_lie_are_not_believed(tmp_path: Path) -> None:
    path = write_image(tmp_path / "small.dcm", np.zeros((8, 8), np.uint16))
    with pytest.raises(PixelDataError, match="ends within"):
        decode_frame(str(path), row_of(path) | {"Rows": 20000, "Columns": 20000})


@pytest.mark.parametrize("syntax", encodings(np.zeros((8, 8), np.uint8)))
def test_codestreams_larger_than_the_object_says_are_refused(tmp_path: Path, syntax: str) -> None:
    encoded = bytes(encodings(np.zeros((64, 64), np.uint8))[syntax])
    path = write_image(tmp_path / "small.dcm", np.zeros((8, 8), np.uint8), transfer_syntax=syntax, frames=[encoded])
    if syntax in ("1.2.840.10008.1.2.1.98", "1.2.840.10008.1.2.8.1"):  # what follows the frame is not looked at
        assert decode_frame(str(path), row_of(path)).shape == (8, 8)
        return
    with pytest.raises(PixelDataError, match="larger"):
        decode_frame(str(path), row_of(path))
    with pytest.raises(PixelDataError, match="larger"):
        decode(str(path), ImagePixel.from_row(row_of(path)), 0, size=(4, 4))


def jpeg_bomb(noise: NDArray[np.uint8], marker: bytes) -> bytes:
    """Encode noise, with a size that is not its own."""
    encoded = claiming(imagecodecs.ljpeg_encode(noise), b"\xff\xc3", 60000)
    return encoded.replace(b"\xff\xc3", marker, 1)


def claiming(encoded: bytes, marker: bytes, side: int) -> bytes:
    """Change the size that a codestream of JPEG or JPEG-LS tells behind a marker."""
    at = encoded.index(marker) + 5
    return encoded[:at] + side.to_bytes(2) * 2 + encoded[at + 4 :]


def jpeg_2000_claiming(encoded: bytes, side: int) -> bytes:
    """Change the size that a codestream of JPEG 2000 tells, that of its only tile too."""
    at = encoded.index(b"\xff\x4f\xff\x51") + 8
    size, nowhere = side.to_bytes(4) * 2, bytes(8)
    return encoded[:at] + size + nowhere + size + encoded[at + 24 :]


def deflated_zeros(megabytes: int) -> bytes:
    deflater = zlib.compressobj(level=1, wbits=-zlib.MAX_WBITS)
    return b"".join(deflater.compress(bytes(2**20)) for _ in range(megabytes)) + deflater.flush()


def runs(count: int) -> bytes:
    return struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\x07" * count


#: By name: the transfer syntax, a frame, and the object's Rows and Columns.
BOMBS: dict[str, Callable[[NDArray[np.uint8]], tuple[str, bytes, int]]] = {
    "jpeg": lambda noise: (JPEGLosslessSV1, jpeg_bomb(noise, b"\xff\xc3"), 64),
    "extended jpeg": lambda noise: (JPEGExtended12Bit, jpeg_bomb(noise, b"\xff\xc1"), 64),
    "jpeg xl": lambda _: (
        "1.2.840.10008.1.2.4.110",
        imagecodecs.jpegxl_encode(np.zeros((9000, 9000), np.uint8), effort=1),
        64,
    ),
    "rle": lambda _: (RLELossless, runs(4_000_000), 64),
    "short rle": lambda _: (RLELossless, runs(1_000_000), 65535),
    "baseline jpeg, huge": lambda noise: (
        JPEGBaseline8Bit,
        claiming(imagecodecs.jpeg8_encode(noise), b"\xff\xc0", 65500),
        65500,
    ),
    "jpeg ls, huge": lambda noise: (
        JPEGLSLossless,
        claiming(imagecodecs.jpegls_encode(noise), b"\xff\xf7", 65500),
        65500,
    ),
    "jpeg ls, large": lambda noise: (
        JPEGLSLossless,
        claiming(imagecodecs.jpegls_encode(noise), b"\xff\xf7", 20000),
        20000,
    ),
    "jpeg 2000, huge": lambda noise: (
        JPEG2000Lossless,
        jpeg_2000_claiming(imagecodecs.jpeg2k_encode(noise, codecformat="j2k"), 65500),
        65500,
    ),
    "jpeg 2000, large": lambda noise: (
        JPEG2000Lossless,
        jpeg_2000_claiming(imagecodecs.jpeg2k_encode(noise, codecformat="j2k"), 20000),
        20000,
    ),
    "deflated": lambda _: ("1.2.840.10008.1.2.8.1", deflated_zeros(400), 64),
    "short deflated": lambda _: ("1.2.840.10008.1.2.8.1", deflated_zeros(4), 65535),
}


@pytest.mark.skipif(sys.platform != "linux", reason="measures with Linux's units")
@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_take_no_memory(tmp_path: Path, bomb: str) -> None:
    noise = RANDOM.integers(0, 256, (64, 64)).astype(np.uint8)
    syntax, encoded, side = BOMBS[bomb](noise)
    path = write_image(tmp_path / "bomb.dcm", noise, transfer_syntax=syntax, frames=[encoded], Rows=side, Columns=side)
    done = subprocess.run([sys.executable, "-c", DECODE, str(path)], capture_output=True, text=True, check=True)
    grown_by, problem = done.stdout.split(maxsplit=1)
    assert int(grown_by) < 100_000  # of kilobytes
    assert "cannot be decoded" in problem or bomb == "deflated"


#: Tells by how many kilobytes the process grew while it decoded a file, and what was wrong.
DECODE = """
import re, sys
from pathlib import Path
from dbx.pixels.dicom.headers import read_headers
from dbx.pixels.dicom.pixels import decode_frame
from dbx.pixels.errors import PixelDataError
row = read_headers([sys.argv[1]]).to_pylist()[0]
most_memory = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = most_memory()
try:
    told = decode_frame(sys.argv[1], row).shape
except PixelDataError as error:
    told = error
print(most_memory() - before, told)
"""


@pytest.mark.parametrize(
    ("syntax", "encode"), [(JPEGLSLossless, imagecodecs.jpegls_encode), (JPEG2000Lossless, imagecodecs.jpeg2k_encode)]
)
def test_large_frames_of_nothing_are_decoded(tmp_path: Path, syntax: str, encode: Any) -> None:
    blank = np.zeros((6000, 5000), np.uint16)  # a mammogram of nobody
    encoded = bytes(encode(blank))
    assert len(encoded) < blank.nbytes / 2000
    path = write_image(tmp_path / "blank.dcm", blank, transfer_syntax=syntax, frames=[encoded])
    assert np.array_equal(decode_frame(str(path), row_of(path)), blank)


def test_frames_of_a_hundred_megapixels_and_more_are_decoded(tmp_path: Path) -> None:
    grey = np.full((13500, 13500), 100, np.uint8)  # for Pillow alone that would be too large
    frames = [bytes(imagecodecs.jpeg8_encode(grey))]
    path = write_image(tmp_path / "large.dcm", grey, transfer_syntax=JPEGBaseline8Bit, frames=frames)
    assert np.array_equal(decode_frame(str(path), row_of(path)), grey)


def test_deflated_data_sets_are_inflated_within_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    path = TEST_FILES / "image_dfl.dcm"
    row = row_of(path)
    monkeypatch.setattr(inflating, "LARGEST_INFLATED", 1 << 17)
    with pytest.raises(PixelDataError, match="cannot be decoded: the deflated data set inflates to more than"):
        decode_frame(str(path), row)


def test_large_frames_wait_for_room_and_small_ones_do_not() -> None:
    started = threading.Barrier(2)

    def wait() -> None:
        started.wait()
        with room_for(2 * room.ROOM // 3):
            pass

    waiting = threading.Thread(target=wait)
    with room_for(room.ROOM // 2):
        waiting.start()
        started.wait()
        waiting.join(0.2)
        assert waiting.is_alive()
        with room_for(1 << 20):
            assert waiting.is_alive()
    waiting.join()
    with room_for(room.ROOM):
        pass


def test_objects_without_pixels() -> None:
    path = TEST_FILES / "rtplan.dcm"
    with pytest.raises(PixelDataError, match="no pixel data"):
        decode_frame(str(path), row_of(path))


def test_files_that_are_gone(tmp_path: Path) -> None:
    row = row_of(TEST_FILES / "CT_small.dcm")
    with pytest.raises(StorageError):
        decode_frame(str(tmp_path / "gone.dcm"), row)


def test_video_needs_pyav(tmp_path: Path) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    path = write_image(
        tmp_path / "video.dcm",
        pixels,
        transfer_syntax="1.2.840.10008.1.2.4.102",
        frames=[b"no video"],
        NumberOfFrames=3,
    )
    with pytest.raises(PixelDataError, match=r"PyAV|cannot be decoded"):
        decode_frame(str(path), row_of(path), 1)


def test_frames_of_a_video_are_decoded_in_order_and_singly(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    greys = [16, 90, 160, 235]
    with av.open(str(tmp_path / "video.h264"), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for grey in greys:
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), grey, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    path = write_image(
        tmp_path / "video.dcm",
        np.zeros((48, 64, 3), np.uint8),
        transfer_syntax="1.2.840.10008.1.2.4.102",
        frames=[(tmp_path / "video.h264").read_bytes()],
        NumberOfFrames=4,
    )
    assert [int(frame.mean()) for frame in frames_of(path)] == pytest.approx(greys, abs=3)
    assert decode_frame(str(path), row_of(path), 2).mean() == pytest.approx(greys[2], abs=3)
