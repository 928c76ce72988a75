"""Scores: how uncertain models are of series, kept in the home folder."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dbx.pixels.errors import StorageError

#: Seconds to wait for another process that writes.
_PATIENCE = 30.0

_TABLE = """
    CREATE TABLE IF NOT EXISTS score (
        model TEXT, series TEXT, weights TEXT NOT NULL, fingerprint TEXT NOT NULL, score REAL,
        PRIMARY KEY (model, series)
    ) WITHOUT ROWID"""


@dataclass(frozen=True)
class Score:
    """What one version of a model made of a series as it was then.

    Attributes
    ----------
    fingerprint : str
        `Series.fingerprint` of the series.
    value : float or None
        From 0, certain, to 1; None if the model fails on it.
    """

    fingerprint: str
    value: float | None


class Scores:
    """Scores in an SQLite file; several processes may use it. Deleting it loses nothing but time.

    Parameters
    ----------
    path : pathlib.Path
        The file; it is made when the first score is added.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def of(self, model: str, weights: str) -> dict[str, Score]:
        """Return the scores that a version of a model gave, by Series Instance UID.

        Parameters
        ----------
        model : str
            Its name.
        weights : str
            `Version.identity` of the version: scores of others say nothing of it.

        Raises
        ------
        StorageError
            If the file cannot be read.
        """
        if not self._path.exists():
            return {}
        query = "SELECT series, fingerprint, score FROM score WHERE model = ? AND weights = ?"
        with self._connection() as connection:
            return {row[0]: Score(*row[1:]) for row in connection.execute(query, (model, weights))}

    def add(self, model: str, weights: str, series: str, score: Score) -> None:
        """Keep a score, in the place of the one of an earlier version.

        Raises
        ------
        StorageError
            If the file cannot be written.
        """
        with self._connection() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO score VALUES (?, ?, ?, ?, ?)",
                (model, series, weights, score.fingerprint, score.value),
            )

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=_PATIENCE)) as connection, connection:
                connection.execute(_TABLE)
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise StorageError(str(self._path), f"cannot be used: {error}", "Delete it: it is made anew.") from error
