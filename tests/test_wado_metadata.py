"""Metadata over HTTP: as JSON, compressed or not, and as XML; of studies, series and instances."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import fromstring

import httpx
import orjson
import pyarrow as pa
import pytest
from dicomweb_client import DICOMwebClient
from pydicom.uid import generate_uid

from headers import differences, pydicom_meta, strict_json
from wado import BULK_DATA, SLICES, WITH_BULK_DATA, ZIPPED, ServedObjects, copy_with_uids, parts_of, until
from web_server import RunningServer

from conftest import TEST_FILES

pytest_plugins = ["wado", "web_server"]


def data_set(meta: dict[str, Any]) -> dict[str, Any]:
    return {tag: attribute for tag, attribute in meta.items() if not tag.startswith("0002")}


@pytest.mark.parametrize("name", ["CT_small", "rtdose", "SC_rgb_jpeg_dcmtk", "examples_palette", ZIPPED])
@pytest.mark.parametrize("level", ["instance", "series", "study"])
def test_metadata_are_those_of_the_object_without_file_meta_information(
    served: ServedObjects, name: str, level: str
) -> None:
    response = served.get(name, "/metadata", level=level)
    assert response.headers["content-type"] == "application/dicom+json"
    (told,) = strict_json(response.text)
    different = differences(told, data_set(pydicom_meta(served.paths[name])))
    assert all("BulkDataURI" in ours for ours, _ in different.values())


def test_all_instances_of_a_study_or_series_are_told_in_order(served: ServedObjects) -> None:
    for level in ("series", "study"):
        told = served.get("slice0", "/metadata", level=level).json()
        assert [dataset["00200013"]["Value"] for dataset in told] == [[number] for number in range(SLICES)]


def test_a_study_joins_its_series(empty_server: RunningServer, tmp_path: Any) -> None:
    study = generate_uid()
    for number in range(3):
        copy_with_uids(tmp_path / f"{number}.dcm", TEST_FILES / "MR_small.dcm", StudyInstanceUID=study)
    empty_server.ingest(tmp_path)
    url = f"{empty_server.dicomweb}/studies/{study}/metadata"
    until(lambda: httpx.get(url).status_code == 200)
    assert len({dataset["0020000E"]["Value"][0] for dataset in httpx.get(url).json()}) == 3


@pytest.mark.parametrize("level", ["series", "study"])
@pytest.mark.parametrize("name", ["MR_small_implicit", WITH_BULK_DATA])
def test_series_and_studies_go_out_compressed_as_they_are_stored(served: ServedObjects, name: str, level: str) -> None:
    url = served.url(name, level) + "/metadata"
    plain = httpx.get(url, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert httpx.head(url, headers={"Accept-Encoding": "gzip, zstd"}).headers["content-encoding"] == "zstd"
    assert decoded(url, "gzip, zstd") == plain.content
    assert "Accept-Encoding" in plain.headers["vary"]
    refused = httpx.get(url, headers={"Accept-Encoding": "zstd;q=0"})
    assert refused.content == plain.content


def decoded(url: str, encodings: str) -> bytes:
    with httpx.stream("GET", url, headers={"Accept-Encoding": encodings}) as response:
        content = b"".join(response.iter_raw())
        if "content-encoding" not in response.headers:
            return content
        assert response.headers["content-encoding"] == "zstd"
        return pa.input_stream(pa.BufferReader(content), compression="zstd").read()


def test_addresses_of_bulk_data_lead_back_to_whom_the_client_asked(served: ServedObjects) -> None:
    url = served.url("image_dfl", "study")
    port = httpx.URL(url).port
    for level in ("instance", "series", "study"):
        path = httpx.URL(served.url(WITH_BULK_DATA, level)).path + "/metadata"
        for encoding in ("identity", "zstd"):
            (dataset,) = orjson.loads(decoded(f"http://localhost:{port}{path}", encoding))
            uri = dataset["00282000"]["BulkDataURI"]
            assert uri.startswith(f"http://localhost:{port}/dicom-web/studies/")
            assert httpx.get(uri).content == BULK_DATA


def test_json_has_two_names(served: ServedObjects) -> None:
    response = served.get("CT_small", "/metadata", "application/json")
    assert response.headers["content-type"] == "application/json"
    assert response.json() == served.get("CT_small", "/metadata").json()


def test_xml_comes_in_parts(served: ServedObjects) -> None:
    response = served.get("slice0", "/metadata", 'multipart/related; type="application/dicom+xml"', "series")
    parts = parts_of(response)
    assert [headers["content-type"] for headers, _ in parts] == ["application/dicom+xml"] * SLICES
    for _, body in parts:
        assert fromstring(body).tag.endswith("NativeDicomModel")
    assert served.url("slice0").encode() in parts[0][1] or b"BulkData" not in parts[0][1]


@pytest.mark.parametrize("path", ["studies/1.2", "studies/1.2/series/1.3", "studies/1.2/series/1.3/instances/1.4"])
@pytest.mark.parametrize("accept", ["*/*", 'multipart/related; type="application/dicom+xml"'])
def test_metadata_of_what_is_unknown_is_404(served: ServedObjects, path: str, accept: str) -> None:
    response = httpx.get(f"{served.server.dicomweb}/{path}/metadata", headers={"Accept": accept})
    assert response.status_code == 404
    assert "no such" in response.json()["error"]


def test_other_types_are_406(served: ServedObjects) -> None:
    assert served.get("CT_small", "/metadata", "text/html").status_code == 406


def test_dicomweb_client_reads_metadata_and_bulk_data(served: ServedObjects) -> None:
    client = DICOMwebClient(served.server.dicomweb)
    image = served.dataset(WITH_BULK_DATA)
    (dataset,) = client.retrieve_study_metadata(image.StudyInstanceUID)
    assert dataset == client.retrieve_instance_metadata(
        image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID
    )
    assert client.retrieve_series_metadata(image.StudyInstanceUID, image.SeriesInstanceUID) == [dataset]
    uri = dataset["00282000"]["BulkDataURI"]
    assert client.retrieve_bulkdata(uri) == [BULK_DATA]
    assert client.retrieve_bulkdata(uri, byte_range=(2, 9)) == [BULK_DATA[2:10]]


def test_bulk_data_come_in_ranges(served: ServedObjects) -> None:
    (dataset,) = orjson.loads(served.get(WITH_BULK_DATA, "/metadata").content)
    uri, value = dataset["00282000"]["BulkDataURI"], BULK_DATA
    for asked, expected in (("0-3", value[:4]), ("4-", value[4:]), ("-2", value[-2:])):
        response = httpx.get(uri, headers={"Range": f"bytes={asked}"})
        assert (response.status_code, response.content) == (206, expected)
        assert response.headers["content-range"].endswith(f"/{len(value)}")
    assert httpx.get(uri, headers={"Range": f"bytes={len(value)}-"}).status_code == 416
    assert httpx.get(uri, headers={"Range": "lines=1-2"}).content == value


@pytest.mark.parametrize("path", ["00100010", "7FE00010", "..%2F..%2Fetc%2Fpasswd", "00282000/0/00282000"])
def test_other_bulk_data_are_404(served: ServedObjects, path: str) -> None:
    assert served.get(WITH_BULK_DATA, f"/bulkdata/{path}").status_code == 404


@pytest.mark.parametrize(("headers", "has_port"), [({}, True), ({"X-Forwarded-For": "192.0.2.7"}, False)])
def test_a_host_without_a_port_is_this_server_unless_a_proxy_forwards(
    served: ServedObjects, headers: dict[str, str], has_port: bool
) -> None:
    url = httpx.URL(served.url(WITH_BULK_DATA) + "/metadata")
    (dataset,) = httpx.get(url, headers={"Host": "localhost", **headers}).json()
    host = f"localhost:{url.port}" if has_port else "localhost"
    assert dataset["00282000"]["BulkDataURI"].startswith(f"http://{host}/dicom-web/studies/")
