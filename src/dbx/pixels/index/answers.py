"""What a search answers: the attributes of each result in the DICOM JSON model (PS3.18 10.6.3.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson
import sqlalchemy as sa

from dbx.pixels.index import schema
from dbx.pixels.index.attributes import (
    ALWAYS,
    COMPUTED,
    INSTANCE_COLUMNS,
    SERIES_UID,
    STUDY_UID,
    computed,
)
from dbx.pixels.index.model import Level, Search
from dbx.pixels.index.reading import data_sets, first_data_sets
from dbx.pixels.index.rollups import batches
from dbx.pixels.index.summaries import SERIES_TAGS, STUDY_TAGS, DataSet, is_empty

_PLACE = (schema.instance.c.pack_id, schema.instance.c.start, schema.instance.c.size)

_ABOVE_INSTANCES = STUDY_TAGS | SERIES_TAGS | COMPUTED


def answers(connection: sa.Connection, scope: int, wanted: Search, ids: Sequence[int]) -> list[DataSet]:
    """Return the data sets of studies, series or instances, in the order of their ids."""
    describe = {Level.STUDY: _studies, Level.SERIES: _series, Level.INSTANCE: _instances}[wanted.level]
    found: dict[int, DataSet] = {}
    for some in batches(ids):
        found.update(describe(connection, scope, wanted, some))
    return [found[number] for number in ids]


def _studies(connection: sa.Connection, scope: int, wanted: Search, ids: Sequence[int]) -> dict[int, DataSet]:
    told = _told(connection, schema.study, scope, ids)
    # What series tell has no one value in a study. Viewers include Modality all the same, and read ModalitiesInStudy:
    # looking into an instance of every study for it would cost more than all else.
    known = STUDY_TAGS | COMPUTED | (SERIES_TAGS - _asked_about(wanted))
    stored = _first_instances(connection, scope, wanted, told, known)
    return {number: _chosen(wanted, data_set, stored.get(number)) for number, data_set in told.items()}


def _series(connection: sa.Connection, scope: int, wanted: Search, ids: Sequence[int]) -> dict[int, DataSet]:
    told = _told_of_series(connection, scope, ids)
    stored = _first_instances(connection, scope, wanted, told, _ABOVE_INSTANCES)
    return {number: _chosen(wanted, data_set, stored.get(number)) for number, data_set in told.items()}


def _instances(connection: sa.Connection, scope: int, wanted: Search, ids: Sequence[int]) -> dict[int, DataSet]:
    instance = schema.instance.c
    columns = [instance[keyword] for keyword, _ in INSTANCE_COLUMNS.values()]
    query = (
        sa.select(instance.id, instance.series_id, *_PLACE, *columns)
        .where(instance.id.in_(ids))
        .order_by(instance.pack_id, instance.start)
    )
    rows = connection.execute(query).fetchall()
    series = _told_of_series(connection, scope, sorted({row.series_id for row in rows}))
    above = {number: _chosen(wanted, data_set) for number, data_set in series.items()}
    texts: Iterable[bytes | None] = [None] * len(rows)
    if wanted.include_all or _asked(wanted) - _ABOVE_INSTANCES - INSTANCE_COLUMNS.keys():
        texts = data_sets(connection, rows)
    found = {}
    for row, text in zip(rows, texts, strict=True):
        data_set = above[row.series_id] | _of_instance(row)
        found[row.id] = _in_order(_chosen(wanted, data_set, orjson.loads(text)) if text else data_set)
    return found


def _told(connection: sa.Connection, table: sa.Table, scope: int, ids: Sequence[int]) -> dict[int, DataSet]:
    """Return what the rows of studies or series tell, by id."""
    query = sa.select(table.c.id, table.c.summary).where(table.c.scope == scope, table.c.id.in_(ids))
    return {number: orjson.loads(summary) for number, summary in connection.execute(query)}


def _told_of_series(connection: sa.Connection, scope: int, ids: Sequence[int]) -> dict[int, DataSet]:
    """Return what series and their studies tell; where they contradict each other, the study."""
    series = schema.series.c
    query = sa.select(series.id, series.study_id, series.summary).where(series.scope == scope, series.id.in_(ids))
    rows = connection.execute(query).fetchall()
    studies = _told(connection, schema.study, scope, sorted({row.study_id for row in rows}))
    return {row.id: _in_order(orjson.loads(row.summary) | studies[row.study_id]) for row in rows}


def _of_instance(row: Any) -> DataSet:
    values = row._mapping
    return {
        tag: computed(vr, values[keyword])
        for tag, (keyword, vr) in INSTANCE_COLUMNS.items()
        if values[keyword] is not None
    }


def _first_instances(
    connection: sa.Connection, scope: int, wanted: Search, told: Mapping[int, DataSet], known: frozenset[str]
) -> dict[int, DataSet]:
    """Return the metadata of one instance of each study or series, if attributes are asked for that only it tells."""
    if not told or not _asked(wanted) - known:
        return {}
    owner = schema.series.c.study_id if wanted.level is Level.STUDY else schema.series.c.id
    first = first_data_sets(connection, scope, owner, told)
    return {number: orjson.loads(text) for number, text in first.items()}


def _chosen(wanted: Search, told: DataSet, stored: DataSet | None = None) -> DataSet:
    """Leave what comes always, what is asked for, and, if all is wanted, what is known at the level.

    Parameters
    ----------
    told : dict
        Without empty attributes.
    stored : dict, optional
        The metadata of an instance.
    """
    if stored:
        told = _in_order({tag: element for tag, element in stored.items() if not is_empty(element)} | told)
    if wanted.include_all:
        return told
    tags = _tags(wanted)
    return {tag: element for tag, element in told.items() if tag in tags}


@lru_cache(maxsize=64)
def _tags(wanted: Search) -> frozenset[str]:
    tags = ALWAYS[wanted.level] | {STUDY_UID} | _asked(wanted)
    if wanted.level is not Level.STUDY:
        tags |= {SERIES_UID} | (ALWAYS[Level.STUDY] if wanted.study is None else frozenset())
    if wanted.level is Level.INSTANCE and wanted.series is None:
        tags |= ALWAYS[Level.SERIES]
    return tags


def _in_order(data_set: DataSet) -> DataSet:
    return dict(sorted(data_set.items()))


def _asked(wanted: Search) -> frozenset[str]:
    """Return the attributes that come because they are asked for, or asked about (PS3.18 10.6.3.3)."""
    return wanted.include | _asked_about(wanted)


def _asked_about(wanted: Search) -> frozenset[str]:
    return frozenset(key.tags[0] for key in wanted.keys)
