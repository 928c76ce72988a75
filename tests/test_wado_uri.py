"""WADO-URI: one object, or a picture of it, by the query of a URL."""

from __future__ import annotations

import io
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from wado import ZIPPED, ServedObjects

pytest_plugins = ["wado"]


def get(served: ServedObjects, name: str, **options: str) -> httpx.Response:
    image = served.dataset(name)
    query = {
        "requestType": "WADO",
        "studyUID": image.StudyInstanceUID,
        "seriesUID": image.SeriesInstanceUID,
        "objectUID": image.SOPInstanceUID,
        **options,
    }
    return httpx.get(f"{served.server.dicomweb}/wado", params=query)


def picture(response: httpx.Response) -> NDArray[Any]:
    assert response.status_code == 200, response.text
    return np.asarray(Image.open(io.BytesIO(response.content)))


@pytest.mark.parametrize("name", ["CT_small", "MR_small_RLE", ZIPPED])
def test_objects_are_uncompressed(served: ServedObjects, name: str) -> None:
    response = get(served, name, contentType="application/dicom")
    assert response.headers["content-type"] == f"application/dicom; transfer-syntax={ExplicitVRLittleEndian}"
    read = pydicom.dcmread(io.BytesIO(response.content))
    np.testing.assert_array_equal(read.pixel_array, served.dataset(name).pixel_array)


@pytest.mark.parametrize("syntax", [RLELossless, "*"])
def test_objects_come_as_they_are_stored_if_asked_for(served: ServedObjects, syntax: str) -> None:
    response = get(served, "MR_small_RLE", contentType="application/dicom", transferSyntax=syntax)
    assert response.content == served.paths["MR_small_RLE"].read_bytes()
    assert get(served, "CT_small", contentType="application/dicom", transferSyntax=RLELossless).status_code == 406


def test_images_of_one_frame_are_pictures_unless_asked_otherwise(served: ServedObjects) -> None:
    assert get(served, "CT_small").headers["content-type"] == "image/jpeg"
    assert get(served, "rtdose").headers["content-type"].startswith("application/dicom")
    assert get(served, "reportsi").headers["content-type"].startswith("application/dicom")


def test_pictures_are_as_they_are_asked_for(served: ServedObjects) -> None:
    png = {"contentType": "image/png"}
    whole = picture(get(served, "CT_small", **png))
    assert picture(get(served, "CT_small", rows="64", **png)).shape == (64, 64)
    assert picture(get(served, "CT_small", rows="256", columns="32", **png)).shape == (32, 32)
    assert picture(get(served, "CT_small", rows="4097", **png)).shape == (4095, 4095)
    part = picture(get(served, "CT_small", region="0.5,0,1,0.25", **png))
    np.testing.assert_allclose(part.astype(int), whole[:32, 64:], atol=1)
    window = picture(get(served, "CT_small", windowCenter="40", windowWidth="400", **png))
    rendered = picture(served.get("CT_small", "/rendered?window=40,400", "image/png"))
    np.testing.assert_array_equal(window, rendered)


def test_a_frame_of_several(served: ServedObjects) -> None:
    shown = get(served, "rtdose", frameNumber="3", contentType="image/png")
    assert shown.content == served.get("rtdose", "/frames/3/rendered", "image/png").content


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"requestType": "WADO2"}, 400),
        ({"objectUID": ""}, 400),
        ({"objectUID": "1.2.3"}, 404),
        ({"contentType": "text/html"}, 406),
        ({"frameNumber": "2"}, 400),
        ({"frameNumber": "9" * 5000}, 400),
        ({"windowCenter": "40"}, 400),
        ({"rows": "many"}, 400),
        ({"rows": "4097", "columns": "4097"}, 400),
        ({"region": "1,1,0,0"}, 400),
        ({"imageQuality": "200"}, 400),
        ({"anonymize": "yes"}, 406),
        ({"anonymize": "yes", "contentType": "application/dicom"}, 406),
    ],
)
def test_what_cannot_be_answered_is_said(served: ServedObjects, options: dict[str, str], status: int) -> None:
    response = get(served, "CT_small", **options)
    assert response.status_code == status
    assert response.json()["error"]


def test_what_has_no_effect_is_told(served: ServedObjects) -> None:
    response = get(served, "CT_small", presentationUID="1.2.3")
    assert response.status_code == 200
    assert "presentationUID has no effect" in response.headers["warning"]
