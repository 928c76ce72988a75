"""What the table knows under the selected roots, and which of it a listing has met."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import duckdb
import numpy as np
import pyarrow as pa

from dbx.pixels.table.duck import connect
from dbx.pixels.table.prefixes import outermost
from dbx.pixels.table.schema import KNOWN_SCHEMA


class Knowing(Protocol):
    """A table that tells what is known."""

    def known(self, *prefixes: str) -> pa.RecordBatchReader:
        """Read what is known of the objects under the prefixes: rows of `KNOWN_SCHEMA`."""


class Known:
    """Compares listed objects with known ones, by path, modification time and length.

    Parameters
    ----------
    rows : pyarrow.Table
        Of `KNOWN_SCHEMA`; `unreadable` says that an object's bytes could not be read when it was catalogued.
    """

    def __init__(self, rows: pa.Table) -> None:
        self._rows = rows
        self._times = _numbers(rows["modificationTime"])
        self._lengths = _numbers(rows["length"])
        self._unreadable = rows["unreadable"].to_numpy(zero_copy_only=False).astype(bool)
        self._met = np.zeros(rows.num_rows, dtype=bool)
        self._connection: duckdb.DuckDBPyConnection | None = None
        if rows.num_rows:
            self._connection = connect()
            self._connection.register("rows", rows.append_column("row", pa.array(np.arange(rows.num_rows))))
            self._connection.execute(
                f"CREATE TEMP TABLE known AS SELECT path, row, {outermost('original_path')} AS archive,"
                " archive <> path AS is_member FROM rows"
            )
            self._connection.unregister("rows")

    @classmethod
    def nothing(cls) -> Known:
        """Make what is known of an empty table, or when everything listed is wanted."""
        return cls(KNOWN_SCHEMA.empty_table())

    @classmethod
    def under(cls, roots: Sequence[str], table: Knowing | None) -> Known:
        """Read what a table, which need not exist, knows under some roots."""
        return cls(table.known(*roots).read_all()) if table else cls.nothing()

    @property
    def knows_any(self) -> bool:
        """Whether anything is known."""
        return self._connection is not None

    def meet(self, paths: Sequence[str]) -> None:
        """Remember objects as met."""
        if self._connection is not None and paths:
            self._connection.register("met", pa.table({"path": pa.array(paths, pa.string())}))
            rows = self._connection.execute("SELECT row FROM known SEMI JOIN met USING (path)").fetchnumpy()["row"]
            self._met[rows] = True

    def compare(self, listed: pa.RecordBatch | pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tell which of the listed objects are new, changed, or known but unread so far; remember them as met.

        Parameters
        ----------
        listed : pyarrow.RecordBatch or pyarrow.Table
            With the columns `path`, `modificationTime` and `length`.

        Returns
        -------
        new, changed, unreadable : numpy.ndarray of bool, shape (rows,)
            Objects that are in none of the three are known as they are.
        """
        new = np.ones(listed.num_rows, dtype=bool)
        changed = np.zeros(listed.num_rows, dtype=bool)
        unreadable = np.zeros(listed.num_rows, dtype=bool)
        if self._connection is None:
            return new, changed, unreadable
        self._connection.register("listed", pa.table({"path": listed["path"], "place": np.arange(listed.num_rows)}))
        matches = self._connection.execute("SELECT place, row FROM listed JOIN known USING (path)").fetchnumpy()
        place, row = matches["place"], matches["row"]
        self._met[row] = True
        new[place] = False
        times, lengths = _numbers(listed["modificationTime"]), _numbers(listed["length"])
        changed[place] = (times[place] != self._times[row]) | (lengths[place] != self._lengths[row])
        unreadable[place] = self._unreadable[row] & ~changed[place]
        return new, changed, unreadable

    def members(self, archives: Sequence[str]) -> dict[str, list[tuple[str, bool]]]:
        """Return what is known to come out of archives, in place or extracted.

        Returns
        -------
        dict
            By archive, the paths with whether they could not be read; nothing of archives without known members.
        """
        members: dict[str, list[tuple[str, bool]]] = {}
        for archive, row in self._member_rows(archives):
            members.setdefault(archive, []).append((self._rows["path"][row].as_py(), bool(self._unreadable[row])))
        return members

    def meet_members(self, archives: Sequence[str]) -> int:
        """Remember the known members of archives as met, and return how many they are."""
        rows = [row for _, row in self._member_rows(archives)]
        self._met[rows] = True
        return len(rows)

    def unmet(self) -> pa.Table:
        """Return what no listing has met: rows of `KNOWN_SCHEMA`."""
        return self._rows.filter(pa.array(~self._met))

    def _member_rows(self, archives: Sequence[str]) -> list[tuple[str, int]]:
        if self._connection is None or not archives:
            return []
        self._connection.register("wanted", pa.table({"archive": pa.array(archives, pa.string())}))
        query = "SELECT archive, row FROM known SEMI JOIN wanted USING (archive) WHERE is_member ORDER BY row"
        return self._connection.execute(query).fetchall()


def _numbers(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Return the column as integers, absent ones as -1, so that an absent value equals an absent value."""
    return np.asarray(column.cast(pa.int64()).fill_null(-1))
