"""What all requests share: the catalog, its serving index, and the thread that keeps the index up to date."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime

from starlette.requests import Request

from dbx.pixels.catalog import Catalog
from dbx.pixels.catalog.uploads import Uploads
from dbx.pixels.errors import PixelsError, StorageError
from dbx.pixels.index import ServingIndex
from dbx.pixels.table.principal import Principal
from dbx.pixels.web.assistant import Assistant
from dbx.pixels.web.vanished import Vanished

#: Seconds between two looks at the table, so that what another process ingests is seen within two.
_INTERVAL = 1.0

_log = logging.getLogger(__name__)


class Server:
    """The catalog as it is served.

    Parameters
    ----------
    catalog : Catalog
        Whose table is served.
    index_url : str, optional
        Database of the serving index; a file in the home folder by default.
    serving_endpoint : str, optional
        URL of a served model, which then runs instead of those of the home folder.

    Attributes
    ----------
    synced : datetime.datetime
        When the index was last seen to show the table's newest version.
    problem : str or None
        Why it could not be since then.
    """

    synced: datetime
    problem: str | None = None

    def __init__(self, catalog: Catalog, index_url: str | None = None, serving_endpoint: str | None = None) -> None:
        self.catalog = catalog
        self.index = ServingIndex.open(catalog, index_url)
        self.vanished = Vanished(catalog)
        self.uploads = Uploads(catalog, self.index)
        self.assistant = Assistant(catalog, self.index, index_url, serving_endpoint)
        self._stop = threading.Event()
        self._follower: threading.Thread | None = None

    def start(self) -> None:
        """Bring the index up to date, and keep it so.

        Raises
        ------
        TableError
            If the table cannot be read, or the index cannot be used.
        """
        self._sync()
        try:
            self.uploads.tidy()
        except StorageError as error:  # the volume may be for reading only
            _log.warning("what interrupted uploads left cannot be deleted: %s", error)
        self._follower = threading.Thread(target=self._follow, name="pixels-follow", daemon=True)
        self._follower.start()

    def stop(self) -> None:
        """Stop following the table, and close the index."""
        self._stop.set()
        if self._follower:
            self._follower.join()
        self.assistant.close()
        self.index.close()

    def principal(self, request: Request) -> Principal:  # noqa: ARG002 - who asks will come from the request
        """Return who asks."""
        return self.catalog.principal

    def _sync(self) -> None:
        self.index.sync()
        self.synced, self.problem = datetime.now(UTC), None

    def _follow(self) -> None:
        while not self._stop.wait(_INTERVAL):
            try:
                self._sync()
            except Exception as error:  # a store, a disk or a database that is away may come back
                is_ours = isinstance(error, PixelsError)
                problem = str(error) if is_ours else type(error).__name__
                if problem != self.problem:
                    _log.warning("the index cannot follow the table: %s", problem, exc_info=not is_ours)
                self.problem = problem
