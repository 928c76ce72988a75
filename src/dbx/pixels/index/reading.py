"""Instances and their metadata, taken out of the index."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from dbx.pixels.dicom.fragments import Fragments
from dbx.pixels.dicom.image import PIXEL_COLUMNS
from dbx.pixels.errors import IndexUnavailableError
from dbx.pixels.index import schema
from dbx.pixels.index.model import Instance, Level
from dbx.pixels.index.packing import Pack
from dbx.pixels.index.schema import EVERYTHING_SCOPE
from dbx.pixels.index.store import Store

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TYPED_PIXEL_COLUMNS = [name for name in PIXEL_COLUMNS if name not in ("pixel_data", "fragments")]

_INSTANCE_COLUMNS = [
    schema.series.c.StudyInstanceUID,
    schema.series.c.SeriesInstanceUID,
    *(
        schema.instance.c[name]
        for name in (
            "SOPInstanceUID",
            "SOPClassUID",
            "path",
            "local_path",
            "length",
            "modificationTime",
            "pixel_tag",
            "pixel_offset",
            "pixel_length",
            "fragments",
            *_TYPED_PIXEL_COLUMNS,
        )
    ),
]
_INSTANCE_NAMES = [column.name for column in _INSTANCE_COLUMNS]


def in_scope(scope: int | sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    """Return the condition on `schema.instance` that a scope shows the instance."""
    if isinstance(scope, int) and scope == EVERYTHING_SCOPE:
        return schema.instance.c.shown
    return sa.exists().where(schema.visible.c.scope == scope, schema.visible.c.instance_id == schema.instance.c.id)


def of(study: Any, series: Any, sop: Any) -> list[sa.ColumnElement[bool]]:
    """Return the conditions that an instance, joined with its series, is that one, or of that series or study.

    The UIDs are texts or parameters; None for any.
    """
    columns = (schema.series.c.StudyInstanceUID, schema.series.c.SeriesInstanceUID, schema.instance.c.SOPInstanceUID)
    pairs = zip(columns, (study, series, sop), strict=True)
    return [schema.series.c.scope == EVERYTHING_SCOPE, *(column == uid for column, uid in pairs if uid is not None)]


def instances(
    connection: sa.Connection, scope: int, study: str | None, series: str | None, sop: str | None
) -> list[Instance]:
    """Find instances by what is given of their UIDs, in order of series, InstanceNumber and path."""
    uids = {"study": study, "series": series, "sop": sop}
    given = {name: uid for name, uid in uids.items() if uid is not None}
    return [_instance(row._mapping) for row in connection.execute(_instances_query(scope, frozenset(given)), given)]


@lru_cache(maxsize=64)
def _instances_query(scope: int, given: frozenset[str]) -> sa.Select:
    """Make the query by the names of the UIDs that are given. Making it takes longer than running it for a frame."""
    return _query(given, in_scope(scope))


def _query(given: Collection[str], condition: sa.ColumnElement[bool]) -> sa.Select:
    uids: Iterator[Any] = (sa.bindparam(name) if name in given else None for name in ("study", "series", "sop"))
    return (
        sa.select(*_INSTANCE_COLUMNS)
        .join(schema.series, schema.series.c.id == schema.instance.c.series_id)
        .where(*of(*uids), condition)
        .order_by(
            schema.series.c.SeriesNumber.nulls_last(),
            schema.series.c.SeriesInstanceUID,
            schema.instance.c.InstanceNumber.nulls_last(),
            schema.instance.c.path,
        )
    )


_UIDS = ("study", "series", "sop")
_SCOPE_OF_FILTER = (
    sa.select(schema.scope.c.id)
    .join(schema.state, schema.state.c.value == schema.scope.c.version)
    .where(schema.scope.c.predicate == sa.bindparam("predicate"), schema.state.c.name == "version")
    .scalar_subquery()
)
_ONE_INSTANCE = _query(_UIDS, in_scope(EVERYTHING_SCOPE))
_ONE_FILTERED = _query(_UIDS, in_scope(_SCOPE_OF_FILTER))


def look_up(store: Store, predicate: str | None, study: str, series: str, sop: str) -> Instance | None:
    """Find one instance of those that a row filter shows, if that can be said at once."""
    uids = {"study": study, "series": series, "sop": sop}
    if predicate is None:
        found = store.at_once(_ONE_INSTANCE, uids)
    else:
        found = store.at_once(_ONE_FILTERED, uids | {"predicate": predicate})
    return _instance(dict(zip(_INSTANCE_NAMES, found[0], strict=True))) if found else None


def totals(connection: sa.Connection) -> dict[Level, int]:
    """Count what is shown to whoever may see everything."""
    study = schema.study.c
    found = connection.execute(
        sa.select(
            sa.func.count(),
            sa.func.coalesce(sa.func.sum(study.NumberOfStudyRelatedSeries), 0),
            sa.func.coalesce(sa.func.sum(study.NumberOfStudyRelatedInstances), 0),
        ).where(study.scope == EVERYTHING_SCOPE)
    ).one()
    return dict(zip(Level, map(int, found), strict=True))


def series_uids(connection: sa.Connection, scope: int, study: str) -> list[str]:
    """Return the Series Instance UIDs of a study, in order."""
    series = schema.series.c
    return list(
        connection.scalars(
            sa.select(series.SeriesInstanceUID)
            .where(series.StudyInstanceUID == study, series.scope == scope, series.NumberOfSeriesRelatedInstances > 0)
            .order_by(series.SeriesNumber.nulls_last(), series.SeriesInstanceUID)
        )
    )


def places(connection: sa.Connection, scope: int, study: str, series: str, sop: str | None) -> Sequence[Any]:
    """Return where the metadata of a series' instances lie (`pack_id`, `start`, `size`), in this order."""
    instance = schema.instance.c
    query = (
        sa.select(instance.pack_id, instance.start, instance.size)
        .join(schema.series, schema.series.c.id == instance.series_id)
        .where(*of(study, series, sop), in_scope(scope))
        .order_by(instance.pack_id, instance.start)
    )
    return connection.execute(query).fetchall()


def data_sets(connection: sa.Connection, places: Iterable[Any]) -> Iterator[bytes]:
    """Yield the metadata at places, which are in order of packs and in them."""
    for pack_id, members in groupby(places, lambda place: place.pack_id):
        yield from pack(connection, pack_id).cut(members)


def pack(connection: sa.Connection, pack_id: int) -> Pack:
    """Return a pack.

    Raises
    ------
    IndexUnavailableError
        If it has been written anew since its id was read.
    """
    query = sa.select(schema.pack.c.data, schema.pack.c.size).where(schema.pack.c.id == pack_id)
    found = connection.execute(query).one_or_none()
    if found is None:
        raise IndexUnavailableError("", "a series has changed while its metadata were read", "Ask again.")
    return Pack(*found)


def first_places(
    connection: sa.Connection, scope: int, owner: sa.ColumnElement[Any], ids: Collection[int]
) -> Sequence[Any]:
    """Return where the metadata of the first visible instance of each series or study lie, with its id as `owner`.

    Parameters
    ----------
    owner : sqlalchemy.ColumnElement
        The column of `ids`, of `schema.series`.
    """
    own, series = schema.own.c, schema.series.c
    place = sa.func.row_number().over(partition_by=owner, order_by=series.SeriesInstanceUID)
    first = (
        sa.select(owner.label("owner"), series.first_id, place.label("place"))
        .where(series.scope == scope, series.NumberOfSeriesRelatedInstances > 0, owner.in_(ids))
        .subquery()
    )
    return connection.execute(
        sa.select(first.c.owner, own.pack_id, own.start, own.size)
        .join(first, first.c.first_id == own.id)
        .where(first.c.place == 1)
    ).fetchall()


_OF_SCOPE = schema.series.alias()
_WHOLE_SERIES = (
    sa.select(schema.series.c.id)
    .join(_OF_SCOPE, _OF_SCOPE.c.id == schema.series.c.id)
    .where(
        *of(sa.bindparam("study"), sa.bindparam("series"), None),
        _OF_SCOPE.c.scope == sa.bindparam("scope"),
        _OF_SCOPE.c.NumberOfSeriesRelatedInstances == schema.series.c.NumberOfSeriesRelatedInstances,
    )
)
_PACKS = (
    sa.select(schema.pack.c.id)
    .where(schema.pack.c.series_id == sa.bindparam("series_id"), schema.pack.c.shown)
    .order_by(schema.pack.c.id)
)


def packs_of_series(connection: sa.Connection, scope: int, study: str, series: str) -> Sequence[int]:
    """Return the ids of the packs of a series, in order, if the scope shows all of it."""
    series_id = connection.scalar(_WHOLE_SERIES, {"study": study, "series": series, "scope": scope})
    if series_id is None or (scope != EVERYTHING_SCOPE and _shows_hidden(connection, scope, series_id)):
        return ()
    return list(connection.scalars(_PACKS, {"series_id": series_id}))


def _shows_hidden(connection: sa.Connection, scope: int, series_id: int) -> bool:
    """Tell whether the scope shows an object of the series that is not shown to who sees everything."""
    query = sa.select(schema.instance.c.id).where(
        schema.instance.c.series_id == series_id, sa.not_(schema.instance.c.shown), in_scope(scope)
    )
    return connection.scalar(query.limit(1)) is not None


def _instance(row: Mapping[Any, Any]) -> Instance:
    pixels = {name: row[name] for name in _TYPED_PIXEL_COLUMNS}
    pixels["pixel_data"] = row["pixel_tag"] and {
        "tag": row["pixel_tag"],
        "offset": row["pixel_offset"],
        "length": row["pixel_length"],
    }
    fragments, modified = row["fragments"], row["modificationTime"]
    pixels["fragments"] = None if fragments is None else Fragments.from_bytes(fragments)
    return Instance(
        StudyInstanceUID=row["StudyInstanceUID"],
        SeriesInstanceUID=row["SeriesInstanceUID"],
        SOPInstanceUID=row["SOPInstanceUID"],
        SOPClassUID=row["SOPClassUID"] or "",
        TransferSyntaxUID=row["TransferSyntaxUID"],
        path=row["path"],
        local_path=row["local_path"] or row["path"],
        length=row["length"] or 0,
        modificationTime=None if modified is None else _EPOCH + timedelta(microseconds=modified),
        pixels=pixels,
    )
