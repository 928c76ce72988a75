"""Storing in tests: files as the body of a request, and what the answer says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pydicom
from pydicom.uid import generate_uid

if TYPE_CHECKING:
    from web_server import RunningServer

BOUNDARY = "a-boundary"
RELATED = f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"'


def multipart(*contents: bytes, content_type: str | None = "application/dicom", padding: str = "") -> bytes:
    """Put contents together as the parts of a body."""
    headers = f"Content-Type: {content_type}\r\n" if content_type else ""
    head = f"--{BOUNDARY}{padding}\r\n{headers}\r\n".encode()
    return b"".join(head + content + b"\r\n" for content in contents) + f"--{BOUNDARY}--\r\n".encode()


def store(server: RunningServer, *contents: bytes, study: str = "", accept: str = "*/*") -> httpx.Response:
    """Store objects in one request."""
    url = f"{server.dicomweb}/studies" + (f"/{study}" if study else "")
    headers = {"Content-Type": RELATED, "Accept": accept}
    return httpx.post(url, content=multipart(*contents), headers=headers, timeout=60)


def stored(response: httpx.Response) -> list[str]:
    """SOP Instance UIDs that an answer names as stored."""
    return [item["00081155"]["Value"][0] for item in response.json().get("00081199", {}).get("Value", [])]


def failures(response: httpx.Response) -> list[tuple[str | None, int]]:
    """SOP Instance UIDs, where they are known, that an answer names as failed, with the reasons."""
    items = [item for tag in ("00081198", "0008119A") for item in response.json().get(tag, {}).get("Value", [])]
    return [(item.get("00081155", {"Value": [None]})["Value"][0], item["00081197"]["Value"][0]) for item in items]


def instance(path: Path, **attributes: Any) -> bytes:
    """The bytes of a file with new UIDs, and further attributes as given."""
    dataset = pydicom.dcmread(path)
    new = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid(), "SOPInstanceUID": generate_uid()}
    for keyword, value in (new | attributes).items():
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return encoded(dataset)


def encoded(dataset: pydicom.Dataset) -> bytes:
    """A data set as a file has it."""
    buffer = pydicom.filebase.DicomBytesIO()
    pydicom.dcmwrite(buffer, dataset)
    return buffer.getvalue()


def uids(content: bytes) -> tuple[str, str, str]:
    """Study, series and SOP Instance UID of an object."""
    dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(content), stop_before_pixels=True)
    return dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID


def rows(server: RunningServer, columns: str = "*") -> list[dict[str, Any]]:
    """The rows of the server's table, by path."""
    return server.catalog.sql(f"SELECT {columns} FROM object_catalog ORDER BY path").to_arrow().to_pylist()


def volume(server: RunningServer) -> Path:
    """The folder of the volume that uploads go to."""
    return server.catalog.home.volumes / "main/pixels_solacc/pixels_volume"


def files(server: RunningServer) -> list[str]:
    """All files below the volume but those by which processes exclude each other."""
    folder = volume(server)
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.endswith("/lock"))
