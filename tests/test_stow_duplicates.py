"""STOW-RS of what is known already: the same data set is a success without a second row, another one is refused."""

from __future__ import annotations

import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pydicom
import pytest
from pydicom.filebase import DicomBytesIO
from pydicom.uid import ImplicitVRLittleEndian, RLELossless

from dbx.pixels import Catalog
from stow import encoded, failures, files, instance, rows, store, stored, uids

from conftest import TEST_FILES

if TYPE_CHECKING:
    from collections.abc import Callable

    from web_server import RunningServer

pytest_plugins = ["web_server"]

CT = TEST_FILES / "CT_small.dcm"
SOP = uids(CT.read_bytes())[2]
KNOWN = 0xB00E
DUPLICATE = 0x0111
UNCERTAIN = 0x0110


def ct() -> pydicom.Dataset:
    """The CT as a data set."""
    return pydicom.dcmread(CT)


def by_another_library() -> bytes:
    dataset = ct()
    dataset.file_meta.ImplementationVersionName = "ANOTHER"
    dataset.file_meta.SourceApplicationEntityTitle = "ELSEWHERE"
    return encoded(dataset)


def implicit() -> bytes:
    dataset = ct()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    buffer = DicomBytesIO()
    pydicom.dcmwrite(buffer, dataset, implicit_vr=True, little_endian=True, force_encoding=True)
    return buffer.getvalue()


def compressed() -> bytes:
    dataset = ct()
    dataset.compress(RLELossless, generate_instance_uid=False)
    return encoded(dataset)


def of_another_patient() -> bytes:
    dataset = ct()
    dataset.PatientName = "Someone^Else"
    return encoded(dataset)


def with_another_pixel() -> bytes:
    dataset = ct()
    dataset.PixelData = b"\x01" + dataset.PixelData[1:]
    return encoded(dataset)


def with_another_private_value() -> bytes:
    dataset = ct()
    dataset.add_new(0x00431028, "OB", bytes(5000))
    return encoded(dataset)


def in_another_series() -> bytes:
    dataset = ct()
    dataset.SeriesInstanceUID = "1.2.3"
    return encoded(dataset)


@pytest.mark.parametrize("again", [CT.read_bytes, by_another_library, implicit, compressed])
def test_the_same_data_set_is_a_success_without_a_second_row(
    empty_server: RunningServer, again: Callable[[], bytes]
) -> None:
    store(empty_server, CT.read_bytes())
    before = rows(empty_server)
    response = store(empty_server, again())
    assert response.status_code == 202, "there is a warning"
    assert stored(response) == [SOP]
    (item,) = response.json()["00081199"]["Value"]
    assert item["00081196"] == {"vr": "US", "Value": [KNOWN]}
    assert rows(empty_server) == before
    assert len(files(empty_server)) == 1


@pytest.mark.parametrize(
    "other", [of_another_patient, with_another_pixel, with_another_private_value, in_another_series]
)
def test_another_data_set_under_a_known_uid_is_refused(empty_server: RunningServer, other: Callable[[], bytes]) -> None:
    store(empty_server, CT.read_bytes())
    before = rows(empty_server)
    response = store(empty_server, other())
    assert response.status_code == 409
    assert failures(response) == [(SOP, DUPLICATE)]
    assert rows(empty_server) == before
    assert len(files(empty_server)) == 1
    assert Path(before[0]["local_path"]).read_bytes() == CT.read_bytes()


def test_what_was_indexed_in_place_is_known(empty_server: RunningServer, tmp_path: Path) -> None:
    shutil.copy(CT, tmp_path / "ct.dcm")
    empty_server.ingest(tmp_path / "ct.dcm")
    assert stored(store(empty_server, CT.read_bytes())) == [SOP]
    assert failures(store(empty_server, of_another_patient())) == [(SOP, DUPLICATE)]
    assert [row["path"] for row in rows(empty_server, "path")] == [str(tmp_path / "ct.dcm")]
    assert files(empty_server) == []


def test_what_was_indexed_in_an_archive_is_known(empty_server: RunningServer, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(CT, "ct.dcm")
    empty_server.ingest(tmp_path / "all.zip", zip_in_place=True)
    assert stored(store(empty_server, CT.read_bytes())) == [SOP]
    assert failures(store(empty_server, with_another_pixel())) == [(SOP, DUPLICATE)]


def test_an_object_whose_file_vanished_can_be_stored_again(empty_server: RunningServer, tmp_path: Path) -> None:
    shutil.copy(CT, tmp_path / "ct.dcm")
    empty_server.ingest(tmp_path / "ct.dcm")
    (tmp_path / "ct.dcm").unlink()
    assert store(empty_server, CT.read_bytes()).status_code == 200
    assert len(files(empty_server)) == 1
    (found,) = httpx.get(f"{empty_server.dicomweb}/instances").json()
    assert found["00080018"]["Value"] == [SOP]


def test_what_cannot_be_compared_now_is_not_stored(empty_server: RunningServer, tmp_path: Path) -> None:
    shutil.copy(CT, tmp_path / "ct.dcm")
    empty_server.ingest(tmp_path / "ct.dcm")
    (tmp_path / "ct.dcm").unlink()
    (tmp_path / "ct.dcm").mkdir()
    response = store(empty_server, CT.read_bytes(), instance(CT))
    assert response.status_code == 202
    assert failures(response) == [(SOP, UNCERTAIN)]


def test_two_objects_with_one_uid_in_one_request(empty_server: RunningServer) -> None:
    response = store(empty_server, CT.read_bytes(), of_another_patient(), by_another_library())
    assert response.status_code == 202
    assert stored(response) == [SOP, SOP]
    assert failures(response) == [(SOP, DUPLICATE)]
    assert len(rows(empty_server, "path")) == 1


def test_only_one_of_two_servers_stores_an_object(tmp_path: Path) -> None:

    from web_server import running  # a plugin of pytest, which is to load it first

    home = str(tmp_path / "home")
    with running(Catalog(home=home)) as one, running(Catalog(home=home)) as other, ThreadPoolExecutor(4) as pool:
        contents = [CT.read_bytes(), of_another_patient()] * 2
        responses = list(pool.map(store, [one, other, other, one], contents))
        assert sorted(response.status_code for response in responses) == [200, 202, 409, 409]
        assert len(rows(one, "path")) == len(files(one)) == 1
        assert len(httpx.get(f"{one.dicomweb}/instances").json()) == 1
        assert len(httpx.get(f"{other.dicomweb}/instances").json()) == 1


@pytest.mark.parametrize("encoding", ["implicit", "bigendian", "RLE", "jp2klossless", "jpeg_ls_lossless"])
def test_an_image_is_the_same_in_every_lossless_encoding(empty_server: RunningServer, encoding: str) -> None:
    store(empty_server, (TEST_FILES / "MR_small.dcm").read_bytes())
    response = store(empty_server, (TEST_FILES / f"MR_small_{encoding}.dcm").read_bytes())
    assert len(stored(response)) == 1
    assert len(rows(empty_server, "path")) == 1
