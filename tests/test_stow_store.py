"""STOW-RS: what is stored is in the table, in the index and on disk when the answer arrives."""

from __future__ import annotations

import copy
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import httpx
import pydicom
import pytest
from dicomweb_client import DICOMwebClient

from dbx.pixels import Catalog
from dbx.pixels.catalog.incoming import Incoming
from stow import encoded, files, instance, multipart, rows, store, stored, uids, volume

from conftest import TEST_FILES

if TYPE_CHECKING:
    from web_server import RunningServer

pytest_plugins = ["web_server"]

CT = TEST_FILES / "CT_small.dcm"
MR = TEST_FILES / "MR_small.dcm"


def test_an_object_is_stored_and_at_once_searchable(empty_server: RunningServer) -> None:
    content = CT.read_bytes()
    study, series, sop = uids(content)
    response = store(empty_server, content)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/dicom+json"
    study_url = f"{empty_server.dicomweb}/studies/{study}"
    assert response.json() == {
        "00081190": {"vr": "UR", "Value": [study_url]},
        "00081199": {
            "vr": "SQ",
            "Value": [
                {
                    "00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
                    "00081155": {"vr": "UI", "Value": [sop]},
                    "00081190": {"vr": "UR", "Value": [f"{study_url}/series/{series}/instances/{sop}"]},
                }
            ],
        },
    }
    (found,) = httpx.get(f"{empty_server.dicomweb}/instances", params={"SOPInstanceUID": sop}).json()
    assert found["0020000D"]["Value"] == [study]
    (row,) = rows(empty_server, "path, local_path, relative_path, path_tags, PatientID, file_type, label_state")
    place = f"uploads/{study}/{series}/{sop}.dcm"
    assert row == {
        "path": f"/Volumes/main/pixels_solacc/pixels_volume/{place}",
        "local_path": str(empty_server.catalog.home.volumes / "main/pixels_solacc/pixels_volume" / place),
        "relative_path": place,
        "path_tags": ["uploads", study, series, sop],
        "PatientID": "1CT1",
        "file_type": "application/dicom",
        "label_state": None,
    }
    assert Path(row["local_path"]).read_bytes() == content
    assert files(empty_server) == [place]


def test_the_row_is_what_an_ingest_makes_of_the_file(empty_server: RunningServer) -> None:
    store(empty_server, CT.read_bytes(), MR.read_bytes())
    uploaded = rows(empty_server)
    empty_server.ingest("/Volumes/main/pixels_solacc/pixels_volume")
    assert rows(empty_server) == uploaded


def test_several_objects_come_in_one_request(empty_server: RunningServer) -> None:
    contents = [instance(CT) for _ in range(3)]
    response = store(empty_server, *contents)
    assert response.status_code == 200
    assert stored(response) == [uids(content)[2] for content in contents]
    assert response.json()["00081190"] == {"vr": "UR"}, "there is no one study"
    assert len(files(empty_server)) == 3


def test_others_store_through_their_client(empty_server: RunningServer) -> None:
    client = DICOMwebClient(empty_server.dicomweb)
    datasets = [pydicom.dcmread(CT), pydicom.dcmread(MR)]
    answer = client.store_instances(datasets)
    assert [item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence] == [
        dataset.SOPInstanceUID for dataset in datasets
    ]
    answer = client.store_instances([pydicom.dcmread(CT)], study_instance_uid=datasets[0].StudyInstanceUID)
    assert answer.ReferencedSOPSequence[0].WarningReason == 0xB00E, "it was there already"
    assert len(client.search_for_instances()) == 2
    retrieved = client.retrieve_instance(
        datasets[1].StudyInstanceUID, datasets[1].SeriesInstanceUID, datasets[1].SOPInstanceUID
    )
    assert retrieved == datasets[1]


def test_the_answer_comes_as_xml(empty_server: RunningServer) -> None:
    content = CT.read_bytes()
    response = store(empty_server, content, accept="application/dicom+xml")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/dicom+xml"
    namespace = {"n": "http://dicom.nema.org/PS3.19/models/NativeDICOM"}
    xpath = ".//n:DicomAttribute[@tag='00081155']/n:Value"
    assert [value.text for value in ElementTree.fromstring(response.content).iterfind(xpath, namespace)] == [
        uids(content)[2]
    ]


def test_what_viewers_make_goes_to_exports_and_segmentations_are_labels(empty_server: RunningServer) -> None:
    names = ("liver_1frame.dcm", "test-SR.dcm", "reportsi.dcm", "rtplan.dcm")
    contents = [instance(TEST_FILES / name, SeriesInstanceUID=f"1.2.{number}") for number, name in enumerate(names)]
    assert store(empty_server, *contents).status_code == 200
    states = {row["SeriesInstanceUID"]: row for row in rows(empty_server, "SeriesInstanceUID, path, label_state")}
    folders = [states[f"1.2.{number}"]["path"].split("/")[5] for number in range(4)]
    assert folders == ["ohif", "ohif", "ohif", "uploads"]
    assert [states[f"1.2.{number}"]["label_state"] for number in range(4)] == ["final", None, None, None]


def test_a_segmentation_tells_which_model_it_came_from(empty_server: RunningServer) -> None:
    dataset = pydicom.dcmread(TEST_FILES / "liver_1frame.dcm")
    algorithm = pydicom.Dataset()
    algorithm.AlgorithmName, algorithm.AlgorithmVersion = "spleen_ct", "3"
    dataset.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence = [algorithm]
    assert store(empty_server, encoded(dataset)).status_code == 200
    (row,) = rows(empty_server, "label_state, model, model_version")
    assert row == {"label_state": "final", "model": "spleen_ct", "model_version": "3"}


def test_what_a_model_made_alone_is_a_proposal_whoever_sends_it(empty_server: RunningServer) -> None:
    kinds = (["AUTOMATIC", "AUTOMATIC"], ["AUTOMATIC", "SEMIAUTOMATIC"], ["MANUAL", "MANUAL"])
    for number, kind in enumerate(kinds):
        dataset = pydicom.dcmread(TEST_FILES / "liver_1frame.dcm")
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.{number}"
        dataset.SegmentSequence.append(copy.deepcopy(dataset.SegmentSequence[0]))
        for segment, told in zip(dataset.SegmentSequence, kind, strict=True):
            segment.SegmentAlgorithmType = told
        assert store(empty_server, encoded(dataset)).status_code == 200
    states = {row["SOPInstanceUID"]: row["label_state"] for row in rows(empty_server, "SOPInstanceUID, label_state")}
    assert states == {"1.2.0": "proposal", "1.2.1": "final", "1.2.2": "final"}


def test_every_transfer_syntax_and_kind_of_object_is_stored(empty_server: RunningServer) -> None:
    names = (
        "MR_small_RLE",
        "JPEG2000",
        "JPEG-lossy",
        "JPEGLSNearLossless_16",
        "image_dfl",
        "ExplVR_BigEnd",
        "reportsi",
    )
    names += ("SC_rgb_rle_2frame", "waveform_ecg", "rtdose", "reportsi", "MR_small_implicit", "examples_overlay")
    contents = [instance(TEST_FILES / f"{name}.dcm") for name in names]
    response = store(empty_server, *contents)
    assert response.status_code == 200
    assert stored(response) == [uids(content)[2] for content in contents]


def test_parts_as_clients_send_them(empty_server: RunningServer) -> None:
    syntax = "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
    url = f"{empty_server.dicomweb}/studies"
    for content_type in (None, syntax, "application/octet-stream", 'application/dicom; name="x"'):
        for padding in ("", "  \t"):
            for related in ("type=application/dicom; boundary=a-boundary", 'boundary="a-boundary"'):
                content = instance(CT)
                body = multipart(content, content_type=content_type, padding=padding)
                headers = {"Content-Type": f"multipart/related; {related}"}
                response = httpx.post(url, content=body, headers=headers)
                assert response.status_code == 200
                assert stored(response) == [uids(content)[2]]
    assert len(rows(empty_server, "path")) == 16


def test_a_body_may_be_one_object(empty_server: RunningServer) -> None:
    url = f"{empty_server.dicomweb}/studies"
    response = httpx.post(url, content=CT.read_bytes(), headers={"Content-Type": "application/dicom"})
    assert response.status_code == 200
    assert stored(response) == [uids(CT.read_bytes())[2]]


def test_requests_that_wait_share_a_commit(empty_server: RunningServer) -> None:
    store(empty_server, instance(CT))
    before = version(empty_server)
    contents = [instance(CT) for _ in range(12)]
    with ThreadPoolExecutor(len(contents)) as pool:
        with Incoming(volume(empty_server)).locked():  # as another process does that is storing
            responses = [pool.submit(store, empty_server, content) for content in contents]
            deadline = time.monotonic() + 20
            while sum(name.startswith(".incoming/") for name in files(empty_server)) < len(contents):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            time.sleep(1)
        assert {response.result().status_code for response in responses} == {200}
    assert len(rows(empty_server, "path")) == len(contents) + 1
    assert version(empty_server) - before < len(contents) / 2


def test_many_objects_of_one_request_are_stored_some_at_a_time(
    empty_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbx.pixels.catalog.uploads.FILES_AT_ONCE", 2)
    contents = [instance(CT) for _ in range(5)]
    assert stored(store(empty_server, *contents)) == [uids(content)[2] for content in contents]
    assert len(files(empty_server)) == len(rows(empty_server, "path")) == 5


def test_a_broken_file_beside_a_good_one_costs_only_itself(empty_server: RunningServer) -> None:
    response = store(empty_server, CT.read_bytes(), b"no DICOM")
    assert response.status_code == 202
    assert stored(response) == [uids(CT.read_bytes())[2]]
    assert response.json()["0008119A"]["Value"] == [{"00081197": {"vr": "US", "Value": [0xC000]}}]
    assert len(files(empty_server)) == 1


def test_what_a_killed_server_left_behind_goes_away(empty_server: RunningServer) -> None:
    left = volume(empty_server) / ".incoming" / "of-a-killed-server" / "half a file"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    another = Incoming(volume(empty_server))  # of a server that is alive
    receiving = another.create()
    content = CT.read_bytes()
    study, series, sop = uids(content)
    orphan = volume(empty_server) / f"uploads/{study}/{series}/{sop}.dcm"  # placed, and never committed
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"other content")
    assert store(empty_server, content).status_code == 200
    assert not left.parent.exists()
    assert receiving.path.exists()
    assert orphan.read_bytes() == content


def test_uploads_survive_a_new_server(empty_server: RunningServer) -> None:
    content = CT.read_bytes()
    store(empty_server, content)
    catalog = Catalog(home=str(empty_server.catalog.home.root))
    assert catalog.sql("SELECT SOPInstanceUID FROM instances").to_arrow().to_pylist() == [
        {"SOPInstanceUID": uids(content)[2]}
    ]


def test_a_half_sent_upload_leaves_nothing_behind(empty_server: RunningServer) -> None:
    body = multipart(CT.read_bytes(), MR.read_bytes())
    host, port = empty_server.url.removeprefix("http://").split(":")
    head = (
        f"POST /dicom-web/studies HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: multipart/related; boundary=a-boundary\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as client:
        client.sendall(head.encode() + body[:-100])
        time.sleep(0.3)
    time.sleep(0.7)
    assert files(empty_server) == []
    assert rows(empty_server, "path") == []
    assert store(empty_server, CT.read_bytes()).status_code == 200


def test_nothing_is_stored_if_the_table_cannot_be_written(empty_server: RunningServer) -> None:
    location = Path(empty_server.catalog.location())
    location.parent.mkdir(parents=True, exist_ok=True)
    location.write_bytes(b"a file where the table should be")
    assert store(empty_server, CT.read_bytes()).status_code == 500
    assert files(empty_server) == []
    location.unlink()
    assert store(empty_server, CT.read_bytes()).status_code == 200


def version(server: RunningServer) -> int:
    """The newest version of the server's table."""
    log = Path(server.catalog.location()) / "_delta_log"
    return max(int(path.stem) for path in log.glob("*.json"))
