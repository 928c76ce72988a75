"""Answering a search: which studies, series or instances match, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from pydicom.datadict import dictionary_VR, keyword_for_tag

from dbx.pixels.errors import ArgumentError
from dbx.pixels.index import schema
from dbx.pixels.index.answers import answers, columns
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
    uids = {name: uid for name, uid in (("study", wanted.study), ("series", wanted.series)) if uid is not None}
    matching = _query(wanted.level, scope, frozenset(uids), columns(wanted)).where(*keys.conditions)
    warnings = []
    if keys.in_json:
        found = TABLE_BY_LEVEL[wanted.level].c.id
        if _instances(connection, matching, uids, wanted.level) <= MOST_SEARCHED:
            candidates = list(connection.scalars(matching.with_only_columns(found), uids))
            ids = keep_matching(connection, scope, wanted.level, candidates, keys.in_json)
            end = None if wanted.limit is None else wanted.offset + wanted.limit
            rows = connection.execute(matching.where(found.in_(ids[wanted.offset : end])), uids).fetchall()
            return Found(answers(connection, scope, wanted, rows), [])
        names = ", ".join(key.name for key in keys.in_json)
        warnings.append(
            f"These keys are not indexed and were ignored: {names}."
            f" They are matched where the other keys leave {MOST_SEARCHED} instances at most."
        )
    page = matching.limit(wanted.limit).offset(wanted.offset or None)
    return Found(answers(connection, scope, wanted, connection.execute(page, uids).fetchall()), warnings)


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


@lru_cache(maxsize=256)
def _query(level: Level, scope: int, given: frozenset[str], columns: tuple[sa.ColumnElement[Any], ...]) -> sa.Select:
    """Make the query for the rows of a level with those of the levels above, before keys, in the order of answers.

    Making it takes as long as running it for a series.

    Parameters
    ----------
    given : frozenset of str
        Which of the parameters `study` and `series`, that are UIDs, it has.
    """
    study, series, instance = schema.study, schema.series, schema.instance
    query = sa.select(*columns).where(study.c.scope == scope).order_by(*_order(level))
    if "study" in given:
        query = query.where(study.c.StudyInstanceUID == sa.bindparam("study"))
    if level is Level.STUDY:
        return query
    query = query.where(series.c.scope == scope, series.c.NumberOfSeriesRelatedInstances > 0)
    if "study" in given:
        query = query.where(series.c.StudyInstanceUID == sa.bindparam("study"))
    if "series" in given:
        query = query.where(series.c.SeriesInstanceUID == sa.bindparam("series"))
    joined = series.join(study, study.c.id == series.c.study_id)
    if level is Level.SERIES:
        return query.select_from(joined)
    joined = instance.join(joined, series.c.id == instance.c.series_id)
    return query.select_from(joined).where(in_scope(scope))


def _order(level: Level) -> tuple[sa.ColumnElement[Any], ...]:
    if level is Level.INSTANCE:
        return schema.series.c.id, schema.instance.c.id  # in a series by InstanceNumber and path
    newest = (schema.study.c.StudyDate.desc().nulls_last(), schema.study.c.StudyInstanceUID)
    if level is Level.STUDY:
        return newest
    return *newest, schema.series.c.SeriesNumber.nulls_last(), schema.series.c.SeriesInstanceUID


def _instances(connection: sa.Connection, query: sa.Select, uids: Mapping[str, str], level: Level) -> int:
    """Return how many instances the rows of a query have; of many, it stops counting."""
    query = query.order_by(None)
    if level is Level.INSTANCE:
        some = query.with_only_columns(schema.instance.c.id).limit(MOST_SEARCHED + 1).subquery()
        return connection.scalar(sa.select(sa.func.count()).select_from(some), uids) or 0
    counted = (
        schema.study.c.NumberOfStudyRelatedInstances
        if level is Level.STUDY
        else schema.series.c.NumberOfSeriesRelatedInstances
    )
    return connection.scalar(query.with_only_columns(sa.func.sum(counted)), uids) or 0
