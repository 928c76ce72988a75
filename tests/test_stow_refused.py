"""STOW-RS of what cannot be stored: the status says why, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from dbx.pixels import Catalog
from dbx.pixels.web.dicomweb import receiving
from headers import dicom, element, padded
from stow import RELATED, failures, files, multipart, rows, store, uids

from conftest import TEST_FILES

if TYPE_CHECKING:
    from web_server import RunningServer

pytest_plugins = ["web_server"]


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that all tests share in which nothing is stored."""
    from web_server import running  # a plugin of pytest, which is to load it first

    with running(Catalog(home=str(tmp_path_factory.mktemp("refusing")))) as server:
        yield server


CT = TEST_FILES / "CT_small.dcm"
CONTENT = CT.read_bytes()

NOT_UNDERSTOOD = 0xC000
INVALID = 0xA900
OTHER_STUDY = 0xA901


def smallest(study: str = "1.2", series: str = "1.2.3", sop: str = "1.2.3.4", sop_class: str = "1.9") -> bytes:
    """The smallest object that can be stored, with the UIDs that are not empty."""
    tags = {0x00080016: sop_class, 0x00080018: sop, 0x0020000D: study, 0x0020000E: series}
    return dicom(*(element(tag, "UI", padded(uid, "\0")) for tag, uid in tags.items() if uid))


def nothing_is_left(server: RunningServer) -> bool:
    return not files(server) and not rows(server, "path")


def test_what_is_no_dicom_is_an_other_failure(refusing: RunningServer) -> None:
    for content in (
        b"",
        b"text",
        b"\x89PNG\r\n\x1a\n" + bytes(200),
        CONTENT[132:],
        (CT.parent / "no_meta.dcm").read_bytes(),
    ):
        response = store(refusing, content)
        assert response.status_code == 409
        assert [reason for _, reason in failures(response)] == [NOT_UNDERSTOOD]
    assert nothing_is_left(refusing)


def test_every_uid_is_needed(empty_server: RunningServer) -> None:
    lacking = [smallest(**{missing: ""}) for missing in ("study", "series", "sop", "sop_class")]
    response = store(empty_server, *lacking)
    assert response.status_code == 409
    assert [reason for _, reason in failures(response)] == [INVALID] * 4
    assert nothing_is_left(empty_server)
    assert store(empty_server, smallest()).status_code == 200


@pytest.mark.parametrize("name", ["../../../evil", "/etc/evil", "..", ".", "1..2", "1.2/../3", "1." * 32 + "1", "1.x"])
@pytest.mark.parametrize("level", ["study", "series", "sop"])
def test_uids_lead_nowhere_else(refusing: RunningServer, level: str, name: str) -> None:
    response = store(refusing, smallest(**{level: name}))
    assert response.status_code == 409
    assert [reason for _, reason in failures(response)] == [INVALID]
    assert nothing_is_left(refusing)


def test_objects_of_another_study_than_the_urls_are_refused(empty_server: RunningServer) -> None:
    study, _, sop = uids(CONTENT)
    response = store(empty_server, CONTENT, smallest(), study=study)
    assert response.status_code == 202
    assert failures(response) == [("1.2.3.4", OTHER_STUDY)]
    response = store(empty_server, smallest(), study=study)
    assert (response.status_code, failures(response)) == (409, [("1.2.3.4", OTHER_STUDY)])
    assert [row["SOPInstanceUID"] for row in rows(empty_server, "SOPInstanceUID")] == [sop]
    assert store(empty_server, CONTENT, study="no-uid").status_code == 400


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "before its closing boundary"),
        (b"not multipart", "before its closing boundary"),
        (b"--a-boundary--", "no parts"),
        (multipart(CONTENT)[:-20], "before its closing boundary"),
        (multipart(CONTENT, CONTENT)[: len(CONTENT) + 500], "before its closing boundary"),
        (b"--a-boundary\r\nno header\r\n\r\n" + multipart(CONTENT), "header without a name"),
        (multipart(CONTENT).replace(b"application/dicom", b"nonsense"), "no media type"),
    ],
)
def test_a_broken_body_stores_nothing(refusing: RunningServer, body: bytes, problem: str) -> None:
    response = httpx.post(f"{refusing.dicomweb}/studies", content=body, headers={"Content-Type": RELATED})
    assert response.status_code == 400
    assert problem in response.json()["error"]
    assert nothing_is_left(refusing)


def test_a_body_of_too_many_parts_stores_nothing(refusing: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "MOST_PARTS", 3)
    response = store(refusing, *(smallest(sop=f"1.2.3.{number}") for number in range(4)))
    assert response.status_code == 400
    assert "more than 3 parts: store them in several requests" in response.json()["error"]
    assert nothing_is_left(refusing)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 415),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "nonsense"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=a-boundary"}, 415),
        ({"Content-Type": 'multipart/related; type="application/dicom+json"; boundary=a-boundary'}, 415),
        ({"Content-Type": RELATED, "Content-Encoding": "gzip"}, 415),
        ({"Content-Type": 'multipart/related; type="application/dicom"'}, 400),
        ({"Content-Type": 'multipart/related; type="application/dicom"; boundary=""'}, 400),
        ({"Content-Type": f"multipart/related; boundary={'x' * 71}"}, 400),
        ({"Content-Type": RELATED, "Accept": "text/html"}, 406),
    ],
)
def test_requests_that_are_none_are_told_so(refusing: RunningServer, headers: dict[str, Any], status: int) -> None:
    response = httpx.post(f"{refusing.dicomweb}/studies", content=multipart(CONTENT), headers=headers)
    assert response.status_code == status
    assert response.json()["error"]
    assert nothing_is_left(refusing)


def test_a_transfer_syntax_is_a_uid(refusing: RunningServer) -> None:
    response = store(refusing, smallest().replace(ExplicitVRLittleEndian.encode(), b"1.2.840\r\nX-Head: yy"))
    assert response.status_code == 409
    assert [reason for _, reason in failures(response)] == [INVALID]
    assert nothing_is_left(refusing)


def test_parts_of_another_type_are_refused_with_all_others(refusing: RunningServer) -> None:
    body = multipart(CONTENT).removesuffix(b"--\r\n") + b"\r\nContent-Type: image/jpeg\r\n\r\nx\r\n--a-boundary--"
    response = httpx.post(f"{refusing.dicomweb}/studies", content=body, headers={"Content-Type": RELATED})
    assert response.status_code == 415
    assert nothing_is_left(refusing)
