"""Answering a search: which studies, series or instances match, and in which order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from pydicom.datadict import dictionary_VR, keyword_for_tag

from dbx.pixels.errors import ArgumentError
from dbx.pixels.index import schema
from dbx.pixels.index.answers import answers
from dbx.pixels.index.attributes import INSTANCE_AVAILABILITY, SEARCHABLE, Searchable
from dbx.pixels.index.json_matching import JsonKey, keep_matching
from dbx.pixels.index.matching import Condition, Matcher, matcher
from dbx.pixels.index.model import Found, Key, Level, Search
from dbx.pixels.index.reading import in_scope
from dbx.pixels.index.schema import TABLE_BY_LEVEL

#: Instances whose metadata is searched for a key that has no column.
MOST_SEARCHED = 5000

_LEVELS = list(Level)


@dataclass
class _Understood:
    """Keys, sorted by how they are answered."""

    conditions: list[Condition] = field(default_factory=list)
    in_json: list[JsonKey] = field(default_factory=list)
    never: bool = False


def search(connection: sa.Connection, scope: int, wanted: Search) -> Found:
    """Answer a search.

    Raises
    ------
    ArgumentError
        If the value of a key is malformed, or `limit` or `offset` is negative.
    """
    for name, number in (("limit", wanted.limit or 0), ("offset", wanted.offset)):
        if number < 0:
            raise ArgumentError(name, f"{number} is negative", "Write a number of results, 0 or more.")
    keys = _understand(wanted, scope)
    if keys.never:
        return Found([], [])
    query = _query(wanted, scope).where(*keys.conditions)
    ordered = query.with_only_columns(TABLE_BY_LEVEL[wanted.level].c.id).order_by(*_order(wanted.level))
    warnings = []
    if keys.in_json:
        if _instances(connection, query, wanted.level) <= MOST_SEARCHED:
            candidates = list(connection.scalars(ordered))
            ids = keep_matching(connection, scope, wanted.level, candidates, keys.in_json)
            end = None if wanted.limit is None else wanted.offset + wanted.limit
            return Found(answers(connection, scope, wanted, ids[wanted.offset : end]), [])
        names = ", ".join(key.name for key in keys.in_json)
        warnings.append(
            f"These keys are not indexed and were ignored: {names}."
            f" They are matched where the other keys leave {MOST_SEARCHED} instances at most."
        )
    ids = list(connection.scalars(ordered.limit(wanted.limit).offset(wanted.offset)))
    return Found(answers(connection, scope, wanted, ids), warnings)


def _understand(wanted: Search, scope: int) -> _Understood:
    understood = _Understood()
    for key in wanted.keys:
        name, vr = _named(key)
        found = matcher(name, vr, key.value, fuzzy=wanted.fuzzy)
        if found is None:
            continue
        searchable = SEARCHABLE.get(key.tags[0]) if len(key.tags) == 1 else None
        if searchable:
            understood.conditions.append(_condition(searchable, found, wanted.level, scope))
        elif key.tags == (INSTANCE_AVAILABILITY,):
            understood.never |= not found.holds("ONLINE")
        else:
            understood.in_json.append(JsonKey(name, key.tags, found))
    return understood


def _named(key: Key) -> tuple[str, str]:
    """Return how a key is called in messages, and its value representation; private attributes are text."""
    name = ".".join(keyword_for_tag(int(tag, 16)) or tag for tag in key.tags)
    try:
        return name, dictionary_VR(int(key.tags[-1], 16)).split(" ")[0]
    except KeyError:
        return name, "LO"


def _condition(searchable: Searchable, found: Matcher, level: Level, scope: int) -> Condition:
    condition = searchable.condition(found)
    if _LEVELS.index(searchable.level) <= _LEVELS.index(level):
        return condition
    # What is asked of a lower level holds if anything there fulfils it.
    below = sa.exists().where(condition)
    if searchable.level is Level.SERIES:
        return below.where(schema.series.c.study_id == schema.study.c.id, schema.series.c.scope == scope)
    below = below.where(in_scope(scope))
    if level is Level.SERIES:
        return below.where(schema.instance.c.series_id == schema.series.c.id)
    inner = schema.series.alias()
    return below.where(
        schema.instance.c.series_id == inner.c.id, inner.c.study_id == schema.study.c.id, inner.c.scope == scope
    )


def _query(wanted: Search, scope: int) -> sa.Select[Any]:
    """Return the rows of a level with those of the levels above, before keys."""
    study, series, instance = schema.study, schema.series, schema.instance
    conditions = [study.c.scope == scope]
    if wanted.study is not None:
        conditions.append(study.c.StudyInstanceUID == wanted.study)
    if wanted.level is Level.STUDY:
        return sa.select(study).where(*conditions)
    conditions += [series.c.scope == scope, series.c.NumberOfSeriesRelatedInstances > 0]
    if wanted.study is not None:
        conditions.append(series.c.StudyInstanceUID == wanted.study)
    if wanted.series is not None:
        conditions.append(series.c.SeriesInstanceUID == wanted.series)
    joined = series.join(study, study.c.id == series.c.study_id)
    if wanted.level is Level.SERIES:
        return sa.select(series).select_from(joined).where(*conditions)
    joined = instance.join(joined, series.c.id == instance.c.series_id)
    return sa.select(instance).select_from(joined).where(*conditions, in_scope(scope))


def _order(level: Level) -> tuple[sa.ColumnElement[Any], ...]:
    if level is Level.INSTANCE:
        return schema.series.c.id, schema.instance.c.id  # in a series by InstanceNumber and path
    newest = (schema.study.c.StudyDate.desc().nulls_last(), schema.study.c.StudyInstanceUID)
    if level is Level.STUDY:
        return newest
    return *newest, schema.series.c.SeriesNumber.nulls_last(), schema.series.c.SeriesInstanceUID


def _instances(connection: sa.Connection, query: sa.Select[Any], level: Level) -> int:
    """Return how many instances the rows of a query have; of many, it stops counting."""
    if level is Level.INSTANCE:
        some = query.with_only_columns(schema.instance.c.id).limit(MOST_SEARCHED + 1).subquery()
        return connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0
    counted = (
        schema.study.c.NumberOfStudyRelatedInstances
        if level is Level.STUDY
        else schema.series.c.NumberOfSeriesRelatedInstances
    )
    return connection.scalar(query.with_only_columns(sa.func.sum(counted))) or 0
