"""How the index follows the table: what it remembers of it, and what a new version changes."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import sqlalchemy as sa

from dbx.pixels.index import schema
from dbx.pixels.index.loading import Loader
from dbx.pixels.index.rollups import batches, write_studies
from dbx.pixels.index.schema import EVERYTHING_SCOPE, LAYOUT
from dbx.pixels.index.source import INDEXED, NO_TABLE, Shown, Source
from dbx.pixels.index.store import Store

#: Objects beyond which making the index anew costs less than changing it.
MOST_FRESH = 200_000

_SERIES = pa.schema([("StudyInstanceUID", pa.string()), ("SeriesInstanceUID", pa.string())])
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
        loader = Loader(store, connection, file_ids, {})
        source.choose()
        for rows in source.rows():
            loader.load(rows)
        write_studies(store, connection, EVERYTHING_SCOPE)
        _remember(connection, source.shown)


def follow(store: Store, connection: sa.Connection, source: Source) -> None:
    """Bring an index that shows another version to the source's.

    Rows of data files that were written are compared with those of the files that are gone. What is the same only gets
    its new file; the series of all others are read anew.
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
    file_ids = known | new_ids
    if added or gone:
        _compare(connection, source, added, gone)
        ((fresh,),) = source.connection.sql("SELECT count(*) FROM fresh").fetchall()
        if fresh > MOST_FRESH:
            build(store, connection, source)
            return
        moved = source.connection.sql("SELECT id, filename FROM moved").fetchall()
        _move(connection, ((number, file_ids[uri]) for number, uri in moved))
        _reload(store, connection, source, file_ids)
        for numbers in batches(sorted(gone)):
            connection.execute(sa.delete(schema.file).where(file.id.in_(numbers)))
    _remember(connection, source.shown)


def _remember(connection: sa.Connection, now: Shown) -> None:
    connection.execute(sa.delete(schema.state))
    values = {"layout": LAYOUT, **now._asdict()}
    connection.execute(sa.insert(schema.state), [{"name": name, "value": value} for name, value in values.items()])


def _compare(connection: sa.Connection, source: Source, added: list[str], gone: Iterable[int]) -> None:
    """Make tables in the source's database: `moved`, objects with their new files, `fresh` and `vanished` ones."""
    duck = source.connection
    duck.register("known", known_instances(connection, gone))
    # Of a path that some foreign writer doubled, either row will do.
    duck.execute(f"""
        CREATE TEMP TABLE found AS
        SELECT filename, path, epoch_us(modificationTime) AS "modificationTime", length,
            StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID
        FROM {source.scan(added)} WHERE {INDEXED};
        CREATE TEMP TABLE moved AS
        SELECT id, any_value(filename) AS filename, path FROM known JOIN found USING (path)
        WHERE known."modificationTime" IS NOT DISTINCT FROM found."modificationTime"
            AND known.length IS NOT DISTINCT FROM found.length
        GROUP BY ALL;
        CREATE TEMP TABLE fresh AS SELECT * FROM found WHERE path NOT IN (SELECT path FROM moved);
        CREATE TEMP TABLE vanished AS SELECT id, series_id FROM known WHERE id NOT IN (SELECT id FROM moved)""")


def known_instances(connection: sa.Connection, files: Iterable[int] | None = None) -> pa.Table:
    """Return what the index holds of the objects of some data files, or of all."""
    query = sa.select(*(schema.instance.c[name] for name in _KNOWN.names))
    conditions = [[]] if files is None else [[schema.instance.c.file_id.in_(some)] for some in batches(sorted(files))]
    parts = [_KNOWN.empty_table()]
    for condition in conditions:
        for rows in connection.execute(query.where(*condition)).partitions(50_000):
            parts.append(pa.table(dict(zip(_KNOWN.names, zip(*rows, strict=True), strict=True)), schema=_KNOWN))
    return pa.concat_tables(parts)


def _move(connection: sa.Connection, moved: Iterable[tuple[int, int]]) -> None:
    rows = [{"moved": number, "new": file_id} for number, file_id in moved]
    update = sa.update(schema.instance).where(schema.instance.c.id == sa.bindparam("moved"))
    for some in batches(rows, 10_000):
        connection.execute(update.values(file_id=sa.bindparam("new")), list(some))


def _reload(store: Store, connection: sa.Connection, source: Source, file_ids: dict[str, int]) -> None:
    """Read the series anew of which objects are fresh or have vanished, and those that share objects with them."""
    duck = source.connection
    fresh = duck.sql("SELECT DISTINCT StudyInstanceUID, SeriesInstanceUID FROM fresh").fetchall()
    ids = {number for (number,) in duck.sql("SELECT DISTINCT series_id FROM vanished").fetchall()}
    uids = [uid for (uid,) in duck.sql("SELECT DISTINCT SOPInstanceUID FROM fresh").fetchall()]
    for some in batches(uids):
        query = sa.select(schema.instance.c.series_id).where(schema.instance.c.SOPInstanceUID.in_(some))
        ids.update(connection.scalars(query.distinct()))
    wanted = set(fresh)
    series = schema.series.c
    for some in batches(fresh):
        query = sa.select(series.id, series.StudyInstanceUID, series.SeriesInstanceUID).where(
            series.scope == EVERYTHING_SCOPE, series.SeriesInstanceUID.in_([uid for _, uid in some])
        )
        ids.update(number for number, *uid in connection.execute(query) if tuple(uid) in wanted)
    ids = _sharing(connection, ids)
    study_ids: dict[str, int] = {}
    for some in batches(sorted(ids)):
        query = sa.select(series.study_id, series.StudyInstanceUID, series.SeriesInstanceUID).where(
            series.scope == EVERYTHING_SCOPE, series.id.in_(some)
        )
        for study_id, study_uid, series_uid in connection.execute(query):
            wanted.add((study_uid, series_uid))
            study_ids[study_uid] = study_id
        connection.execute(sa.delete(schema.instance).where(schema.instance.c.series_id.in_(some)))
        connection.execute(sa.delete(schema.pack).where(schema.pack.c.series_id.in_(some)))
    for some in batches(sorted({study_uid for study_uid, _ in wanted})):
        query = sa.select(schema.study.c.StudyInstanceUID, schema.study.c.id).where(
            schema.study.c.scope == EVERYTHING_SCOPE, schema.study.c.StudyInstanceUID.in_(some)
        )
        study_ids.update(iter(connection.execute(query)))
    loader = Loader(store, connection, file_ids, study_ids)  # takes ids after those that now go
    for some in batches(sorted(ids)):
        connection.execute(sa.delete(schema.series).where(series.id.in_(some)))
    if wanted:
        source.choose(pa.Table.from_pylist([dict(zip(_SERIES.names, uids, strict=True)) for uids in wanted], _SERIES))
        for rows in source.rows():
            loader.load(rows)
    write_studies(store, connection, EVERYTHING_SCOPE, set(study_ids.values()))


def _sharing(connection: sa.Connection, ids: set[int]) -> set[int]:
    """Add the series that hold objects with SOP Instance UIDs of these series, and so on."""
    here, there = schema.instance.alias(), schema.instance.alias()
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
