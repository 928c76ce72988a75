"""What the index takes from the table: rows of some series, in the forms that the index holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from dbx.pixels.dicom.attributes import Attribute
from dbx.pixels.index.model import Level
from dbx.pixels.index.schema import ATTRIBUTES_BY_LEVEL
from dbx.pixels.table.duck import identifier, literal, reading, scan
from dbx.pixels.table.objects import ObjectTable

#: An object is in the index if it can be addressed.
INDEXED = "StudyInstanceUID IS NOT NULL AND SeriesInstanceUID IS NOT NULL AND SOPInstanceUID IS NOT NULL"

#: Memory of the database that reads, and metadata that is in memory at once.
_MEMORY_LIMIT = "320MB"
_RANGE_BYTES = 64 * 2**20

#: Columns of the rows for the index, besides those of the instance's attributes.
_PLACES = """
    filename, path, local_path, length, epoch_us(modificationTime) AS "modificationTime",
    StudyInstanceUID, SeriesInstanceUID, path NOT IN (SELECT path FROM shadowed) AS shown,
    pixel_data.tag AS pixel_tag, pixel_data."offset" AS pixel_offset, pixel_data.length AS pixel_length,
    fragments, coalesce(meta, '{}') AS meta"""


class Shown(NamedTuple):
    """What an index shows: a number of the table that tells it apart from one made anew in its place, and a version."""

    table: int
    version: int


#: What is shown if there is no table.
NO_TABLE = Shown(0, -1)


def shown_of(table: ObjectTable) -> Shown:
    """Return what an index shows that is at the version that the table is looked at."""
    return Shown(int.from_bytes(hashlib.sha256(table.log.table_id.encode()).digest()[:7]), table.version)


class Range(NamedTuple):
    """Neighbouring series: from one to another, both included."""

    first: tuple[str, str]
    last: tuple[str, str]

    @property
    def condition(self) -> str:
        """The range as an SQL condition, by whose first line whole parts of files are skipped."""
        (first_study, first_series), (last_study, last_series) = (
            tuple(map(literal, end)) for end in (self.first, self.last)
        )
        return f"""
            StudyInstanceUID BETWEEN {first_study} AND {last_study}
            AND (StudyInstanceUID > {first_study} OR SeriesInstanceUID >= {first_series})
            AND (StudyInstanceUID < {last_study} OR SeriesInstanceUID <= {last_series})"""


class Source:
    """One version of the table, open for reading.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        That can read the table's files.
    table : ObjectTable
        At the version that is looked at.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, table: ObjectTable) -> None:
        self.connection = connection
        self.shown = shown_of(table)
        self.files = dict(table.log.files)
        self._schema = table.schema
        connection.execute(f"SET memory_limit = '{_MEMORY_LIMIT}'; SET preserve_insertion_order = false")

    def scan(self, uris: list[str] | None = None) -> str:
        """Return the SQL expression over some data files of the table, by default all."""
        return scan(self.files if uris is None else uris, self._schema, filename=True)

    def choose(self, wanted: pa.Table | None = None) -> None:
        """Say of which series rows are read.

        Parameters
        ----------
        wanted : pyarrow.Table, optional
            With the columns `StudyInstanceUID` and `SeriesInstanceUID`; every series without it. It has to hold all
            series in which an object with the same SOP Instance UID is.
        """
        self._uris = list(self.files)
        self._condition = INDEXED
        if wanted is not None:
            self.connection.register("wanted", wanted)
            least, greatest = pc.min_max(wanted["StudyInstanceUID"]).as_py().values()
            self._uris = [uri for uri, file in self.files.items() if file.overlaps("StudyInstanceUID", least, greatest)]
            self._condition = f"""{INDEXED} AND StudyInstanceUID BETWEEN {literal(least)} AND {literal(greatest)}
                AND (StudyInstanceUID, SeriesInstanceUID) IN (SELECT StudyInstanceUID, SeriesInstanceUID FROM wanted)"""
        source = f"{self.scan(self._uris)} WHERE {self._condition}"
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE shadowed AS {_shadowed(source)}")

    def visible_paths(self, predicate: str) -> str:
        """Return the SQL query of the objects that somebody with a row filter is shown."""
        source = f"(SELECT * FROM {self.scan()} WHERE ({predicate})) WHERE {INDEXED}"
        return f"SELECT path FROM {source} AND path NOT IN ({_shadowed(source)})"

    def rows(self) -> Iterator[pa.Table]:
        """Read the rows of the chosen series, some series at a time, in no order; the next ones are read meanwhile."""
        ahead: Future[pa.Table] | None = None
        with ThreadPoolExecutor(1) as reader:
            for part in [*self._ranges(), None]:
                ready, ahead = ahead, part and reader.submit(self._rows, part)
                if ready:
                    yield ready.result()

    def _ranges(self) -> list[Range]:
        """Divide the chosen series into ranges, of each of which the metadata fits into memory."""
        counts = self.connection.sql(f"""
            SELECT StudyInstanceUID, SeriesInstanceUID, count(*)
            FROM {self.scan(self._uris)} WHERE {self._condition} GROUP BY ALL ORDER BY ALL""").fetchall()
        most = max(1, int(_RANGE_BYTES / self._bytes_per_row()))
        ranges: list[Range] = []
        rows = most
        for study, series, count in counts:
            if rows + count > most:
                ranges.append(Range((study, series), (study, series)))
                rows = 0
            ranges[-1] = ranges[-1]._replace(last=(study, series))
            rows += count
        return ranges

    def _rows(self, part: Range) -> pa.Table:
        attributes = ", ".join(map(_index_form, ATTRIBUTES_BY_LEVEL[Level.INSTANCE]))
        uris = [uri for uri in self._uris if self.files[uri].overlaps("StudyInstanceUID", part.first[0], part.last[0])]
        return self.connection.sql(f"""
            SELECT {_PLACES}, {attributes} FROM {self.scan(uris)}
            WHERE {part.condition} AND {self._condition}""").to_arrow_table()

    def _bytes_per_row(self) -> float:
        if not self._uris:
            return 1
        files = ", ".join(map(literal, self._uris))
        ((size,),) = self.connection.sql(f"""
            SELECT sum(total_uncompressed_size) / greatest(sum(num_values), 1)
            FROM parquet_metadata([{files}]) WHERE path_in_schema = 'meta'""").fetchall()
        return max(1.0, size or 1.0)


@contextmanager
def open_source(table: ObjectTable) -> Iterator[Source]:
    """Open the version that the table is looked at.

    Raises
    ------
    TableError
        If its files cannot be read.
    """
    with reading(table.log.folder) as connection:
        yield Source(connection, table)


def _shadowed(source: str) -> str:
    """Return the SQL query of objects whose SOP Instance UID another one shows: a newer, or one of a smaller path."""
    return f"""
        SELECT path FROM {source} AND SOPInstanceUID IN (
            SELECT SOPInstanceUID FROM {source} GROUP BY SOPInstanceUID HAVING count(*) > 1)
        QUALIFY row_number() OVER (PARTITION BY SOPInstanceUID ORDER BY modificationTime DESC NULLS LAST, path) > 1"""


def _index_form(attribute: Attribute) -> str:
    """Return the SQL of an instance's attribute as `values.column_value` makes it of DICOM JSON."""
    name = identifier(attribute.keyword)
    if attribute.multiple:
        value = rf"nullif('\' || array_to_string({name}, '\') || '\', '\\')"
    elif attribute.vr == "DA":
        value = f"strftime({name}, '%Y%m%d')"
    elif attribute.vr == "TM":
        value = rf"""CASE WHEN regexp_full_match(trim({name}), '\d\d(:?\d\d(:?\d\d(\.\d{{1,6}})?)?)?') THEN
            rpad(replace(split_part(trim({name}), '.', 1), ':', ''), 6, '0') || '.'
            || rpad(split_part(trim({name}), '.', 2), 6, '0') END"""
    elif attribute.vr == "DT":
        digits = rf"regexp_extract(trim({name}), '^\d+')"
        value = rf"""CASE WHEN regexp_full_match(trim({name}), '(\d\d){{2,7}}(\.\d{{1,6}})?([+-]\d{{4}})?') THEN
            {digits} || substr('0101000000', length({digits}) - 3) || '.'
            || rpad(regexp_extract({name}, '\.(\d+)', 1), 6, '0') END"""
    else:
        value = name
    return f"{value} AS {name}"
