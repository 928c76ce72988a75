"""The queries of searches, each made once for all searches that differ in values only."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple

import sqlalchemy as sa

from dbx.pixels.index import schema
from dbx.pixels.index.attributes import Searchable
from dbx.pixels.index.like import like
from dbx.pixels.index.matching import Demands, Operator
from dbx.pixels.index.model import Level
from dbx.pixels.index.names import IS_CANDIDATE
from dbx.pixels.index.reading import in_scope

_LEVELS = list(Level)

#: `Demands` without values.
Form = tuple[tuple[Operator, ...], ...]


class Shape(NamedTuple):
    """What of a search its query depends on.

    Attributes
    ----------
    columns : tuple
        Of the rows that are found: those of the level, and of the levels above.
    given : frozenset of str
        Which parameters it has of `study` and `series`, which are UIDs, `candidates` by name, `limit` and `offset`.
    keys : tuple
        What is compared, and how.
    """

    level: Level
    scope: int
    columns: tuple[sa.ColumnElement[Any], ...]
    given: frozenset[str]
    keys: tuple[tuple[Searchable, Form], ...]


def form(demands: Demands) -> Form:
    """Return how values are compared."""
    return tuple(tuple(comparison.operator for comparison in choices) for choices in demands)


def parameters(demands: Iterator[Demands]) -> dict[str, Any]:
    """Return the values of the keys of a search as parameters of its query."""
    values = (comparison.value for some in demands for choices in some for comparison in choices)
    return dict(zip(_names(), values, strict=False))


@lru_cache(maxsize=512)
def query(shape: Shape) -> sa.Select:
    """Make the query for the rows that match, in the order of answers. Making it may take longer than running it."""
    study, series, instance = schema.study, schema.series, schema.instance
    level, scope, columns, given, keys = shape
    select = sa.select(*columns).where(study.c.scope == scope).order_by(*_order(level))
    if "study" in given:
        select = select.where(study.c.StudyInstanceUID == sa.bindparam("study"))
    if level is not Level.STUDY:
        select = select.where(series.c.scope == scope, series.c.NumberOfSeriesRelatedInstances > 0)
        if "study" in given:
            select = select.where(series.c.StudyInstanceUID == sa.bindparam("study"))
        if "series" in given:
            select = select.where(series.c.SeriesInstanceUID == sa.bindparam("series"))
        below: sa.FromClause = series
        if level is Level.INSTANCE:
            below = instance.join(series, series.c.id == instance.c.series_id)
            select = select.where(in_scope(scope))
        select = select.select_from(below.join(study, study.c.id == series.c.study_id))
    if "candidates" in given:
        select = select.where(IS_CANDIDATE)
    names = _names()
    for searchable, comparisons in keys:
        select = select.where(
            _at_level(level, scope, searchable.level, _condition(searchable.column, comparisons, names))
        )
    if "limit" in given:
        select = select.limit(sa.bindparam("limit", type_=sa.BigInteger))
    if "offset" in given:
        select = select.offset(sa.bindparam("offset", type_=sa.BigInteger))
    return select


def _names() -> Iterator[str]:
    """Yield the names of parameters."""
    return (f"value_{number}" for number in count())


def _order(level: Level) -> tuple[sa.ColumnElement[Any], ...]:
    if level is Level.INSTANCE:
        return schema.series.c.id, schema.instance.c.id  # in a series by InstanceNumber and path
    newest = (schema.study.c.StudyDate.desc().nulls_last(), schema.study.c.StudyInstanceUID)
    if level is Level.STUDY:
        return newest
    return *newest, schema.series.c.SeriesNumber.nulls_last(), schema.series.c.SeriesInstanceUID


def _condition(column: sa.Column[Any], form: Form, names: Iterator[str]) -> sa.ColumnElement[bool]:
    choices = ([_compare(column, operator, next(names)) for operator in some] for some in form)
    return sa.and_(sa.true(), *(sa.or_(sa.false(), *some) for some in choices))


def _compare(column: sa.Column[Any], operator: Operator, name: str) -> sa.ColumnElement[bool]:
    # A number that is none of the column's, such as 1.5 or 1e30, is in no row: PostgreSQL would round or refuse it.
    kind = sa.Float(53) if isinstance(column.type, sa.Integer) else column.type
    value = sa.bindparam(name, type_=kind)
    match operator:
        case Operator.LIKE:
            return like(column, name)
        case Operator.IN:
            return column.in_(sa.bindparam(name, type_=kind, expanding=True))
        case Operator.AT_LEAST:
            return column >= value
        case Operator.AT_MOST:
            return column <= value
        case Operator.EQUAL:
            return column == value


def _at_level(level: Level, scope: int, below: Level, condition: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Return a condition as one on rows of a level: of what lies below it, anything may fulfil it."""
    if _LEVELS.index(below) <= _LEVELS.index(level):
        return condition
    exists = sa.exists().where(condition)
    if below is Level.SERIES:
        return exists.where(schema.series.c.study_id == schema.study.c.id, schema.series.c.scope == scope)
    exists = exists.where(in_scope(scope))
    if level is Level.SERIES:
        return exists.where(schema.instance.c.series_id == schema.series.c.id)
    inner = schema.series.alias()
    return exists.where(
        schema.instance.c.series_id == inner.c.id, inner.c.study_id == schema.study.c.id, inner.c.scope == scope
    )
