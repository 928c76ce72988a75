"""Patients' names by the letters in them: SQLite's index of trigrams finds them without looking at all names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

import orjson
import sqlalchemy as sa

from dbx.pixels.index import schema
from dbx.pixels.index.attributes import Searchable
from dbx.pixels.index.matching import Comparison, Demands, Operator

#: Of more studies it is quicker to look at the newest ones until an answer is full.
MOST = 1000

#: Of a pattern that are looked up; more hardly leave fewer.
_MOST_TRIGRAMS = 16

_COLUMN = schema.study.c.PatientName_folded

#: Makes the index of all studies, and keeps it true. Nothing changes a study's row: it is written anew.
CREATE = (
    f"CREATE VIRTUAL TABLE study_name USING fts5({_COLUMN.name}, content='study', content_rowid='rowid',"
    " tokenize='trigram case_sensitive 1', detail='none', columnsize=0)",
    "INSERT INTO study_name (study_name) VALUES ('rebuild')",
    "CREATE TRIGGER study_name_added AFTER INSERT ON study BEGIN"
    f" INSERT INTO study_name (rowid, {_COLUMN.name}) VALUES (new.rowid, new.{_COLUMN.name}); END",
    "CREATE TRIGGER study_name_removed AFTER DELETE ON study BEGIN"
    f" INSERT INTO study_name (study_name, rowid, {_COLUMN.name})"
    f" VALUES ('delete', old.rowid, old.{_COLUMN.name}); END",
)
DROP = "DROP TABLE IF EXISTS study_name"

_FIND = sa.text(f"SELECT rowid FROM study_name WHERE study_name MATCH :trigrams LIMIT {MOST + 1}")

#: Whether a study is one of those that `candidates` has found.
IS_CANDIDATE = sa.literal_column("study.rowid").in_(
    sa.select(sa.func.json_each(sa.bindparam("candidates")).table_valued("value").c.value)
)


def candidates(connection: sa.Connection, compared: Iterable[tuple[Searchable, Demands]]) -> str | None:
    """Find the studies that may have the patients' names that are demanded.

    Returns
    -------
    str or None
        The value of the parameter of `IS_CANDIDATE`: the studies' names still have to be compared. None if all may, or
        too many to be told.
    """
    if connection.dialect.name != "sqlite":
        return None
    demands = [choices for searchable, some in compared if searchable.column is _COLUMN for choices in some]
    trigrams = " AND ".join(f"({text})" for text in map(_any_of, demands) if text)
    if not trigrams:
        return None
    found = connection.scalars(_FIND, {"trigrams": trigrams}).all()
    return None if len(found) > MOST else orjson.dumps(found).decode()


def _any_of(choices: tuple[Comparison, ...]) -> str | None:
    """Return how FTS5 is asked for names that any of the choices may match; None if it cannot tell."""
    texts = [_all_of(choice.value) for choice in choices if choice.operator is Operator.LIKE]
    if len(texts) < len(choices) or not all(texts):
        return None
    return " OR ".join(f"({text})" for text in texts)


def _all_of(pattern: str) -> str:
    pieces = re.split(r"[*?]", pattern)
    trigrams = dict.fromkeys(piece[at : at + 3] for piece in pieces for at in range(len(piece) - 2))
    return " AND ".join('"{}"'.format(trigram.replace('"', '""')) for trigram in islice(trigrams, _MOST_TRIGRAMS))
