"""Telling the table of objects that requests found missing, many at a time and beside the requests."""

from __future__ import annotations

import logging
import threading

from dbx.pixels.catalog import Catalog
from dbx.pixels.catalog.vanished import note_vanished
from dbx.pixels.errors import PixelsError
from dbx.pixels.table.objects import ObjectTable

#: Seconds in which reports are gathered: when a disk goes, a viewer asks for hundreds of objects.
_GATHERING = 0.5

_log = logging.getLogger(__name__)


class Vanished:
    """Gathers the paths of missing objects, and commits them to the catalog's table together.

    Parameters
    ----------
    catalog : Catalog
        Whose table holds the objects.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._waiting: set[str] = set()
        self._timer: threading.Timer | None = None

    def note(self, path: str) -> None:
        """Remember a missing object; returns at once."""
        with self._lock:
            self._waiting.add(path)
            if self._timer is None:
                self._timer = threading.Timer(_GATHERING, self._commit)
                self._timer.daemon = True
                self._timer.start()

    def _commit(self) -> None:
        with self._lock:
            paths, self._waiting, self._timer = self._waiting, set(), None
        try:
            table = ObjectTable.find(self._catalog.location())
            if table:
                note_vanished(table, sorted(paths))
        except PixelsError as error:  # the table may be read-only; whoever asked was told in any case
            _log.warning("%d vanished objects could not be noted: %s", len(paths), error)
