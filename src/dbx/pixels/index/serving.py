"""The serving index: a cache of the table for those who ask for studies, series and instances."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import sqlalchemy as sa

from dbx.pixels.catalog import Catalog
from dbx.pixels.errors import IndexUnavailableError
from dbx.pixels.index import reading
from dbx.pixels.index.following import build, follow, shown
from dbx.pixels.index.model import Found, Instance, Level, Search
from dbx.pixels.index.packing import Pack, packed
from dbx.pixels.index.scopes import find_scope, make_scope
from dbx.pixels.index.searching import search, series_of
from dbx.pixels.index.source import NO_TABLE, Shown, Source, Sources, shown_of
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
        self._log_folder: int | None = None
        self._sources = Sources()
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
        if not store.has_tables():
            with store.writing() as connection:
                if not store.has_tables():  # another process may have been faster
                    build(store, connection, None)
        return cls(store, location)

    def sync(self) -> int:
        """Bring the index to the table's newest version.

        Returns
        -------
        int
            That version; -1 if there is no table.

        Raises
        ------
        IndexUnavailableError
            If its database cannot be used.
        TableError
            If the table cannot be read.
        """
        with self._lock:
            newest = self._newest()
            if self._shown() == newest:
                return newest.version
            with self._store.writing() as connection, self._source() as source:
                return self._follow(connection, source)

    def rebuild(self) -> int:
        """Make the index anew of the table's newest version, and return that."""
        with self._lock, self._store.writing() as connection, self._source() as source:
            build(self._store, connection, source)
            return (source.shown if source else NO_TABLE).version

    def search(self, search_for: Search, principal: Principal) -> Found:
        """Answer a search (PS3.18 10.6).

        Raises
        ------
        ArgumentError
            If a key's value is malformed.
        """
        with self._reading(principal) as (connection, scope):
            return search(connection, scope, search_for)

    def instances(self, study: str | None, series: str | None, sop: str | None, principal: Principal) -> list[Instance]:
        """Find the instances of a study, a series, or one, in order of series, InstanceNumber and path.

        What is None may be any.

        Returns
        -------
        list of Instance
            Empty if there is none that the principal may see.
        """
        with self._reading(principal) as (connection, scope):
            return reading.instances(connection, scope, study, series, sop)

    def look_up(self, study: str, series: str, sop: str, principal: Principal) -> Instance | None:
        """Find one instance, as far as that is possible without waiting.

        Returns
        -------
        Instance or None
            None if there may be one nevertheless, which `instances` finds.
        """
        return reading.look_up(self._store, principal.row_filter(self._location), study, series, sop)

    def find(self, sop: str, principal: Principal) -> Instance | None:
        """Find an instance by its SOP Instance UID alone; None if there is none that the principal may see."""
        with self._reading(principal) as (connection, scope):
            return next(iter(reading.instances(connection, scope, None, None, sop)), None)

    def series_uids(self, study: str, principal: Principal) -> list[str]:
        """Return the UIDs of the series of a study, in order of SeriesNumber; none of those that are hidden."""
        with self._reading(principal) as (connection, scope):
            return reading.series_uids(connection, scope, study)

    def series_of(self, modalities: Iterable[str], principal: Principal) -> list[str]:
        """Return the UIDs of series of some modalities in the order of searches; an empty one stands for all images."""
        with self._reading(principal) as (connection, scope):
            return series_of(connection, scope, modalities)

    def metadata(self, study: str, series: str | None, sop: str | None, principal: Principal) -> Iterator[bytes]:
        """Yield the metadata of the instances of a study, a series, or of one: UTF-8 of one JSON object each.

        Group 0002 is left out; every `BulkDataURI` begins with `BULK_ROOT`. Between them nothing of the index is held.

        Raises
        ------
        IndexUnavailableError
            If a series changes while it is read.
        """
        for uid in self.series_uids(study, principal) if series is None else [series]:
            with self._reading(principal) as (connection, scope):
                places = reading.places(connection, scope, study, uid, sop)
            for pack_id, members in groupby(places, lambda place: place.pack_id):
                yield from self._pack(pack_id).cut(members)

    def packed_metadata(self, study: str, series: str, principal: Principal) -> Iterator[Pack]:
        """Yield the metadata of a series, as they are stored, or what the principal may see of them.

        Between packs nothing of the index is held.

        Raises
        ------
        IndexUnavailableError
            If the series changes while it is read.
        """
        with self._reading(principal) as (connection, scope):
            ids = reading.packs_of_series(connection, scope, study, series)
            first = [reading.pack(connection, pack_id) for pack_id in ids[:1]]
        if not first:
            yield from packed(self.metadata(study, series, None, principal))
        yield from first
        for pack_id in ids[1:]:
            yield self._pack(pack_id)

    def _pack(self, pack_id: int) -> Pack:
        with self._store.reading() as connection:
            return reading.pack(connection, pack_id)

    def totals(self) -> dict[Level, int]:
        """Count studies, series and instances."""
        with self._store.reading() as connection:
            return reading.totals(connection)

    def close(self) -> None:
        """Close the index's database."""
        self._store.close()

    @contextmanager
    def _reading(self, principal: Principal) -> Iterator[tuple[sa.Connection, int]]:
        """Open a connection that sees one state of the index, and the principal's scope in it."""
        predicate = principal.row_filter(self._location)
        while True:
            with self._store.reading() as connection:
                scope = find_scope(connection, predicate)
                if scope is not None:
                    yield connection, scope
                    return
            self._make_scope(predicate or "true")

    def _make_scope(self, predicate: str) -> None:
        with self._lock, self._store.writing() as connection, self._source() as source:
            self._follow(connection, source)  # what the filter shows is read from the newest version
            if find_scope(connection, predicate) is None:
                make_scope(self._store, connection, source, predicate)

    def _follow(self, connection: sa.Connection, source: Source | None) -> int:
        known = self._shown()
        newest = source.shown if source else NO_TABLE
        if known != newest:
            if source is None or known is None or known.table != newest.table or known.version > newest.version:
                build(self._store, connection, source)
            else:
                follow(self._store, connection, source)
        return newest.version

    def _shown(self) -> Shown | None:
        """Return what the index shows; None if it has to be made anew."""
        try:
            with self._store.reading() as connection:
                return shown(connection)
        except IndexUnavailableError:
            if self._store.has_tables():
                raise
            return None  # somebody has deleted it

    @contextmanager
    def _source(self) -> Iterator[Source | None]:
        """Open the newest version of the table; None without a table."""
        self._newest()
        if self._table is None:
            yield None
            return
        with self._sources.open(self._table) as source:
            yield source

    def _newest(self) -> Shown:
        """Look at the table's newest version."""
        if self._table is None or self._log_folder != _identity(self._location):
            self._log_folder = _identity(self._location)
            self._table = ObjectTable.find(self._location)
        else:
            self._table.refresh()
        return shown_of(self._table) if self._table else NO_TABLE


def _identity(location: str) -> int | None:
    """Return what changes when a local table is made anew: nothing else tells who has opened the one before."""
    try:
        return Path(location, "_delta_log").stat().st_ino
    except OSError:
        return None
