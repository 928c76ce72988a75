"""What a search answers: the attributes of each result in the DICOM JSON model (PS3.18 10.6.3.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson
import sqlalchemy as sa

from dbx.pixels.dicom.json_model import DataSet, read_data_set
from dbx.pixels.index import schema
from dbx.pixels.index.attributes import (
    ALWAYS,
    COMPUTED,
    INSTANCE_COLUMNS,
    INSTANCE_NUMBER,
    INSTANCE_UID,
    RETRIEVE_URL,
    SEARCHABLE,
    SERIES_INSTANCES,
    SERIES_UID,
    STUDY_UID,
    computed,
)
from dbx.pixels.index.model import BULK_ROOT, Level, Search
from dbx.pixels.index.reading import data_sets, first_places
from dbx.pixels.index.rollups import batches
from dbx.pixels.index.summaries import SERIES_TAGS, STUDY_TAGS, is_empty
from dbx.pixels.index.urls import quoted, resource_url

_ROOT = BULK_ROOT.decode()
_INSTANCE_TAGS = frozenset(tag for tag, searchable in SEARCHABLE.items() if searchable.level is Level.INSTANCE)
#: What is told of each level without looking into instances.
_KNOWN = {
    Level.STUDY: STUDY_TAGS | COMPUTED,
    Level.SERIES: STUDY_TAGS | SERIES_TAGS | COMPUTED,
    Level.INSTANCE: STUDY_TAGS | SERIES_TAGS | COMPUTED | INSTANCE_COLUMNS.keys(),
}
#: Of the levels below each, which have no one value in it. To look for the one that was asked about in every study
#: would cost more than all else; viewers include Modality, and read ModalitiesInStudy.
_BELOW = {
    Level.STUDY: SERIES_TAGS | {SERIES_INSTANCES} | _INSTANCE_TAGS,
    Level.SERIES: _INSTANCE_TAGS,
    Level.INSTANCE: frozenset[str](),
}

_STUDY = (schema.study.c.id, schema.study.c.answer, schema.study.c.others)
_ANSWER = (schema.study.c.answer,)
_SERIES = (
    schema.series.c.id,
    schema.series.c.study_id,
    schema.series.c.summary,
    schema.study.c.answer,
    schema.study.c.others,
)
#: First what differs between the instances of a series.
_INSTANCE = (
    schema.instance.c.SOPInstanceUID,
    schema.instance.c.InstanceNumber,
    schema.instance.c.series_id,
    *(
        schema.instance.c[keyword]
        for tag, (keyword, _) in INSTANCE_COLUMNS.items()
        if tag not in (INSTANCE_UID, INSTANCE_NUMBER)
    ),
)
_PLACED_INSTANCE = (*_INSTANCE, schema.instance.c.pack_id, schema.instance.c.start, schema.instance.c.size)

_SERIES_BY_ID = (
    sa.select(*_SERIES)
    .join(schema.study, schema.study.c.id == schema.series.c.study_id)
    .where(
        schema.series.c.scope == sa.bindparam("scope"),
        schema.study.c.scope == sa.bindparam("scope"),
        schema.series.c.id.in_(sa.bindparam("ids", expanding=True)),
    )
)


def columns(wanted: Search) -> tuple[sa.ColumnElement[Any], ...]:
    """Return the columns of studies, series with their studies, or instances that `answers` needs."""
    if wanted.level is Level.STUDY:
        return _ANSWER if _is_ready(wanted) else _STUDY
    if wanted.level is Level.SERIES:
        return _SERIES
    return _PLACED_INSTANCE if _needs_metadata(wanted) else _INSTANCE


def answers(
    connection: sa.Connection,
    scope: int,
    wanted: Search,
    rows: Sequence[Any],
    matching: Mapping[int, Any] | None = None,
) -> list[bytes]:
    """Return the data sets of studies, series or instances, of which the rows hold the `columns`, in their order.

    Parameters
    ----------
    matching : dict, optional
        By the ids of studies or series, where the metadata lies of the instance that tells of each what no row does;
        without it the first one does.
    """
    if wanted.level is Level.INSTANCE:
        return _instances(connection, scope, wanted, rows)
    if wanted.level is Level.SERIES:
        return _with_instances(connection, scope, wanted, _told_of_series(rows), matching)
    if _is_ready(wanted):
        return [row.answer for row in rows]
    return _with_instances(connection, scope, wanted, {row.id: _told_of_study(row) for row in rows}, matching)


def _is_ready(wanted: Search) -> bool:
    """Tell whether studies are answered with what always comes."""
    return not wanted.include_all and not _asked(wanted) - ALWAYS[Level.STUDY]


def _needs_metadata(wanted: Search) -> bool:
    """Tell whether attributes are wanted that only the metadata of instances tells."""
    return _is_whole(wanted) or bool(_asked(wanted) - _KNOWN[wanted.level])


def _is_whole(wanted: Search) -> bool:
    """Tell whether all that the metadata of instances tells is wanted."""
    return wanted.include_all and wanted.level is Level.INSTANCE


def _with_instances(
    connection: sa.Connection,
    scope: int,
    wanted: Search,
    told: Mapping[int, DataSet],
    matching: Mapping[int, Any] | None,
) -> list[bytes]:
    """Answer with what is told of studies or series, by id, and what an instance of each tells, if needed."""
    owner = schema.series.c.study_id if wanted.level is Level.STUDY else schema.series.c.id
    needs_metadata = _needs_metadata(wanted)
    texts = []
    for some in batches(list(told)):
        stored = {}
        if needs_metadata:
            found = [matching[number] for number in some] if matching else first_places(connection, scope, owner, some)
            places = sorted(found, key=lambda place: (place.pack_id, place.start))
            owners = (place.owner for place in places)
            stored = dict(zip(owners, data_sets(connection, places), strict=True))
        texts += [orjson.dumps(_chosen(wanted, told[number], stored.get(number))) for number in some]
    return texts


def _told_of_study(row: Any) -> DataSet:
    return _in_order(orjson.loads(row.answer) | orjson.loads(row.others))


def _told_of_series(rows: Iterable[Any]) -> dict[int, DataSet]:
    """Return what series and their studies tell, by id; where they contradict each other, the study."""
    studies: dict[int, DataSet] = {}
    told = {}
    for row in rows:
        if row.study_id not in studies:
            studies[row.study_id] = _told_of_study(row)
        series = orjson.loads(row.summary)
        told[row.id] = _in_order(series | studies[row.study_id] | {RETRIEVE_URL: series[RETRIEVE_URL]})
    return told


def _instances(connection: sa.Connection, scope: int, wanted: Search, rows: Sequence[Any]) -> list[bytes]:
    above: dict[int, DataSet] = {}
    for ids in batches(sorted({row.series_id for row in rows})):
        series = _told_of_series(connection.execute(_SERIES_BY_ID, {"scope": scope, "ids": ids}))
        above.update((number, _chosen(wanted, told)) for number, told in series.items())
    if _needs_metadata(wanted):
        return _with_metadata(connection, wanted, rows, above)
    templates: dict[tuple[Any, ...], bytes] = {}
    texts = []
    for row in rows:
        uid, number, *kind = row
        key = (number is None, *kind)
        template = templates.get(key)
        if template is None:
            template = templates[key] = _template(above[row.series_id] | _of_instance(row))
        places = (orjson.dumps(uid), quoted(uid).encode())
        texts.append(template % (places if number is None else (*places, number)))
    return texts


def _template(told: DataSet) -> bytes:
    """Write what an instance tells, with places for its UID, this in its URL, and its number, if it has one."""
    url = f"{resource_url(_ROOT, *_uids(told))}/instances/".encode()
    places = {
        INSTANCE_UID: computed("UI", orjson.Fragment(b"\0b")),
        RETRIEVE_URL: computed("UR", orjson.Fragment(b'"%b\0b"' % url)),
    }
    if INSTANCE_NUMBER in told:
        places[INSTANCE_NUMBER] = computed("IS", orjson.Fragment(b"\0d"))
    # No NUL occurs in JSON.
    return orjson.dumps(_in_order(told | places)).replace(b"%", b"%%").replace(b"\0", b"%")


def _with_metadata(
    connection: sa.Connection, wanted: Search, rows: Sequence[Any], above: Mapping[int, DataSet]
) -> list[bytes]:
    """Answer with what is told of instances and with their metadata, of which every pack is read once."""
    texts = [b""] * len(rows)
    order = sorted(range(len(rows)), key=lambda at: (rows[at].pack_id, rows[at].start))
    for at, stored in zip(order, data_sets(connection, (rows[at] for at in order)), strict=True):
        row, told = rows[at], above[rows[at].series_id]
        url = computed("UR", resource_url(_ROOT, *_uids(told), row.SOPInstanceUID))
        texts[at] = orjson.dumps(_chosen(wanted, told | _of_instance(row) | {RETRIEVE_URL: url}, stored))
    return texts


def _of_instance(row: Any) -> DataSet:
    values = row._mapping
    return {
        tag: computed(vr, values[keyword])
        for tag, (keyword, vr) in INSTANCE_COLUMNS.items()
        if values[keyword] is not None
    }


def _uids(told: DataSet) -> tuple[str, str]:
    """Return the UIDs of the study and the series."""
    study, series = (told[tag]["Value"][0] for tag in (STUDY_UID, SERIES_UID))
    return study, series


def _chosen(wanted: Search, told: DataSet, stored: bytes | None = None) -> DataSet:
    """Leave what comes always, what is asked for, and, if all is wanted, what is known at the level.

    Parameters
    ----------
    told : dict
        Without empty attributes.
    stored : bytes, optional
        The metadata of an instance.
    """
    if stored:
        elements = {tag: element for tag, element in (read_data_set(stored) or {}).items() if not is_empty(element)}
        if not _is_whole(wanted):
            elements = {tag: elements[tag] for tag in _asked(wanted) & elements.keys()}
        told = _in_order(elements | told)
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
    """Return the attributes that come because they are asked for, or asked about, and are no lower level's."""
    return wanted.include.union(key.tags[0] for key in wanted.keys) - _BELOW[wanted.level]
