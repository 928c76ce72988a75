"""Wildcards mean the same to Python, SQLite and PostgreSQL, and none of them takes for ever."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dbx.pixels.index.like import is_like, like

pytest_plugins = ["postgres", "index_fixtures"]

_LETTERS = "ab[]\\%_^\n"


@pytest.fixture(scope="module")
def connection(index_url: str | None) -> Iterator[sa.Connection]:
    """A connection to either database."""
    url = index_url.replace("postgresql:", "postgresql+psycopg:") if index_url else "sqlite://"
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def is_like_in_database(connection: sa.Connection, text: str, pattern: str) -> bool:
    query = sa.select(like(sa.bindparam("text", type_=sa.Text), "pattern"))
    return bool(connection.scalar(query, {"text": text, "pattern": pattern}))


@given(text=st.text(_LETTERS, max_size=8), pattern=st.text(_LETTERS + "*?", max_size=8))
@example(text="aab", pattern="*ab")
@example(text="ab", pattern="a*b*b")
@example(text="abcab", pattern="*ab")
@settings(max_examples=500, deadline=None)
def test_python_finds_what_the_database_finds(connection: sa.Connection, text: str, pattern: str) -> None:
    assert is_like(text, pattern) == is_like_in_database(connection, text, pattern)


@pytest.mark.parametrize("part", ["*a", "*a?", "*?a", "*[", "*?"])
def test_many_wildcards_take_no_longer_than_one_can_wait(connection: sa.Connection, part: str) -> None:
    text, pattern = "a" * 2000, part * 300 + "b"
    assert not is_like(text, pattern)
    assert not is_like_in_database(connection, text, pattern)
