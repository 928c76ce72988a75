"""Pictures over HTTP: what they show, at which size, in which window, and as which type."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from dicomweb_client import DICOMwebClient
from numpy.typing import NDArray
from PIL import Image
from pydicom.pixels import apply_color_lut

from wado import SLICES, ZIPPED, ServedObjects, copy_with_uids, parts_of, until
from web_server import RunningServer

from conftest import TEST_FILES

pytest_plugins = ["wado", "web_server"]


def picture(response: httpx.Response) -> NDArray[Any]:
    assert response.status_code == 200, response.text
    return np.asarray(Image.open(io.BytesIO(response.content)))


def windowed(values: NDArray[Any], center: float, width: float) -> NDArray[Any]:
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1) * 255


@pytest.fixture
def ct(served: ServedObjects) -> NDArray[Any]:
    """The CT in Hounsfield units."""
    image = served.dataset("CT_small")
    return image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)


@pytest.mark.parametrize("name", ["CT_small", "MR_small_RLE", "SC_rgb_jpeg_dcmtk", "image_dfl", ZIPPED])
def test_the_usual_picture_is_a_jpeg_of_the_whole_image(served: ServedObjects, name: str) -> None:
    response = served.get(name, "/rendered")
    assert response.headers["content-type"] == "image/jpeg"
    assert picture(response).shape[:2] == served.dataset(name).pixel_array.shape[:2]


def test_a_window_is_in_hounsfield_units(served: ServedObjects, ct: NDArray[Any]) -> None:
    shown = picture(served.get("CT_small", "/rendered?window=40,400,linear", "image/png"))
    np.testing.assert_allclose(shown, windowed(ct, 40, 400), atol=1)


def test_windows_have_functions(served: ServedObjects, ct: NDArray[Any]) -> None:
    shown = picture(served.get("CT_small", "/rendered?window=40,400,linear-exact", "image/png"))
    np.testing.assert_allclose(shown, np.clip((ct - 40) / 400 + 0.5, 0, 1) * 255, atol=1)
    shown = picture(served.get("CT_small", "/rendered?window=40,400,sigmoid", "image/png"))
    np.testing.assert_allclose(shown, 255 / (1 + np.exp(-4 * (ct - 40) / 400)), atol=1)


def test_palettes_have_their_colours(served: ServedObjects) -> None:
    image = served.dataset("examples_palette")
    colours = apply_color_lut(image.pixel_array, image) >> 8
    np.testing.assert_array_equal(picture(served.get("examples_palette", "/rendered", "image/png")), colours)


def test_a_viewport_is_filled_as_far_as_the_shape_allows(served: ServedObjects) -> None:
    assert picture(served.get("CT_small", "/rendered?viewport=64,256")).shape == (64, 64)
    assert picture(served.get("CT_small", "/rendered?viewport=300,256")).shape == (256, 256)


def test_a_viewport_may_show_a_region(served: ServedObjects) -> None:
    whole = picture(served.get("CT_small", "/rendered", "image/png"))
    region = picture(served.get("CT_small", "/rendered?viewport=30,20,10,5,30,20", "image/png"))
    np.testing.assert_allclose(region.astype(int), whole[5:25, 10:40], atol=1)
    rest = picture(served.get("CT_small", "/rendered?viewport=28,8,100,120,,", "image/png"))
    np.testing.assert_allclose(rest.astype(int), whole[120:, 100:], atol=1)
    rest = picture(served.get("CT_small", "/rendered?viewport=28,128,100", "image/png"))
    np.testing.assert_allclose(rest.astype(int), whole[:, 100:], atol=1)


def test_a_negative_width_or_height_flips(served: ServedObjects) -> None:
    whole = picture(served.get("CT_small", "/rendered", "image/png"))
    mirrored = picture(served.get("CT_small", "/rendered?viewport=30,20,10,5,-30,20", "image/png"))
    np.testing.assert_allclose(mirrored.astype(int), whole[5:25, 39:9:-1], atol=1)
    upside_down = picture(served.get("CT_small", "/rendered?viewport=128,128,,,,-128", "image/png"))
    np.testing.assert_allclose(upside_down.astype(int), whole[::-1], atol=1)


def test_lower_quality_is_smaller(served: ServedObjects) -> None:
    sizes = [len(served.get("CT_small", f"/rendered?quality={quality}").content) for quality in (10, 50, 100)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] / 2


def test_frames_are_rendered_one_by_one(served: ServedObjects) -> None:
    frames = served.dataset("SC_rgb_rle_2frame").pixel_array
    for number in (1, 2):
        shown = picture(served.get("SC_rgb_rle_2frame", f"/frames/{number}/rendered", "image/png"))
        np.testing.assert_array_equal(shown, frames[number - 1])
    parts = parts_of(served.get("SC_rgb_rle_2frame", "/frames/2,1/rendered", 'multipart/related; type="image/png"'))
    assert [headers["content-type"] for headers, _ in parts] == ["image/png"] * 2
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(parts[1][1]))), frames[0])


def test_several_frames_move_or_come_in_parts_or_the_middle_one_is_shown(served: ServedObjects) -> None:
    moving = Image.open(io.BytesIO(served.get("rtdose", "/rendered", "image/gif").content))
    assert (moving.format, moving.n_frames) == ("GIF", 15)
    assert len(parts_of(served.get("rtdose", "/rendered", 'multipart/related; type="image/jpeg"'))) == 15
    middle = served.get("rtdose", "/frames/8/rendered", "image/png").content
    assert served.get("rtdose", "/rendered", "image/png").content == middle


def test_series_and_studies_have_pictures(served: ServedObjects) -> None:
    for level in ("series", "study"):
        assert picture(served.get("slice0", "/rendered", level=level)).shape == (128, 128)
        parts = parts_of(served.get("slice0", "/rendered", 'multipart/related; type="image/png"', level))
        assert len(parts) == SLICES


@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_thumbnails_are_small(served: ServedObjects, level: str) -> None:
    response = served.get("rtdose", "/thumbnail?viewport=5,5", level=level)
    assert response.headers["content-type"] == "image/jpeg"
    assert max(picture(response).shape) == 5
    assert max(picture(served.get("examples_palette", "/thumbnail", "image/png", level)).shape) == 256
    assert picture(served.get("CT_small", "/thumbnail", level=level)).shape == (128, 128)


def test_frames_have_thumbnails(served: ServedObjects) -> None:
    assert picture(served.get("rtdose", "/frames/2/thumbnail")).ndim == 2


@pytest.mark.parametrize(
    "query",
    [
        "viewport=1",
        "viewport=0,0",
        "viewport=99999,9",
        "viewport=a,b",
        "viewport=8192,4096",
        "viewport=9,9,-1,0,1,1",
        "viewport=9,9,0,0,0,1",
        "viewport=9,9,0,0,1,1,1",
        "window=1",
        "window=40,0,linear",
        "window=40,400,cubic",
        "window=nan,400",
        "quality=0",
        "quality=101",
        "quality=best",
        f"quality={'9' * 5000}",
    ],
)
def test_malformed_parameters_are_400(served: ServedObjects, query: str) -> None:
    response = served.get("CT_small", f"/rendered?{query}")
    assert response.status_code == 400
    assert query.partition("=")[0] in response.json()["error"]


def test_a_region_outside_of_the_image_is_400(served: ServedObjects) -> None:
    response = served.get("CT_small", "/rendered?viewport=9,9,500,0,1,1")
    assert response.status_code == 400
    assert "128 columns" in response.json()["error"]


@pytest.mark.parametrize("accept", ["image/jpeg", 'multipart/related; type="image/png"'])
def test_what_has_no_effect_is_told(served: ServedObjects, accept: str) -> None:
    response = served.get("CT_small", "/rendered?annotation=patient&iccprofile=no", accept)
    assert response.status_code == 200
    assert response.headers["warning"] == f'299 {served.server.dicomweb} "annotation has no effect"'
    assert "warning" not in served.get("CT_small", "/rendered", accept).headers


def test_pictures_of_what_has_none(served: ServedObjects) -> None:
    assert served.get("reportsi", "/rendered").status_code == 406
    assert served.get("reportsi", "/thumbnail").status_code == 406
    assert served.get("CT_small", "/frames/2/rendered").status_code == 404
    assert served.get("CT_small", "/rendered", "text/html").status_code == 406
    assert httpx.get(f"{served.server.dicomweb}/studies/1.2.3/thumbnail").status_code == 404


def test_dicomweb_client_retrieves_pictures(served: ServedObjects) -> None:
    client = DICOMwebClient(served.server.dicomweb)
    image = served.dataset("rtdose")
    uids = image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID
    shown = client.retrieve_instance_rendered(*uids, media_types=("image/png",), params={"quality": 90})
    assert Image.open(io.BytesIO(shown)).size == (10, 10)
    shown = client.retrieve_instance_frames_rendered(*uids, [3], media_types=("image/jpeg",))
    assert Image.open(io.BytesIO(shown)).size == (10, 10)
    shown = client.retrieve_series_rendered(*uids[:2], media_types=("image/jpeg",))
    assert Image.open(io.BytesIO(shown)).format == "JPEG"


def test_a_header_may_claim_more_frames_than_there_is_memory_for(empty_server: RunningServer, tmp_path: Path) -> None:
    path = copy_with_uids(tmp_path / "a.dcm", TEST_FILES / "CT_small.dcm", NumberOfFrames=2_000_000_000)
    empty_server.ingest(path)
    image = pydicom.dcmread(path)
    url = f"{empty_server.dicomweb}/studies/{image.StudyInstanceUID}"
    until(lambda: httpx.get(f"{url}/metadata").status_code == 200)
    for resource in ("rendered", "thumbnail"):
        response = httpx.get(f"{url}/{resource}", headers={"Accept": "image/png"})
        assert response.status_code == 406
        assert "frame 1000000001" in response.json()["error"]
    moving = f"{url}/series/{image.SeriesInstanceUID}/instances/{image.SOPInstanceUID}/rendered"
    assert httpx.get(moving, headers={"Accept": "image/gif"}).status_code == 406
