"""Row filters: which instances a principal may see, computed once for each version of the table and filter."""

from __future__ import annotations

import sqlalchemy as sa

from dbx.pixels.index import schema
from dbx.pixels.index.following import known_instances, shown_version
from dbx.pixels.index.reading import first_data_sets
from dbx.pixels.index.rollups import batches, series_row, write_studies
from dbx.pixels.index.schema import EVERYTHING_SCOPE
from dbx.pixels.index.source import Source
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

    Scopes of other versions are forgotten. Without a source there is no table, and nothing to see.
    """
    _forget_older(connection)
    number = (connection.scalar(sa.select(sa.func.max(schema.scope.c.id))) or EVERYTHING_SCOPE) + 1
    store.insert(connection, schema.scope, [(number, predicate, shown_version(connection))])
    if source is None:
        return
    source.connection.register("known", known_instances(connection))
    ids = source.connection.sql(f"SELECT id FROM known WHERE path IN ({source.visible_paths(predicate)})")
    for batch in ids.to_arrow_reader():
        store.insert(connection, schema.visible, [(number, shown) for shown in batch["id"].to_pylist()])
    _write_series(store, connection, number)
    write_studies(store, connection, number)


def _forget_older(connection: sa.Connection) -> None:
    older = list(
        connection.scalars(sa.select(schema.scope.c.id).where(schema.scope.c.version != shown_version(connection)))
    )
    for table in (schema.visible, schema.series, schema.study):
        connection.execute(sa.delete(table).where(table.c.scope.in_(older)))
    connection.execute(sa.delete(schema.scope).where(schema.scope.c.id.in_(older)))


def _write_series(store: Store, connection: sa.Connection, scope: int) -> None:
    """Write the rows of series: those of which all is shown are copied, what others tell only comes from what is."""
    series, instance, visible = schema.series.c, schema.instance.c, schema.visible.c
    seen = (
        sa.select(
            instance.series_id,
            sa.func.count().label("instances"),
            sa.func.sum(sa.case((instance.shown, 1), else_=0)).label("shown"),
        )
        .join(schema.visible, visible.instance_id == instance.id)
        .where(visible.scope == scope)
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
        ids = [row.id for row in some]
        classes: dict[int, set[str]] = {number: set() for number in ids}
        query = (
            sa.select(instance.series_id, instance.SOPClassUID)
            .join(schema.visible, visible.instance_id == instance.id)
            .where(visible.scope == scope, instance.series_id.in_(ids), instance.SOPClassUID.is_not(None))
        )
        for series_id, uid in connection.execute(query.distinct()):
            classes[series_id].add(uid)
        first = first_data_sets(connection, scope, instance.series_id, ids)
        rows = [
            series_row(
                scope,
                row.id,
                row.study_id,
                (row.StudyInstanceUID, row.SeriesInstanceUID),
                first[row.id],
                classes[row.id],
                row.instances,
            )
            for row in some
        ]
        store.insert(connection, schema.series, rows)
