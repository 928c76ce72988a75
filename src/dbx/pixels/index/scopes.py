"""Row filters: which instances a principal may see, computed for each filter once, and again for what changes."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from dbx.pixels.index import schema
from dbx.pixels.index.following import known_instances, shown_version
from dbx.pixels.index.reading import data_sets
from dbx.pixels.index.rollups import batches, series_row, write_studies
from dbx.pixels.index.schema import EVERYTHING_SCOPE
from dbx.pixels.index.source import Source, series_table
from dbx.pixels.index.store import Store


def find_scope(connection: sa.Connection, predicate: str | None) -> int | None:
    """Return the number of the scope that a row filter describes, None if it is not known for what the index shows."""
    if predicate is None:
        return EVERYTHING_SCOPE
    return connection.scalar(
        sa.select(schema.scope.c.id).where(
            schema.scope.c.predicate == predicate, schema.scope.c.version == shown_version(connection)
        )
    )


def make_scope(store: Store, connection: sa.Connection, source: Source | None, predicate: str) -> None:
    """Compute what a row filter shows of the version that the index shows, which the source has to be at.

    Of a filter that was asked for before, that is done for the series that have changed since. Without a source there
    is no table, and nothing to see.
    """
    scope, changed, version = schema.scope.c, schema.changed.c, shown_version(connection)
    known = connection.execute(sa.select(scope.id, scope.version).where(scope.predicate == predicate)).one_or_none()
    if known is None:
        number = (connection.scalar(sa.select(sa.func.max(scope.id))) or EVERYTHING_SCOPE) + 1
        store.insert(connection, schema.scope, [(number, predicate, version)])
        if source:
            _write(store, connection, source, number, predicate)
            write_studies(store, connection, number)
        return
    connection.execute(sa.update(schema.scope).where(scope.id == known.id).values(version=version))
    since = sa.select(changed.series_id, changed.study_id).where(changed.version > known.version)
    ids = connection.execute(since).fetchall()
    _forget(connection, known.id, sorted({series_id for series_id, _ in ids}))
    if source and ids:
        _write(store, connection, source, known.id, predicate, sorted({series_id for series_id, _ in ids}))
    write_studies(store, connection, known.id, {study_id for _, study_id in ids})


def _forget(connection: sa.Connection, scope: int, ids: Sequence[int]) -> None:
    """Remove what a scope shows of series."""
    own, visible, series = schema.own.c, schema.visible.c, schema.series.c
    for some in batches(ids):
        of = sa.select(own.id).where(own.series_id.in_(some))
        connection.execute(sa.delete(schema.visible).where(visible.scope == scope, visible.instance_id.in_(of)))
        connection.execute(sa.delete(schema.series).where(series.scope == scope, series.id.in_(some)))


def _write(
    store: Store,
    connection: sa.Connection,
    source: Source,
    scope: int,
    predicate: str,
    ids: Sequence[int] | None = None,
) -> None:
    """Write which instances of series a scope shows, and the rows of those series; of all series without `ids`."""
    wanted = None
    if ids is not None:
        series = schema.series.c
        uids: list[tuple[str, str]] = []
        for some in batches(ids):
            query = sa.select(series.StudyInstanceUID, series.SeriesInstanceUID)
            uids += connection.execute(query.where(series.scope == EVERYTHING_SCOPE, series.id.in_(some)))
        wanted = series_table(uids)
    source.connection.register("known", known_instances(connection, schema.own.c.series_id, ids))
    visible = source.connection.sql(f"SELECT id FROM known WHERE path IN ({source.visible_paths(predicate, wanted)})")
    for batch in visible.to_arrow_reader():
        store.insert(connection, schema.visible, [(scope, shown) for shown in batch["id"].to_pylist()])
    parts: list[Sequence[int] | None] = [None] if ids is None else [*batches(ids)]
    for part in parts:
        _write_series(store, connection, scope, part)


def _write_series(store: Store, connection: sa.Connection, scope: int, ids: Sequence[int] | None) -> None:
    """Write the rows of series: those of which all is shown are copied, what others tell only comes from what is."""
    series, instance, visible = schema.series.c, schema.instance.c, schema.visible.c
    seen = (
        sa.select(
            instance.series_id,
            sa.func.count().label("instances"),
            sa.func.sum(sa.case((instance.shown, 1), else_=0)).label("shown"),
        )
        .join(schema.visible, visible.instance_id == instance.id)
        .where(visible.scope == scope, *([] if ids is None else [instance.series_id.in_(ids)]))
        .group_by(instance.series_id)
        .subquery()
    )
    is_whole = sa.and_(seen.c.shown == seen.c.instances, seen.c.shown == series.NumberOfSeriesRelatedInstances)
    here = sa.select(schema.series).join(seen, seen.c.series_id == series.id).where(series.scope == EVERYTHING_SCOPE)
    others = [column for column in schema.series.columns if column.name != "scope"]
    copied = here.where(is_whole).with_only_columns(sa.literal(scope), *others)
    connection.execute(sa.insert(schema.series).from_select(["scope", *(column.name for column in others)], copied))
    partly = connection.execute(
        here.where(sa.not_(is_whole)).with_only_columns(
            series.id, series.study_id, series.StudyInstanceUID, series.SeriesInstanceUID, seen.c.instances
        )
    ).fetchall()
    for some in batches(partly):
        numbers = [row.id for row in some]
        classes: dict[int, set[str]] = {number: set() for number in numbers}
        shown = (
            sa.select(instance.series_id)
            .join(schema.visible, visible.instance_id == instance.id)
            .where(visible.scope == scope, instance.series_id.in_(numbers))
        )
        query = shown.add_columns(instance.SOPClassUID).where(instance.SOPClassUID.is_not(None))
        for series_id, uid in connection.execute(query.distinct()):
            classes[series_id].add(uid)
        order = (sa.not_(instance.shown), instance.InstanceNumber.nulls_last(), instance.path)
        ranked = shown.add_columns(
            instance.id,
            instance.pack_id,
            instance.start,
            instance.size,
            sa.func.row_number().over(partition_by=instance.series_id, order_by=order).label("place"),
        ).subquery()
        first = connection.execute(
            sa.select(ranked).where(ranked.c.place == 1).order_by(ranked.c.pack_id, ranked.c.start)
        ).fetchall()
        told = {row.series_id: (row.id, text) for row, text in zip(first, data_sets(connection, first), strict=True)}
        rows = []
        for row in some:
            first_id, data_set = told[row.id]
            uids = (row.StudyInstanceUID, row.SeriesInstanceUID)
            of = (scope, row.id, row.study_id, first_id, uids)
            rows.append(series_row(*of, data_set, classes[row.id], row.instances))
        store.insert(connection, schema.series, rows)
