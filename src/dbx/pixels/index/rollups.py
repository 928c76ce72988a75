"""The rows of series and studies: what is told of each, and how much it has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import orjson
import sqlalchemy as sa

from dbx.pixels.dicom.json_model import DataSet
from dbx.pixels.index import schema
from dbx.pixels.index.attributes import (
    ALWAYS,
    INSTANCE_AVAILABILITY,
    MODALITIES_IN_STUDY,
    RETRIEVE_URL,
    SERIES_INSTANCES,
    SERIES_UID,
    SOP_CLASSES_IN_STUDY,
    STUDY_INSTANCES,
    STUDY_SERIES,
    STUDY_UID,
    computed,
)
from dbx.pixels.index.model import BULK_ROOT, Level
from dbx.pixels.index.store import Store
from dbx.pixels.index.summaries import columns, is_empty, series_summary, study_summary
from dbx.pixels.index.urls import resource_url
from dbx.pixels.index.values import divided, several

#: Ids in one statement.
BATCH = 500


def series_row(
    scope: int,
    series_id: int,
    study_id: int,
    first_id: int,
    uids: tuple[str, str],
    data_set: bytes,
    classes: Iterable[str],
    instances: int,
) -> tuple[Any, ...]:
    """Return the row of a series, whose UIDs are given with its study's, and of which its first instance tells."""
    study_uid, series_uid = uids
    summary = series_summary(data_set) | {
        STUDY_UID: computed("UI", study_uid),
        SERIES_UID: computed("UI", series_uid),
        RETRIEVE_URL: computed("UR", resource_url(BULK_ROOT.decode(), *uids)),
    }
    told = (scope, series_id, study_id, first_id, study_uid, *columns(Level.SERIES, summary))
    return told + _counted(summary, classes, instances)


def more_of_series(row: Sequence[Any], classes: Iterable[str], instances: int) -> tuple[Any, ...]:
    """Return the row of a series that has got instances of which none is the first."""
    *told, _, _, summary = row
    return (*told, *_counted(orjson.loads(summary), classes, instances))


def _counted(summary: DataSet, classes: Iterable[str], instances: int) -> tuple[str, int, bytes]:
    """Return the last columns of a series."""
    summary = summary | {SERIES_INSTANCES: computed("IS", instances)}
    return several(sorted(classes)), instances, _told(summary)


def write_studies(store: Store, connection: sa.Connection, scope: int, ids: Collection[int] | None = None) -> None:
    """Write the rows of studies anew, as their series in this scope tell; of all studies without `ids`."""
    study, series = schema.study.c, schema.series.c
    query = (
        sa.select(
            series.study_id,
            series.StudyInstanceUID,
            series.Modality,
            series.SOPClassesInSeries,
            series.NumberOfSeriesRelatedInstances,
            series.summary,
        )
        .where(series.scope == scope, series.NumberOfSeriesRelatedInstances > 0)
        # Whoever has most images is heard first: reports and presentation states often know less of the study.
        .order_by(
            series.study_id,
            series.NumberOfSeriesRelatedInstances.desc(),
            series.SeriesInstanceUID,
        )
    )
    for some in [None] if ids is None else batches(sorted(ids)):
        removed = sa.delete(schema.study).where(study.scope == scope)
        found = query
        if some is not None:
            removed, found = removed.where(study.id.in_(some)), query.where(series.study_id.in_(some))
        connection.execute(removed)
        rows = connection.execute(found).fetchall()
        store.insert(
            connection,
            schema.study,
            [_study_row(scope, list(members)) for _, members in groupby(rows, lambda row: row.study_id)],
        )


def batches(values: Sequence[Any], size: int = BATCH) -> Iterator[Sequence[Any]]:
    """Divide values into parts that fit into one statement."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _study_row(scope: int, members: Sequence[Any]) -> tuple[Any, ...]:
    summary = study_summary(orjson.loads(member.summary) for member in members)
    modalities = sorted({member.Modality for member in members if member.Modality})
    classes = sorted({uid for member in members for uid in divided(member.SOPClassesInSeries)})
    instances = sum(member.NumberOfSeriesRelatedInstances for member in members)
    told = summary | {
        INSTANCE_AVAILABILITY: computed("CS", "ONLINE"),
        MODALITIES_IN_STUDY: computed("CS", *modalities),
        SOP_CLASSES_IN_STUDY: computed("UI", *classes),
        STUDY_SERIES: computed("IS", len(members)),
        STUDY_INSTANCES: computed("IS", instances),
        RETRIEVE_URL: computed("UR", resource_url(BULK_ROOT.decode(), members[0].StudyInstanceUID)),
    }
    return (
        scope,
        members[0].study_id,
        *columns(Level.STUDY, summary),
        several(modalities),
        several(classes),
        len(members),
        instances,
        _told({tag: element for tag, element in told.items() if tag in ALWAYS[Level.STUDY]}),
        _told({tag: element for tag, element in told.items() if tag not in ALWAYS[Level.STUDY]}),
    )


def _told(summary: DataSet) -> bytes:
    return orjson.dumps({tag: element for tag, element in sorted(summary.items()) if not is_empty(element)})
