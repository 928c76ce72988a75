"""Servers for tests: the real application under uvicorn, on a free port of loopback."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pydicom
import pytest
import uvicorn

from dbx.pixels import Catalog
from dbx.pixels.catalog.ingest import ingest
from dbx.pixels.catalog.selection import Archives
from dbx.pixels.web.app import create_app
from dbx.pixels.web.databricks import UnityCatalog
from dbx.pixels.web.server import Server
from headers import PYDICOM_DATA


@dataclass(frozen=True)
class RunningServer:
    """A server that is being tested.

    Attributes
    ----------
    url : str
        Its origin, such as ``http://127.0.0.1:40123``.
    catalog : Catalog
        What it serves.
    """

    url: str
    catalog: Catalog

    @property
    def dicomweb(self) -> str:
        """The root of its DICOMweb services."""
        return f"{self.url}/dicom-web"

    def ingest(self, *paths: Path | str, zip_in_place: bool = False, thumbnails: bool = False) -> None:
        """Ingest into its table, as another process would."""
        selection = self.catalog.selection(
            [str(path) for path in paths],
            pattern=None,
            recurse=True,
            archives=Archives.IN_PLACE if zip_in_place else Archives.SKIP,
            extract_to=None,
        )
        ingest(self.catalog, selection, thumbnails=thumbnails)

    def stored(self, modality: str) -> list[pydicom.Dataset]:
        """Read the objects of a modality that are in its table."""
        rows = self.catalog.sql(f"SELECT local_path FROM instances WHERE Modality = '{modality}'").to_arrow()
        return [pydicom.dcmread(row["local_path"]) for row in rows.to_pylist()]

    def wait_until_served(self, **keys: str) -> None:
        """Wait until it answers with studies, of which some have these attributes."""
        deadline = time.monotonic() + 60  # the machine may be busy with other tests
        while httpx.get(f"{self.dicomweb}/studies", params=keys).status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)


#: Where servers of this process have listened, to be taken again: what a browser keeps, it keeps by the port, too.
_ports: list[int] = []


def _listen() -> socket.socket:
    """Listen where no server of this process does, if possible where one has."""
    for port in _ports:
        with contextlib.suppress(OSError):
            return socket.create_server(("127.0.0.1", port))
    listener = socket.create_server(("127.0.0.1", 0))
    _ports.append(listener.getsockname()[1])
    return listener


@contextlib.contextmanager
def running(
    catalog: Catalog,
    index_url: str | None = None,
    hosts: Iterable[str] = (),
    serving_endpoint: str | None = None,
    monai_label_url: str | None = None,
    unity_catalog: UnityCatalog | None = None,
) -> Iterator[RunningServer]:
    """Serve a catalog until the context ends."""
    with _listen() as listener:
        app = create_app(Server(catalog, index_url, serving_endpoint), hosts, monai_label_url, unity_catalog)
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        assert server.started
        yield RunningServer(f"http://127.0.0.1:{listener.getsockname()[1]}", catalog)
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of pydicom's sample files, some of which lie in archives, with thumbnails. Only for reading."""
    home = tmp_path_factory.mktemp("served")
    with running(Catalog(home=str(home))) as running_server:
        running_server.ingest(PYDICOM_DATA, zip_in_place=True, thumbnails=True)
        running_server.wait_until_served()
        yield running_server


@pytest.fixture
def empty_server(tmp_path: Path) -> Iterator[RunningServer]:
    """A server of an empty home of the test's own."""
    with running(Catalog(home=str(tmp_path / "home"))) as running_server:
        yield running_server
