"""QIDO-RS: what a client asks, and the status and headers that it gets."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import httpx
import pytest
from dicomweb_client import DICOMwebClient

from dbx.pixels.web.dicomweb import search

if TYPE_CHECKING:
    from web_server import RunningServer

pytest_plugins = ["web_server"]

CT_STUDY = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"


@pytest.fixture
def client(server: RunningServer) -> DICOMwebClient:
    """A client of others that asks the server."""
    return DICOMwebClient(server.dicomweb)


def test_studies_series_and_instances_are_found_by_their_paths(client: DICOMwebClient) -> None:
    (study,) = client.search_for_studies(search_filters={"StudyInstanceUID": CT_STUDY})
    assert study["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "CompressedSamples^CT1"}]}
    (series,) = client.search_for_series(CT_STUDY)
    (instance,) = client.search_for_instances(CT_STUDY, series["0020000E"]["Value"][0])
    assert instance["00080016"]["Value"] == ["1.2.840.10008.5.1.4.1.1.2"]


def test_every_answer_tells_where_to_retrieve_it(server: RunningServer) -> None:
    answer = httpx.get(f"{server.dicomweb}/instances", params={"StudyInstanceUID": CT_STUDY})
    (instance,) = answer.json()
    (url,) = instance["00081190"]["Value"]
    assert url.startswith(f"{server.dicomweb}/studies/{CT_STUDY}/series/")
    assert url.endswith(instance["00080018"]["Value"][0])


def test_bulk_data_is_where_an_answer_says(server: RunningServer) -> None:
    answer = httpx.get(f"{server.dicomweb}/instances", params={"includefield": "all"})
    urls = {element["BulkDataURI"] for told in answer.json() for element in told.values() if "BulkDataURI" in element}
    assert urls
    assert all(httpx.get(url).status_code == 200 for url in urls)


def test_pages_of_all_studies_make_the_whole(server: RunningServer) -> None:
    studies = f"{server.dicomweb}/studies"
    whole = httpx.get(studies).json()
    pages = [httpx.get(studies, params={"limit": 7, "offset": offset}) for offset in range(0, len(whole) + 7, 7)]
    assert [study for page in pages if page.status_code == 200 for study in page.json()] == whole
    assert len(whole) > 20


def test_an_answer_that_has_an_end_tells_where_the_next_begins(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    instances = f"{server.dicomweb}/instances"
    whole = httpx.get(instances).json()
    assert len(whole) > 20
    monkeypatch.setattr(search, "MOST", 20)
    first, second = (httpx.get(instances, params={"limit": 10**8, "offset": offset}) for offset in (0, 20))
    assert first.json() == whole[:20]
    assert "offset=20" in first.headers["warning"]
    assert second.json() == whole[20:40]
    exact = httpx.get(instances, params={"LIMIT": "20"})
    assert exact.json() == whole[:20]
    assert "warning" not in exact.headers


def test_searches_for_much_are_answered_like_others(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    instances = f"{server.dicomweb}/instances"
    whole = httpx.get(instances).json()
    monkeypatch.setattr(search, "FEW", 5)
    assert httpx.get(instances).json() == whole
    for limit in (4, 5, 6, 20):
        assert httpx.get(instances, params={"limit": limit, "offset": 3}).json() == whole[3:][:limit]


@pytest.mark.parametrize(
    "key", ["PixelData=1", "MediaStorageSOPClassUID=1.2", "RetrieveURL=x", "PixelDataProviderURL=&60003000=1"]
)
def test_keys_that_cannot_be_matched_are_ignored_with_a_warning(server: RunningServer, key: str) -> None:
    answer = httpx.get(f"{server.dicomweb}/instances?StudyInstanceUID={CT_STUDY}&{key}")
    assert len(answer.json()) == 1
    assert "cannot be matched and were ignored" in answer.headers["warning"]


@pytest.mark.parametrize("url", ["/studies?PatientName=%00", "/studies?PatientID=A%00B", "/studies/1%00/series"])
def test_nul_is_refused_before_any_database_sees_it(server: RunningServer, url: str) -> None:
    assert httpx.get(server.dicomweb + url).status_code == 400


def test_nothing_found_is_no_content(server: RunningServer) -> None:
    answer = httpx.get(f"{server.dicomweb}/studies", params={"PatientID": "nobody has this one"})
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"limit": "-1"}, "limit=-1"),
        ({"offset": "a"}, "offset=a"),
        ({"fuzzymatching": "yes"}, "fuzzymatching"),
        ({"PatientNam": "x"}, "PatientNam"),
        ({"": "x"}, "is no DICOM attribute"),
        ({"StudyDate": "2024-13"}, "2024-13"),
        ({"RequestAttributesSequence": "foo"}, "is a sequence, which has no value of its own"),
        ({"PatientName.PatientID": "x"}, "PatientName is no sequence"),
        ({"RequestAttributesSequence.PatientID.StudyID": "*"}, "PatientID is no sequence"),
        ({"includefield": "Nothing"}, "Nothing"),
        ({"PatientID": "*a" * 501}, "1000 characters"),
        ({f"{0x00091000 + number:08X}": "a" for number in range(1200)}, "50 keys"),
    ],
)
def test_what_cannot_be_understood_is_a_bad_request(
    server: RunningServer, parameters: dict[str, str], reason: str
) -> None:
    answer = httpx.get(f"{server.dicomweb}/studies", params=parameters)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]


def test_results_come_as_xml_when_asked_for(server: RunningServer) -> None:
    accept = {"Accept": 'multipart/related; type="application/dicom+xml"'}
    answer = httpx.get(f"{server.dicomweb}/studies", params={"StudyInstanceUID": CT_STUDY}, headers=accept)
    boundary = answer.headers["content-type"].rpartition("boundary=")[2]
    (part,) = answer.content.split(f"--{boundary}".encode())[1:-1]
    model = ElementTree.fromstring(part.partition(b"\r\n\r\n")[2].strip())
    (uid,) = [element[0].text for element in model if element.get("keyword") == "StudyInstanceUID"]
    assert uid == CT_STUDY


@pytest.mark.parametrize("accept", ["text/html", "application/dicom", "image/jpeg"])
def test_other_media_types_are_not_acceptable(server: RunningServer, accept: str) -> None:
    assert httpx.get(f"{server.dicomweb}/studies", headers={"Accept": accept}).status_code == 406


@pytest.mark.parametrize(
    "accept", ["*/*", "application/*", "text/html, application/json;q=0.5", "application/dicom+json"]
)
def test_lists_and_ranges_of_media_types_are_understood(server: RunningServer, accept: str) -> None:
    answer = httpx.get(f"{server.dicomweb}/studies", headers={"Accept": accept}, params={"limit": 1})
    assert answer.status_code == 200
    assert answer.headers["content-type"].endswith("json")
