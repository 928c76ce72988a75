"""What all requests share: the catalog, its serving index, and the thread that keeps the index up to date."""

from __future__ import annotations

import logging
import threading

from starlette.requests import Request

from dbx.pixels.catalog import Catalog
from dbx.pixels.catalog.uploads import Uploads
from dbx.pixels.errors import PixelsError
from dbx.pixels.index import ServingIndex
from dbx.pixels.table.principal import Principal
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
    """

    def __init__(self, catalog: Catalog, index_url: str | None = None) -> None:
        self.catalog = catalog
        self.index = ServingIndex.open(catalog, index_url)
        self.vanished = Vanished(catalog)
        self.uploads = Uploads(catalog, self.index)
        self._stop = threading.Event()
        self._follower: threading.Thread | None = None

    def start(self) -> None:
        """Bring the index up to date, and keep it so.

        Raises
        ------
        TableError
            If the table cannot be read.
        """
        self.index.sync()
        self._follower = threading.Thread(target=self._follow, name="pixels-follow", daemon=True)
        self._follower.start()

    def stop(self) -> None:
        """Stop following the table, and close the index."""
        self._stop.set()
        if self._follower:
            self._follower.join()
        self.index.close()

    def principal(self, request: Request) -> Principal:  # noqa: ARG002 - who asks will come from the request
        """Return who asks."""
        return self.catalog.principal

    def _follow(self) -> None:
        last = ""
        while not self._stop.wait(_INTERVAL):
            try:
                self.index.sync()
                last = ""
            except PixelsError as error:  # a store or a disk that is away may come back
                if str(error) != last:
                    _log.warning("the index cannot follow the table: %s", error)
                last = str(error)
