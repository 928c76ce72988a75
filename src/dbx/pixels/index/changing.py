"""What new objects and those that are gone change in the index, series by series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from dbx.pixels.index import schema
from dbx.pixels.index.loading import Loader
from dbx.pixels.index.rollups import batches, write_studies
from dbx.pixels.index.schema import EVERYTHING_SCOPE
from dbx.pixels.index.source import Source, series_table
from dbx.pixels.index.store import Store

#: UIDs of a series and its study.
_Uids = tuple[str, str]


def change(
    store: Store,
    connection: sa.Connection,
    source: Source,
    file_ids: dict[str, int],
    fresh: list[tuple[str, str, str]],
    vanished: set[int],
    added: list[str],
) -> set[tuple[int, int]]:
    """Add fresh objects, and take out those that have vanished.

    Series of which objects have vanished, or share a SOP Instance UID with others, are read anew.

    Parameters
    ----------
    file_ids : dict
        By address of a data file.
    fresh : list of tuple
        UIDs of study, series and instance of the objects in the source's table `fresh`.
    vanished : set of int
        The ids of series of which objects have vanished.
    added : list of str
        The data files in which the fresh objects are.

    Returns
    -------
    set of tuple
        The ids of the series that have changed, with those of their studies. A series that was read anew has another
        id than before; no other one holds an object with the same UID.
    """
    held = _series(connection, schema.series.c.StudyInstanceUID, {study for study, *_ in fresh})
    counts = Counter(sop for *_, sop in fresh)
    holders = _holders(connection, counts)
    anew = {(study, series) for study, series, sop in fresh if sop in holders or counts[sop] > 1}
    ids = vanished.union(*holders.values(), (held[uids].id for uids in anew if uids in held))
    gone = _series(connection, schema.series.c.id, _sharing(connection, ids))
    anew |= gone.keys()
    grown = {(study, series) for study, series, _ in fresh} - anew
    study_ids = {study: series.study_id for (study, _), series in (held | gone).items()}
    loader = Loader(store, connection, file_ids, study_ids, {uids: held[uids].id for uids in grown if uids in held})
    _take_out(connection, [series.id for series in gone.values()])  # the loader gives no number of these again
    changed = {(series.id, series.study_id) for series in gone.values()}
    if anew:
        source.choose(series_table(anew))
        changed |= loader.load(source.rows())
    if grown:
        source.choose_fresh(series_table(grown), added)
        changed |= loader.load(source.rows())
    write_studies(store, connection, EVERYTHING_SCOPE, {study_id for _, study_id in changed})
    return changed


def _series(connection: sa.Connection, column: sa.ColumnElement[Any], values: set[Any]) -> dict[_Uids, Any]:
    """Return `id` and `study_id` of series by their UIDs: of those with some value in a column."""
    series = schema.series.c
    found: dict[_Uids, Any] = {}
    for some in batches(sorted(values)):
        query = sa.select(series.StudyInstanceUID, series.SeriesInstanceUID, series.id, series.study_id).where(
            series.scope == EVERYTHING_SCOPE, column.in_(some)
        )
        for row in connection.execute(query):
            found[row.StudyInstanceUID, row.SeriesInstanceUID] = row
    return found


def _holders(connection: sa.Connection, sops: Iterable[str]) -> dict[str, set[int]]:
    """Return which series hold objects with these SOP Instance UIDs."""
    own = schema.own.c
    held: dict[str, set[int]] = {}
    for some in batches(sorted(sops)):
        query = sa.select(own.SOPInstanceUID, own.series_id).where(own.SOPInstanceUID.in_(some))
        for sop, series_id in connection.execute(query):
            held.setdefault(sop, set()).add(series_id)
    return held


def _take_out(connection: sa.Connection, ids: list[int]) -> None:
    """Remove series in all scopes. Numbers of theirs may be given to others."""
    scopes = list(connection.scalars(sa.select(schema.scope.c.id)))
    for some in batches(ids):
        of = sa.select(schema.own.c.id).where(schema.own.c.series_id.in_(some))
        visible = schema.visible.c
        connection.execute(sa.delete(schema.visible).where(visible.scope.in_(scopes), visible.instance_id.in_(of)))
        for table in (schema.own, schema.shared, schema.pack):
            connection.execute(sa.delete(table).where(table.c.series_id.in_(some)))
        connection.execute(sa.delete(schema.series).where(schema.series.c.id.in_(some)))


def _sharing(connection: sa.Connection, ids: set[int]) -> set[int]:
    """Add the series that hold objects with SOP Instance UIDs of these series, and so on."""
    here, there = schema.own.alias(), schema.own.alias()
    todo, done = ids, set(ids)
    while todo:
        found: set[int] = set()
        for some in batches(sorted(todo)):
            query = (
                sa.select(there.c.series_id)
                .join(here, here.c.SOPInstanceUID == there.c.SOPInstanceUID)
                .where(here.c.series_id.in_(some), there.c.series_id != here.c.series_id)
            )
            found.update(connection.scalars(query.distinct()))
        todo = found - done
        done |= todo
    return done
