"""Where a served model gets its series from: the table, or a DICOMweb server."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from pydicom.dataset import Dataset

from dbx.pixels.ai.extra import extra_ai
from dbx.pixels.ai.storing import store
from dbx.pixels.catalog import Catalog
from dbx.pixels.catalog.arrivals import LabelState, is_uid
from dbx.pixels.catalog.ingest import ingest
from dbx.pixels.catalog.selection import Archives
from dbx.pixels.catalog.uploads import Uploads
from dbx.pixels.errors import ArgumentError, ServingError
from dbx.pixels.index import ServingIndex
from dbx.pixels.table import EVERYTHING, ObjectTable

#: The environment's variable that holds the bearer token for the DICOMweb server.
TOKEN = "PIXELS_DICOMWEB_TOKEN"


class Source(Protocol):
    """What a served model reads from."""

    index: ServingIndex

    def fetched(self, series_uid: str) -> AbstractContextManager[None]:
        """Have a series in the index for a while, if there is one of this UID.

        Raises
        ------
        ServingError
            If the source cannot be reached.
        """

    def keep(self, segmentation: Dataset) -> str | None:
        """Store a segmentation where its series came from, and return its path; None if there is no place for it.

        Raises
        ------
        StorageError, TableError
            If it cannot be stored.
        """


def open_source(config: Mapping[str, Any]) -> Source:
    """Open what a model was registered with: of `table_config` or `dicom_web_config`."""
    return DicomWebSource(config["dicom_web"]) if "dicom_web" in config else TableSource(config)


def table_config(catalog: Catalog) -> dict[str, Any]:
    """Return the configuration of a model that reads from a catalog's table, and writes to its volume."""
    return {"table": catalog.location(), "volume": catalog.volume, "home": str(catalog.home.root)}


def dicom_web_config(url: str) -> dict[str, Any]:
    """Return the configuration of a model that fetches series from a DICOMweb server."""
    return {"dicom_web": url}


class TableSource:
    """A table that the endpoint shares with who asks. Segmentations enter it as proposals."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        catalog = Catalog(table=config["table"], volume=config["volume"], home=config["home"])
        self.index = ServingIndex.open(catalog)
        self._uploads = Uploads(catalog, self.index)

    @contextmanager
    def fetched(self, series_uid: str) -> Iterator[None]:  # noqa: ARG002 - all series are there
        """See the table as it is now."""
        self.index.sync()
        yield

    def keep(self, segmentation: Dataset) -> str | None:
        """Store a segmentation, as a proposal, and return its path."""
        store(segmentation, self._uploads, LabelState.PROPOSAL)
        stored = self.index.find(segmentation.SOPInstanceUID, EVERYTHING)
        return stored.path if stored else None


class DicomWebSource:
    """A DICOMweb server, from which one series at a time is fetched into a table of the endpoint's own.

    Parameters
    ----------
    url : str
        Its root. What ``PIXELS_DICOMWEB_TOKEN`` holds is sent as bearer token.
    """

    def __init__(self, url: str) -> None:
        with extra_ai():
            from dicomweb_client import DICOMwebClient
        token = os.environ.get(TOKEN)
        self._url = url
        self._client = DICOMwebClient(url, headers={"Authorization": f"Bearer {token}"} if token else None)
        self._client.set_http_retry_params(retry=False)  # who asks decides whether to ask again
        self._one_at_a_time = threading.Lock()  # MLflow answers several requests at once
        self._home = tempfile.TemporaryDirectory(prefix="pixels-endpoint-")
        self._catalog = Catalog(home=self._home.name)
        self.index = ServingIndex.open(self._catalog)

    @contextmanager
    def fetched(self, series_uid: str) -> Iterator[None]:
        """Fetch a series, and forget it afterwards.

        Raises
        ------
        ArgumentError
            If that is no UID.
        ServingError
            If the server cannot be reached.
        """
        if not is_uid(series_uid):  # the server would take some for wildcards (PS3.4 section C.2.2.2.4)
            raise ArgumentError("series_uid", "is no Series Instance UID", "Give digits and dots, 64 at most.")
        folder = Path(self._home.name, "series")
        with self._one_at_a_time:
            try:
                self._fetch(series_uid, folder)
                selection = self._catalog.selection(
                    str(folder), pattern=None, recurse=True, archives=Archives.SKIP, extract_to=None
                )
                ingest(self._catalog, selection)
                self.index.sync()
                yield
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                table = ObjectTable.find(self._catalog.location())
                if table:
                    table.remove_under(str(folder))

    def keep(self, segmentation: Dataset) -> str | None:  # noqa: ARG002 - it goes back to who asked
        """Keep nothing."""
        return None

    def _fetch(self, series_uid: str, folder: Path) -> None:
        folder.mkdir()
        try:
            found = self._client.search_for_series(search_filters={"SeriesInstanceUID": series_uid})
            for study_uid in {one["0020000D"]["Value"][0] for one in found}:
                for number, image in enumerate(self._client.iter_series(study_uid, series_uid)):
                    image.save_as(folder / f"{study_uid}-{number}.dcm", enforce_file_format=True)
        except Exception as error:  # requests and pydicom raise whatever a server's answers lead to
            problem = f"cannot be read from: {' '.join(str(error).split())}"
            raise ServingError(self._url, problem, f"Check its URL, and the token in {TOKEN}.") from error
