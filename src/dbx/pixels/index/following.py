"""How the index follows the table: what it remembers of it, and what a new version changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from dbx.pixels.index import schema
from dbx.pixels.index.changing import change
from dbx.pixels.index.loading import Loader
from dbx.pixels.index.rollups import batches, write_studies
from dbx.pixels.index.schema import EVERYTHING_SCOPE, LAYOUT
from dbx.pixels.index.source import INDEXED, NO_TABLE, Shown, Source
from dbx.pixels.index.store import Store

#: Objects beyond which making the index anew costs less than changing it.
MOST_FRESH = 200_000
#: Series beyond which computing scopes anew costs less than changing them.
MOST_CHANGED = 5_000

_KNOWN = pa.schema(
    [
        ("id", pa.int64()),
        ("path", pa.string()),
        ("modificationTime", pa.int64()),
        ("length", pa.int64()),
        ("series_id", pa.int64()),
    ]
)


def shown(connection: sa.Connection) -> Shown | None:
    """Return what the index shows; None if it has to be made anew."""
    remembered = dict(iter(connection.execute(sa.select(schema.state.c.name, schema.state.c.value))))
    if remembered.get("layout") != LAYOUT or not {"table", "version"} <= remembered.keys():
        return None
    return Shown(remembered["table"], remembered["version"])


def shown_version(connection: sa.Connection) -> int:
    """Return the version of the table that the index shows; -1 without one."""
    return (shown(connection) or NO_TABLE).version


def build(store: Store, connection: sa.Connection, source: Source | None) -> None:
    """Make the index anew; without a source it is empty."""
    with store.fresh(connection):
        if source is None:
            _remember(connection, NO_TABLE)
            return
        file_ids = {uri: number for number, uri in enumerate(source.files, 1)}
        store.insert(connection, schema.file, [(number, uri) for uri, number in file_ids.items()])
        loader = Loader(store, connection, file_ids, {}, {})
        source.choose()
        loader.load(source.rows())
        write_studies(store, connection, EVERYTHING_SCOPE)
        _remember(connection, source.shown)


def follow(store: Store, connection: sa.Connection, source: Source) -> None:
    """Bring an index that shows another version to the source's.

    Rows of data files that were written are compared with those of the files that are gone. What is the same only gets
    its new file. What is new is added to its series; but series of which objects have vanished or share a SOP Instance
    UID are read anew.
    """
    file = schema.file.c
    known = {uri: number for number, uri in connection.execute(sa.select(file.id, file.uri))}
    added = [uri for uri in source.files if uri not in known]
    gone = {number for uri, number in known.items() if uri not in source.files}
    if added and not known:
        build(store, connection, source)
        return
    next_id = max(known.values(), default=0) + 1
    new_ids = {uri: number for number, uri in enumerate(added, next_id)}
    store.insert(connection, schema.file, [(number, uri) for uri, number in new_ids.items()])
    if added or gone:
        moved, vanished = _compare(connection, source, added, gone)
        fresh = source.connection.sql(f"""
            SELECT StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID FROM fresh LIMIT {MOST_FRESH + 1}""").fetchall()
        if len(fresh) > MOST_FRESH:
            build(store, connection, source)
            return
        file_ids = known | new_ids
        _move(connection, ((number, file_ids[uri]) for number, uri in moved))
        changed = change(store, connection, source, file_ids, fresh, vanished, added)
        _remember_changes(store, connection, source.shown.version, changed)
        for numbers in batches(sorted(gone)):
            connection.execute(sa.delete(schema.file).where(file.id.in_(numbers)))
    _remember(connection, source.shown)


def _remember(connection: sa.Connection, now: Shown) -> None:
    connection.execute(sa.delete(schema.state))
    values = {"layout": LAYOUT, **now._asdict()}
    connection.execute(sa.insert(schema.state), [{"name": name, "value": value} for name, value in values.items()])


def _remember_changes(store: Store, connection: sa.Connection, version: int, changed: set[tuple[int, int]]) -> None:
    """Remember for the scopes that there are which series and studies have changed."""
    scopes = list(connection.scalars(sa.select(schema.scope.c.id)))
    if not scopes:
        return
    store.insert(connection, schema.changed, [(version, *ids) for ids in sorted(changed)])
    count = connection.scalar(sa.select(sa.func.count()).select_from(schema.changed)) or 0
    if count > MOST_CHANGED:
        for table in (schema.visible, schema.series, schema.study):
            connection.execute(sa.delete(table).where(table.c.scope.in_(scopes)))
        connection.execute(sa.delete(schema.scope))
        connection.execute(sa.delete(schema.changed))


def _compare(
    connection: sa.Connection, source: Source, added: list[str], gone: set[int]
) -> tuple[list[tuple[int, str]], set[int]]:
    """Make the table `fresh` of new objects in the source's database.

    Returns
    -------
    tuple
        Numbers of objects that have moved, with their new files, and of series of which objects have vanished.
    """
    duck = source.connection
    # Of a path that some foreign writer doubled, either row will do.
    duck.execute(f"""
        CREATE TEMP TABLE fresh AS
        SELECT filename, path, epoch_us(modificationTime) AS "modificationTime", length,
            StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID
        FROM {source.scan(added)} WHERE {INDEXED}""")
    if not gone:
        return [], set()
    duck.register("known", known_instances(connection, schema.own.c.file_id, gone))
    duck.execute("""
        CREATE TEMP TABLE moved AS
        SELECT id, any_value(filename) AS filename, path FROM known JOIN fresh USING (path)
        WHERE known."modificationTime" IS NOT DISTINCT FROM fresh."modificationTime"
            AND known.length IS NOT DISTINCT FROM fresh.length
        GROUP BY ALL;
        DELETE FROM fresh WHERE path IN (SELECT path FROM moved)""")
    vanished = duck.sql("SELECT DISTINCT series_id FROM known WHERE id NOT IN (SELECT id FROM moved)").fetchall()
    return duck.sql("SELECT id, filename FROM moved").fetchall(), {number for (number,) in vanished}


def known_instances(connection: sa.Connection, column: sa.ColumnElement[Any], values: Iterable[int] | None) -> pa.Table:
    """Return what the index holds of objects: of those with one of some values in a column of `schema.own`, or all."""
    query = sa.select(*(schema.own.c[name] for name in _KNOWN.names))
    conditions = [[]] if values is None else [[column.in_(some)] for some in batches(sorted(values))]
    parts = [_KNOWN.empty_table()]
    for condition in conditions:
        for rows in connection.execute(query.where(*condition)).partitions(50_000):
            parts.append(pa.table(dict(zip(_KNOWN.names, zip(*rows, strict=True), strict=True)), schema=_KNOWN))
    return pa.concat_tables(parts)


def _move(connection: sa.Connection, moved: Iterable[tuple[int, int]]) -> None:
    rows = [{"moved": number, "new": file_id} for number, file_id in moved]
    update = sa.update(schema.own).where(schema.own.c.id == sa.bindparam("moved"))
    for some in batches(rows, 10_000):
        connection.execute(update.values(file_id=sa.bindparam("new")), list(some))
