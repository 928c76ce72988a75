"""Looking something up in SQLite at once: without waiting, and without SQLAlchemy, which takes ten times as long."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

_DIALECT = sqlite.dialect(paramstyle="named")


class Glance:
    """A connection to an index in a file that waits for nobody.

    Parameters
    ----------
    path : pathlib.Path
        The file; opened with the first query.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._url = f"file:{quote(str(path))}?mode=rw"  # which makes no file
        self._file: int | None = None
        self._connection: sqlite3.Connection | None = None
        self._lock = Lock()

    def rows(self, query: sa.Select, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Return what a query finds; nothing if the file is taken, or another thread is looking."""
        if not self._lock.acquire(blocking=False):
            return []
        try:
            text, constants = _statement(query)
            return self._connected().execute(text, {**constants, **parameters}).fetchall()
        except sqlite3.Error:
            return []
        finally:
            self._lock.release()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._disconnect()

    def _connected(self) -> sqlite3.Connection:
        file = file_number(self._path)
        if self._connection is None or file != self._file:
            self._disconnect()
            self._file = file
            self._connection = sqlite3.connect(
                self._url, uri=True, timeout=0, isolation_level=None, check_same_thread=False
            )
        return self._connection

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None


def file_number(path: Path) -> int | None:
    """Return what tells a file from another one that takes its place; None without one."""
    try:
        return os.stat(path).st_ino  # noqa: PTH116 - for every frame
    except OSError:
        return None


@lru_cache(maxsize=64)
def _statement(query: sa.Select) -> tuple[str, dict[str, Any]]:
    compiled = query.compile(dialect=_DIALECT)
    return str(compiled), dict(compiled.params)
