"""What saving or removing rows changes in a table: the rows to write, and the rows that leave their files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from dbx.pixels.table.duck import identifier, reading, scan
from dbx.pixels.table.log import DataFile, DeltaLog
from dbx.pixels.table.parquet import conform
from dbx.pixels.table.prefixes import may_hold, under
from dbx.pixels.table.schema import IDENTITY
from dbx.pixels.table.seen import SeenPaths

#: What reading the header found: it belongs to the newest reading that understood the object.
_FINDINGS = ("error", "issues")
#: Whether the object is understood by now, if only as what it is instead of DICOM.
_READ_ANEW = "(given.meta IS NOT NULL OR (old.file_type IS NULL AND given.file_type IS NOT NULL))"


@dataclass(frozen=True)
class Changes:
    """One commit's worth of changes.

    Attributes
    ----------
    rows : pyarrow.Table
        To write; of the table's schema.
    dropped : dict
        By address of a live file, the paths whose rows leave it.
    new, changed, filled, unchanged, removed : int
        Rows by what happens to them.
    """

    rows: pa.Table
    dropped: dict[str, pa.Array] = field(default_factory=dict)
    new: int = 0
    changed: int = 0
    filled: int = 0
    unchanged: int = 0
    removed: int = 0

    def __bool__(self) -> bool:
        return bool(self.rows.num_rows or self.dropped)

    def writes_same(self, other: Changes) -> bool:
        """Tell whether the files written for these changes, computed from the same chunk, serve the other ones too."""
        return self.rows["path"].equals(other.rows["path"]) and self.dropped == other.dropped


def changes_of_saving(chunk: pa.Table, log: DeltaLog, seen: SeenPaths) -> Changes:
    """Compare rows, one a path, with the table.

    A row whose path is unknown is new. A row with another modification time or length than the table's replaces it. Any
    other row is the same object: where it fills columns that were null, its values that are not null go over the
    table's.

    Parameters
    ----------
    chunk : pyarrow.Table
        Of the table's schema, no path twice.
    log : DeltaLog
        The table, at the version to compare with.
    seen : SeenPaths
        What is known of its files; extended.
    """
    suspects, files = _suspects(chunk, log, seen)
    if not files:
        return Changes(chunk, new=chunk.num_rows)
    with reading(log.folder) as connection:
        connection.register("given", suspects)
        held = connection.sql(_held(files, log.schema)).to_arrow_table()
        same = held.filter(held["same"])
        connection.register("same", same)
        holding = [log.files[uri] for uri in pc.unique(same["filename"]).to_pylist()]
        merged = conform(connection.sql(_merged(holding, log.schema, suspects)).to_arrow_table(), log.schema)
    new = chunk.filter(pc.invert(pc.is_in(chunk["path"], value_set=held["path"])))
    changed_paths = held["path"].filter(pc.invert(held["same"]))
    changed = suspects.filter(pc.is_in(suspects["path"], value_set=changed_paths))
    replaced = pa.chunked_array([*changed_paths.chunks, *merged["path"].chunks], pa.string())
    return Changes(
        pa.concat_tables([new, changed, merged]),
        _by_file(held.filter(pc.is_in(held["path"], value_set=replaced))),
        new=new.num_rows,
        changed=changed.num_rows,
        filled=merged.num_rows,
        unchanged=chunk.num_rows - new.num_rows - changed.num_rows - merged.num_rows,
    )


def changes_of_removing(objects: pa.Table, log: DeltaLog, seen: SeenPaths) -> Changes:
    """Find the rows of the objects, as far as they still are as they are given, so that they leave the table."""
    suspects, files = _suspects(objects, log, seen)
    same = " AND ".join(f"held.{name} IS NOT DISTINCT FROM given.{name}" for name in IDENTITY)
    return _removal(log, files, f"EXISTS (SELECT 1 FROM given WHERE {same})", suspects)


def changes_of_removing_under(prefixes: Sequence[str], log: DeltaLog) -> Changes:
    """Find the rows under the prefixes, so that they leave the table."""
    return _removal(log, [file for file in log.files.values() if may_hold(file, prefixes)], under(prefixes))


def _removal(log: DeltaLog, files: Sequence[DataFile], predicate: str, given: pa.Table | None = None) -> Changes:
    nothing = log.schema.empty_table()
    if not files:
        return Changes(nothing)
    with reading(log.folder) as connection:
        if given is not None:
            connection.register("given", given)
        source = scan((file.uri for file in files), log.schema, filename=True)
        sql = f"SELECT filename, path FROM {source} AS held WHERE {predicate} ORDER BY path"
        held = connection.sql(sql).to_arrow_table()
    return Changes(nothing, _by_file(held), removed=held.num_rows)


def _suspects(rows: pa.Table, log: DeltaLog, seen: SeenPaths) -> tuple[pa.Table, list[DataFile]]:
    """Return the rows whose path the table may hold, and the files that may hold them: mostly none of either."""
    unseen = [file.uri for file in _overlapping(rows["path"], log) if file.uri not in seen]
    if unseen:
        with reading(log.folder) as connection:
            paths = connection.sql(f"SELECT path FROM {scan(unseen, log.schema)}").to_arrow_table()["path"]
        seen.add(unseen, paths)
    suspects = rows.filter(seen.may_hold(rows["path"]))
    return suspects, _overlapping(suspects["path"], log)


def _overlapping(paths: pa.ChunkedArray, log: DeltaLog) -> list[DataFile]:
    bounds = pc.min_max(paths).as_py()
    if bounds["min"] is None:
        return []
    return [file for file in log.files.values() if file.overlaps("path", bounds["min"], bounds["max"])]


def _held(files: Iterable[DataFile], schema: pa.Schema) -> str:
    source = scan((file.uri for file in files), schema, filename=True)
    # A path that some foreign writer doubled counts as changed, which heals it. Ordered, so that a repetition of the
    # same comparison gives equal changes.
    return f"""
        SELECT filename, path,
               held.modificationTime IS NOT DISTINCT FROM given.modificationTime
               AND held.length IS NOT DISTINCT FROM given.length
               AND count(*) OVER (PARTITION BY path) = 1 AS same
        FROM {source} AS held JOIN given USING (path)
        ORDER BY path, filename"""


def filled_columns(names: Iterable[str], quote: Callable[[str], str]) -> tuple[dict[str, str], dict[str, str]]:
    """Say in SQL how the row `given` fills the row `old` of the same object.

    Parameters
    ----------
    names : iterable of str
        Columns in which something is given; all others stay as they are.
    quote : callable
        Quotes a column's name.

    Returns
    -------
    values : dict
        By column, the expression of its value afterwards.
    fills : dict
        By column, the predicate of rows in which that fills it.
    """
    values, fills = {}, {}
    for name in names:
        if name in IDENTITY:
            continue
        old, new = f"old.{quote(name)}", f"given.{quote(name)}"
        is_filled = f"{old} IS NULL AND {new} IS NOT NULL"
        values[name] = f"coalesce({new}, {old})"
        if name in _FINDINGS:
            values[name] = f"CASE WHEN {_READ_ANEW} THEN {new} WHEN old.meta IS NULL THEN {values[name]} ELSE {old} END"
            is_filled = f"old.meta IS NULL AND {is_filled}"
        fills[name] = f"({is_filled})"
    return values, fills


def _merged(files: Iterable[DataFile], schema: pa.Schema, suspects: pa.Table) -> str:
    """Return the SQL of the rows that get columns filled, with old and new values together."""
    given = [name for name in schema.names if name in _FINDINGS or suspects[name].null_count < suspects.num_rows]
    values, fills = filled_columns(given, identifier)
    columns = [f"{values.get(name, f'old.{identifier(name)}')} AS {identifier(name)}" for name in schema.names]
    return f"""
        SELECT {", ".join(columns)}
        FROM {scan((file.uri for file in files), schema)} AS old JOIN given ON old.path = given.path
        WHERE old.path IN (SELECT path FROM same) AND ({" OR ".join(fills.values())})
        ORDER BY old.path"""


def _by_file(held: pa.Table) -> dict[str, pa.Array]:
    return {
        uri: held.filter(pc.equal(held["filename"], uri))["path"].combine_chunks()
        for uri in pc.unique(held["filename"]).to_pylist()
    }
