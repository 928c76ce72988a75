"""Wildcard matching, ``*`` for any characters and ``?`` for one, the same in SQLite, PostgreSQL and Python."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class _Pattern(sa.types.TypeDecorator[str]):
    """A pattern as the database writes it."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        if value is None:
            return None
        if dialect.name == "sqlite":
            return value.replace("[", "[[]")
        return re.sub(r"([\\%_])", r"\\\1", value).replace("*", "%").replace("?", "_")


class _Like(FunctionElement[bool]):
    type = sa.Boolean()
    inherit_cache = True

    def self_group(self, against: Any = None) -> _Like:  # noqa: ARG002 - SQLAlchemy's
        return self  # it has its own brackets; compared with 1, no index would serve it


@compiles(_Like, "sqlite")
def _glob(element: _Like, compiler: Any, **options: Any) -> str:
    return f"({_operands(element, compiler, ' GLOB ', options)})"


@compiles(_Like, "postgresql")
def _like(element: _Like, compiler: Any, **options: Any) -> str:
    return f"({_operands(element, compiler, ' LIKE ', options)})"


def _operands(element: _Like, compiler: Any, operator: str, options: dict[str, Any]) -> str:
    return operator.join(compiler.process(operand, **options) for operand in element.clauses)


def like(column: sa.ColumnElement[Any], parameter: str) -> sa.ColumnElement[bool]:
    """Return the condition that a column is like the pattern that a parameter holds; case matters."""
    return _Like(column, sa.bindparam(parameter, type_=_Pattern))


def has_wildcard(text: str) -> bool:
    """Tell whether a text is a pattern."""
    return "*" in text or "?" in text


def is_like(text: str, pattern: str) -> bool:
    """Tell whether a text is like a pattern."""
    return bool(_regular(pattern).fullmatch(text))


@lru_cache(maxsize=1024)
def _regular(pattern: str) -> re.Pattern[str]:
    first, *others = (re.escape(part).replace(r"\?", ".") for part in pattern.split("*"))
    if not others:
        return re.compile(first, re.DOTALL)
    # What follows a star is best found where it comes first. To look for it elsewhere, too, may take for ever.
    *between, last = others
    return re.compile(first + "".join(f"(?>.*?{part})" for part in between) + f".*{last}", re.DOTALL)
