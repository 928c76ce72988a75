"""What a search answers: the attributes of each result in the DICOM JSON model (PS3.18 10.6.3.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import sqlalchemy as sa

from dbx.pixels.index import schema
from dbx.pixels.index.attributes import (
    ALWAYS,
    COMPUTED,
    INSTANCE_AVAILABILITY,
    INSTANCE_COLUMNS,
    MODALITIES_IN_STUDY,
    SERIES_INSTANCES,
    SERIES_UID,
    SOP_CLASSES_IN_STUDY,
    STUDY_INSTANCES,
    STUDY_SERIES,
    STUDY_UID,
    computed,
)
from dbx.pixels.index.model import Level, Search
from dbx.pixels.index.reading import data_sets, first_data_sets
from dbx.pixels.index.rollups import batches
from dbx.pixels.index.summaries import SERIES_TAGS, STUDY_TAGS, DataSet, is_empty

_STUDY_COLUMNS = (
    schema.study.c.ModalitiesInStudy,
    schema.study.c.SOPClassesInStudy,
    schema.study.c.NumberOfStudyRelatedSeries,
    schema.study.c.NumberOfStudyRelatedInstances,
    schema.study.c.summary.label("study_summary"),
)
_SERIES_COLUMNS = (
    schema.series.c.NumberOfSeriesRelatedInstances,
    schema.series.c.summary.label("series_summary"),
)
_PLACE = (schema.instance.c.pack_id, schema.instance.c.start, schema.instance.c.size)

_ABOVE_INSTANCES = STUDY_TAGS | SERIES_TAGS | COMPUTED


def answers(connection: sa.Connection, scope: int, wanted: Search, ids: Sequence[int]) -> list[DataSet]:
    """Return the data sets of studies, series or instances, in the order of their ids."""
    describe = {Level.STUDY: _studies, Level.SERIES: _series, Level.INSTANCE: _instances}[wanted.level]
    found: dict[int, DataSet] = {}
    for some in batches(ids):
        found.update(describe(connection, scope, wanted, some))
    return [dict(sorted(found[number].items())) for number in ids]


def _studies(connection: sa.Connection, scope: int, wanted: Search, ids: Sequence[int]) -> dict[int, DataSet]:
    study = schema.study.c
    query = sa.select(study.id, *_STUDY_COLUMNS).where(study.scope == scope, study.id.in_(ids))
    told = {row.id: _of_study(row) for row in connection.execute(query)}
    stored = _first_instances(connection, scope, wanted, told, STUDY_TAGS | COMPUTED)
    return _chosen(wanted, told, stored)


def _series(connection: sa.Connection, scope: int, wanted: Search, ids: Sequence[int]) -> dict[int, DataSet]:
    told = _told_of_series(connection, scope, ids)
    stored = _first_instances(connection, scope, wanted, told, _ABOVE_INSTANCES)
    return _chosen(wanted, told, stored)


def _instances(connection: sa.Connection, scope: int, wanted: Search, ids: Sequence[int]) -> dict[int, DataSet]:
    instance = schema.instance.c
    columns = [instance[keyword] for keyword, _ in INSTANCE_COLUMNS.values()]
    query = (
        sa.select(instance.id, instance.series_id, *_PLACE, *columns)
        .where(instance.id.in_(ids))
        .order_by(instance.pack_id, instance.start)
    )
    rows = connection.execute(query).fetchall()
    above = _told_of_series(connection, scope, sorted({row.series_id for row in rows}))
    told = {row.id: above[row.series_id] | _of_instance(row) for row in rows}
    stored: dict[int, DataSet] = {}
    if wanted.include_all or _asked(wanted) - _ABOVE_INSTANCES - INSTANCE_COLUMNS.keys():
        stored = {row.id: orjson.loads(text) for row, text in zip(rows, data_sets(connection, rows), strict=True)}
    return _chosen(wanted, told, stored)


def _told_of_series(connection: sa.Connection, scope: int, ids: Sequence[int]) -> dict[int, DataSet]:
    """Return what series and their studies tell; where they contradict each other, the study."""
    series, study = schema.series.c, schema.study.c
    studies: dict[int, DataSet] = {}
    told: dict[int, DataSet] = {}
    query = sa.select(series.id, series.study_id, *_SERIES_COLUMNS).where(series.scope == scope, series.id.in_(ids))
    rows = connection.execute(query).fetchall()
    for some in batches(sorted({row.study_id for row in rows})):
        found = sa.select(study.id, *_STUDY_COLUMNS).where(study.scope == scope, study.id.in_(some))
        studies.update((row.id, _of_study(row)) for row in connection.execute(found))
    for row in rows:
        count = {SERIES_INSTANCES: computed("IS", row.NumberOfSeriesRelatedInstances)}
        told[row.id] = orjson.loads(row.series_summary) | studies[row.study_id] | count
    return told


def _of_study(row: Any) -> DataSet:
    return orjson.loads(row.study_summary) | {
        INSTANCE_AVAILABILITY: computed("CS", "ONLINE"),
        MODALITIES_IN_STUDY: computed("CS", *_listed(row.ModalitiesInStudy)),
        SOP_CLASSES_IN_STUDY: computed("UI", *_listed(row.SOPClassesInStudy)),
        STUDY_SERIES: computed("IS", row.NumberOfStudyRelatedSeries),
        STUDY_INSTANCES: computed("IS", row.NumberOfStudyRelatedInstances),
    }


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


def _chosen(wanted: Search, told: Mapping[int, DataSet], stored: Mapping[int, DataSet]) -> dict[int, DataSet]:
    """Leave what comes always, what is asked for, and, if all is wanted, what is known at the level."""
    tags = ALWAYS[wanted.level] | {STUDY_UID} | _asked(wanted)
    if wanted.level is not Level.STUDY:
        tags |= {SERIES_UID} | (ALWAYS[Level.STUDY] if wanted.study is None else frozenset())
    if wanted.level is Level.INSTANCE and wanted.series is None:
        tags |= ALWAYS[Level.SERIES]
    chosen = {}
    for number, data_set in told.items():
        known = {tag: element for tag, element in stored.get(number, {}).items() if not is_empty(element)} | data_set
        chosen[number] = {
            tag: element
            for tag, element in known.items()
            if (wanted.include_all or tag in tags) and not is_empty(element)
        }
    return chosen


def _asked(wanted: Search) -> frozenset[str]:
    """Return the attributes that come because they are asked for, or asked about (PS3.18 10.6.3.3)."""
    return wanted.include | {key.tags[0] for key in wanted.keys}


def _listed(text: str) -> list[str]:
    return [value for value in text.split("\\") if value]
