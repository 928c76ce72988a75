"""The serving index: a cache of the table for those who ask for studies, series and instances."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from dbx.pixels.catalog import Catalog
from dbx.pixels.errors import TableNotFoundError
from dbx.pixels.index import reading
from dbx.pixels.index.following import NO_TABLE, build, create, follow, known_version
from dbx.pixels.index.model import Found, Instance, PackedSeries, Search
from dbx.pixels.index.scopes import scope_of
from dbx.pixels.index.searching import search
from dbx.pixels.index.source import open_source
from dbx.pixels.index.store import Store, open_store
from dbx.pixels.table import ObjectTable, Principal


class ServingIndex:
    """What a server needs to know of a table, in SQLite or PostgreSQL. Deleting it loses nothing.

    Its methods may be called from several threads, and several processes may use one index. Reads show the version of
    the table that `sync` was last called for, in any of them.

    Parameters
    ----------
    store : Store
        Where it is kept.
    location : str
        The table's. Use `open`.
    """

    def __init__(self, store: Store, location: str) -> None:
        self._store = store
        self._location = location
        self._table: ObjectTable | None = None
        self._lock = threading.Lock()

    @classmethod
    def open(cls, catalog: Catalog, url: str | None = None) -> ServingIndex:
        """Open the index of a catalog's table, made before, empty, if it was not there.

        Parameters
        ----------
        catalog : Catalog
            Whose table is served; its home holds the index.
        url : str, optional
            ``postgresql://user@host/database``; a SQLite file in the home by default.

        Raises
        ------
        ArgumentError
            If the URL names another kind of database.
        """
        location = catalog.location()
        store = open_store(location, catalog.home.index, url)
        with store.reading() as connection:
            is_there = store.has_tables(connection)
        if not is_there:
            with store.writing() as connection:
                if not store.has_tables(connection):
                    create(store, connection)
        return cls(store, location)

    def sync(self) -> int:
        """Bring the index to the table's newest version.

        Returns
        -------
        int
            That version; -1 if there is no table.

        Raises
        ------
        TableError
            If the table cannot be read.
        """
        with self._lock:
            version = self._newest()
            with self._store.reading() as connection:
                if known_version(connection) == version:
                    return version
            with self._store.writing() as connection:
                version = self._newest()  # another process may have been at work while this one waited
                known = known_version(connection)
                if known == version:
                    return version
                if self._table is None:
                    create(self._store, connection)
                    return version
                with open_source(self._table) as source:
                    bring = build if known is None or known > version else follow
                    bring(self._store, connection, source)
            return version

    def rebuild(self) -> int:
        """Make the index anew of the table's newest version, and return that."""
        with self._lock, self._store.writing() as connection:
            version = self._newest()
            if self._table is None:
                create(self._store, connection)
                return version
            with open_source(self._table) as source:
                build(self._store, connection, source)
            return version

    def search(self, search_for: Search, principal: Principal) -> Found:
        """Answer a search (PS3.18 10.6).

        Raises
        ------
        ArgumentError
            If a key's value is malformed.
        """
        with self._store.reading() as connection:
            return search(connection, self._scope(principal), search_for)

    def instances(self, study: str, series: str | None, sop: str | None, principal: Principal) -> list[Instance]:
        """Find the instances of a study, a series, or one, in order of series, InstanceNumber and path.

        Returns
        -------
        list of Instance
            Empty if there is none that the principal may see.
        """
        scope = self._scope(principal)
        with self._store.reading() as connection:
            return reading.instances(connection, scope, study, series, sop)

    def find(self, sop: str, principal: Principal) -> Instance | None:
        """Find an instance by its SOP Instance UID alone; None if there is none that the principal may see."""
        scope = self._scope(principal)
        with self._store.reading() as connection:
            return next(iter(reading.instances(connection, scope, None, None, sop)), None)

    def metadata(self, study: str, series: str | None, sop: str | None, principal: Principal) -> Iterator[bytes]:
        """Yield the metadata of the instances of a study, a series, or of one: UTF-8 of one JSON object each.

        Group 0002 is left out; every `BulkDataURI` begins with `BULK_ROOT`.
        """
        scope = self._scope(principal)
        with self._store.reading() as connection:
            yield from reading.metadata(connection, scope, study, series, sop)

    def packed_metadata(self, study: str, series: str, principal: Principal) -> PackedSeries | None:
        """Return the metadata of a whole series as it is stored.

        Returns
        -------
        PackedSeries or None
            None if there is no such series, or the principal may not see all of it.
        """
        scope = self._scope(principal)
        with self._store.reading() as connection:
            return reading.packed_series(connection, scope, study, series)

    def close(self) -> None:
        """Close the index's database."""
        self._store.close()

    def _scope(self, principal: Principal) -> int:
        predicate = principal.row_filter(self._location)
        return scope_of(self._store, self._location, predicate)

    def _newest(self) -> int:
        """Look at the table's newest version, and return it."""
        if self._table is None:
            self._table = ObjectTable.find(self._location)
            return NO_TABLE if self._table is None else self._table.version
        try:
            return self._table.refresh()
        except TableNotFoundError:
            self._table = None
            return NO_TABLE
