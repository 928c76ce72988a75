"""Thumbnails: what a reference picture shows, in true colours, from every kind of image."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut
from pydicom.uid import HTJ2K, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from dbx.pixels.dicom.pixels import decode_frame
from dbx.pixels.dicom.thumbnail import thumbnail
from dbx.pixels.errors import PixelDataError, StorageError
from dbx.pixels.storage import open_object
from images import image_files, name_of, row_of, write_image

from conftest import TEST_FILES

RANDOM = np.random.default_rng(0)


def picture_of(path: Path, **options: Any) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(thumbnail(str(path), row_of(path), **options))))


def reference(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Make the picture with pydicom's own functions, the window as PS3.3 C.11.2.1.2.1 has it, and Pillow's."""
    image = pydicom.dcmread(path, stop_before_pixels=True)
    row = row_of(path)
    values = decode_frame(str(path), row, (row["NumberOfFrames"] or 1) // 2)
    if image.PhotometricInterpretation == "PALETTE COLOR":
        values = apply_color_lut(values, image)
    greys = values / (np.iinfo(values.dtype).max / 255) if values.ndim == 3 else windowed(values, image)
    resized = [
        np.asarray(Image.fromarray(plane.astype(np.float32)).resize(size, Image.Resampling.BOX))
        for plane in np.atleast_3d(greys).transpose(2, 0, 1)
    ]
    return np.stack(resized, axis=-1).squeeze()


def windowed(stored: NDArray[Any], image: Dataset) -> NDArray[Any]:
    values = apply_modality_lut(stored, image)
    if "WindowCenter" in image:
        center, width = (float(np.atleast_1d(image[keyword].value)[0]) for keyword in ("WindowCenter", "WindowWidth"))
        greys = np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1) * 255
    else:
        seen = values[stored != image.PixelPaddingValue] if "PixelPaddingValue" in image else values
        least, greatest = (0, 1) if image.BitsStored == 1 else (seen.min(), seen.max())
        greys = np.clip((values.astype(float) - least) / (greatest - least), 0, 1) * 255
    return 255 - greys if image.PhotometricInterpretation == "MONOCHROME1" else greys


def psnr(picture: NDArray[Any], expected: NDArray[Any]) -> float:
    return float(10 * np.log10(255**2 / max(np.mean((picture - expected.astype(float)) ** 2), 1e-9)))


@pytest.mark.parametrize("path", [path for path in image_files(TEST_FILES) if "odd" not in path.name], ids=name_of)
def test_thumbnails_look_like_the_reference(path: Path) -> None:
    picture = picture_of(path)
    # Colours are encoded at half the resolution, and wavelets are sharper than the means of areas.
    least = 22 if path.name == "examples_jpeg2k.dcm" else 25
    assert psnr(picture, reference(path, picture.shape[1::-1])) > least


BANDS = [path for path in sorted(TEST_FILES.glob("SC_rgb_*.dcm")) if row_of(path)["Rows"] == 100]


@pytest.mark.parametrize("path", BANDS, ids=name_of)
def test_bands_have_their_colours(path: Path) -> None:
    picture = picture_of(path).astype(int)
    # Of two frames the second one is shown, which is the first one inverted.
    assert_bands(255 - picture if row_of(path)["NumberOfFrames"] == 2 else picture)


def assert_bands(picture: NDArray[np.int_]) -> None:
    red, pink, green, light_green, blue, light_blue, black, grey, light_grey, white = picture[5::10, 50]
    for seen, expected in [
        (red, (255, 0, 0)),
        (pink, (255, 128, 128)),
        (green, (0, 255, 0)),
        (light_green, (128, 255, 128)),
        (blue, (0, 0, 255)),
        (light_blue, (128, 128, 255)),
        (black, (0, 0, 0)),
        (grey, (64, 64, 64)),
        (light_grey, (192, 192, 192)),
        (white, (255, 255, 255)),
    ]:
        assert seen == pytest.approx(expected, abs=10)


RAMP = np.tile(np.arange(256, dtype=np.uint16), (64, 1))


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    usual = picture_of(write_image(tmp_path / "2.dcm", RAMP))
    inverted = picture_of(write_image(tmp_path / "1.dcm", RAMP, PhotometricInterpretation="MONOCHROME1"))
    assert np.abs(255 - usual.astype(int) - inverted).max() <= 2
    assert inverted[0, 0] > 250


@pytest.mark.parametrize(
    ("attributes", "black", "grey", "white"),
    [
        ({}, 0, 128, 255),
        ({"WindowCenter": 100, "WindowWidth": 51}, 74, 100, 125),
        ({"WindowCenter": [100, 7], "WindowWidth": [51, 9]}, 74, 100, 125),
        ({"WindowCenter": 100, "WindowWidth": 50, "VOILUTFunction": "LINEAR_EXACT"}, 75, 100, 125),
        ({"WindowCenter": -800, "WindowWidth": 401, "RescaleSlope": 4, "RescaleIntercept": -1000}, 0, 50, 100),
        ({"WindowCenter": 0.5, "WindowWidth": 0.5, "RescaleSlope": 0.01, "RescaleIntercept": -0.5}, 75, 100, 125),
        ({"WindowCenter": 100, "WindowWidth": 1}, 99, None, 100),
        ({"WindowCenter": 100, "WindowWidth": 0}, 0, 128, 255),
        ({"PixelPaddingValue": 255, "WindowCenter": None, "WindowWidth": None}, 0, 127, 254),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else str(value),
)
def test_a_window_spans_black_to_white(
    tmp_path: Path, attributes: dict[str, Any], black: int, grey: int | None, white: int
) -> None:
    picture = picture_of(write_image(tmp_path / "window.dcm", RAMP, **attributes))
    row = picture[32].astype(int)
    assert row[black] <= 8
    assert row[white] >= 247
    if grey is not None:
        assert row[grey] == pytest.approx(128, abs=8)


def test_a_sigmoid_window_is_the_curve_of_the_standard(tmp_path: Path) -> None:
    path = write_image(tmp_path / "sigmoid.dcm", RAMP, WindowCenter=128, WindowWidth=64, VOILUTFunction="SIGMOID")
    expected = 255 / (1 + np.exp(-4 * (np.arange(256) - 128) / 64))
    assert np.abs(picture_of(path)[32] - expected).max() < 8


def lut(first: int, values: NDArray[np.uint16]) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(values), first, 16]
    item.LUTData = values.astype("<u2").tobytes()
    item["LUTData"].VR = "OW"
    item.ModalityLUTType = "US"
    return item


def test_voi_look_up_table(tmp_path: Path) -> None:
    steps = np.where(np.arange(256) < 100, 0, 65535).astype(np.uint16)
    path = write_image(tmp_path / "voi-lut.dcm", RAMP, VOILUTSequence=[lut(0, steps)])
    assert np.abs(picture_of(path)[32].astype(int) - steps // 257)[[0, 80, 120, 255]].max() <= 3


def test_modality_look_up_table(tmp_path: Path) -> None:
    falling = np.arange(255, -1, -1, dtype=np.uint16)
    path = write_image(tmp_path / "modality-lut.dcm", RAMP, ModalityLUTSequence=[lut(0, falling)])
    assert np.abs(picture_of(path)[32].astype(int) - falling).max() <= 3


def test_middle_frame_and_its_own_window(tmp_path: Path) -> None:
    frames = np.stack([np.full((16, 16), value, np.uint16) for value in (10, 20, 30)])
    shared, own = Dataset(), [Dataset(), Dataset(), Dataset()]
    transformation = Dataset()
    transformation.RescaleIntercept, transformation.RescaleSlope, transformation.RescaleType = -10, 1, "US"
    shared.PixelValueTransformationSequence = [transformation]
    for center, group in zip((0, 10, 20), own, strict=True):
        group.FrameVOILUTSequence = [Dataset()]
        group.FrameVOILUTSequence[0].WindowCenter, group.FrameVOILUTSequence[0].WindowWidth = center + 0.5, 101
    path = write_image(
        tmp_path / "enhanced.dcm",
        frames[0],
        PixelData=pydicom.DataElement("PixelData", "OW", frames.tobytes()),
        NumberOfFrames=3,
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=own,
    )
    assert picture_of(path)[8, 8] == pytest.approx(128, abs=3)


@pytest.mark.parametrize(
    ("attributes", "shape"),
    [
        ({}, (128, 256)),
        ({"PixelSpacing": [2, 1]}, (256, 256)),
        ({"PixelAspectRatio": [2, 1]}, (256, 256)),
        ({"ImagerPixelSpacing": [0.1, 0.2]}, (64, 256)),
        ({"PixelSpacing": [0, 1]}, (128, 256)),
        ({"PixelSpacing": [1000, 1]}, (128, 256)),
    ],
)
def test_pixels_need_not_be_square(tmp_path: Path, attributes: dict[str, Any], shape: tuple[int, int]) -> None:
    path = write_image(tmp_path / "aspect.dcm", np.zeros((300, 600), np.uint16), **attributes)
    assert picture_of(path).shape == shape


@pytest.mark.parametrize("edges", [(1, 1), (1, 700), (700, 1), (3, 5), (257, 255), (999, 1001), (64, 64)])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "f4"])
def test_a_thumbnail_of_any_size_keeps_its_proportions(tmp_path: Path, edges: tuple[int, int], dtype: str) -> None:
    rows, columns = edges
    pixels = np.tile(np.linspace(0, 100, columns), (rows, 1)).astype(dtype)
    picture = picture_of(write_image(tmp_path / "size.dcm", pixels)).astype(int)
    height, width = picture.shape
    assert max(height, width) == min(max(edges), 256)
    assert (height / width == pytest.approx(rows / columns, rel=0.01)) or 1 in (height, width)
    if columns >= 64:
        assert picture[0, 0] < 8 < 247 < picture[-1, -1]


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, HTJ2K])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2"])
def test_wavelets_are_decoded_to_the_size_needed(tmp_path: Path, syntax: str, dtype: str) -> None:
    rows, columns = np.mgrid[:700, :500]
    pixels = ((np.sin(rows / 60) * np.cos(columns / 40) + (dtype != "i2")) * 100).astype(dtype)
    encode = imagecodecs.htj2k_encode if syntax == HTJ2K else imagecodecs.jpeg2k_encode
    options = {} if syntax == HTJ2K else {"level": 0, "codecformat": "j2k"}
    path = write_image(
        tmp_path / "wavelets.dcm", pixels, transfer_syntax=syntax, frames=[bytes(encode(pixels, **options))]
    )
    picture = picture_of(path)
    assert picture.shape == (256, 183)
    assert psnr(picture, reference(path, (183, 256))) > 38


def test_only_numbers_span_the_window(tmp_path: Path) -> None:
    pixels = np.full((32, 32), 5, np.float32)
    pixels[:16] = np.nan
    pixels[-1] = 0
    pixels[-1, -1] = np.inf
    picture = picture_of(write_image(tmp_path / "nan.dcm", pixels))
    assert picture[8].max() < 8
    assert picture[24].min() > 247


@pytest.mark.parametrize("value", [0, 7, 65535])
def test_frames_of_one_value(tmp_path: Path, value: int) -> None:
    picture = picture_of(write_image(tmp_path / "flat.dcm", np.full((32, 32), value, np.uint16)))
    assert picture.max() == picture.min()


def test_formats_and_sizes() -> None:
    path = TEST_FILES / "CT_small.dcm"
    for image_format in ("JPEG", "WEBP"):
        data = thumbnail(str(path), row_of(path), size=50, image_format=image_format)
        picture = Image.open(io.BytesIO(data))
        assert (picture.format, picture.size) == (image_format, (50, 50))


@pytest.mark.parametrize("name", ["CT_small.dcm", "examples_ybr_color.dcm", "examples_palette.dcm", "liver_1frame.dcm"])
def test_readers_give_what_paths_give(name: str) -> None:
    path = TEST_FILES / name
    with open_object(str(path)) as reader:
        assert thumbnail(reader, row_of(path)) == thumbnail(str(path), row_of(path))


def test_columns_are_enough_for_usual_images(monkeypatch: pytest.MonkeyPatch) -> None:
    path = TEST_FILES / "MR_small.dcm"
    row = row_of(path)
    monkeypatch.setattr(pydicom, "dcmread", None)  # the header is not read a second time
    assert thumbnail(str(path), row)


def test_what_cannot_be_shown_says_why(tmp_path: Path) -> None:
    truncated = TEST_FILES / "MR_truncated.dcm"
    with pytest.raises(PixelDataError, match="ends within the pixel data"):
        thumbnail(str(truncated), row_of(truncated))
    with pytest.raises(StorageError):
        thumbnail(str(tmp_path / "gone.dcm"), row_of(TEST_FILES / "CT_small.dcm"))
    for syntax in (JPEGBaseline8Bit, JPEG2000Lossless, JPEGLSLossless, RLELossless):
        path = write_image(
            tmp_path / "broken.dcm", np.zeros((8, 8), np.uint8), transfer_syntax=syntax, frames=[b"no codestream"]
        )
        with pytest.raises(PixelDataError):
            thumbnail(str(path), row_of(path))
