"""What the index takes from the table: rows of some series, in the forms that the index holds."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbx.pixels.dicom.attributes import Attribute
from dbx.pixels.dicom.json_model import doubtful, read_data_set
from dbx.pixels.index.metadata import with_metadata
from dbx.pixels.index.model import Level
from dbx.pixels.index.schema import ATTRIBUTES_BY_LEVEL
from dbx.pixels.table.duck import connect, identifier, literal, scan, telling
from dbx.pixels.table.folder import TableFolder
from dbx.pixels.table.objects import ObjectTable

#: An object is in the index if it can be addressed.
INDEXED = "StudyInstanceUID IS NOT NULL AND SeriesInstanceUID IS NOT NULL AND SOPInstanceUID IS NOT NULL"
_WANTED = "(StudyInstanceUID, SeriesInstanceUID) IN (SELECT StudyInstanceUID, SeriesInstanceUID FROM wanted)"

#: Memory of the database that reads.
_MEMORY_LIMIT = "320MB"
#: Rows that it hands over at once, and metadata in memory at which it has handed over enough.
_BATCH_ROWS = 2048
_PART_BYTES = 32 * 2**20

#: Columns of the rows for the index, besides those of the instance's attributes.
_PLACES = """
    filename, file_row_number, path, nullif(local_path, path) AS local_path, length,
    epoch_us(modificationTime) AS "modificationTime",
    StudyInstanceUID, SeriesInstanceUID, path NOT IN (SELECT path FROM shadowed) AS shown,
    pixel_data.tag AS pixel_tag, pixel_data."offset" AS pixel_offset, pixel_data.length AS pixel_length,
    fragments"""


_log = logging.getLogger(__name__)

_SERIES = pa.schema([("StudyInstanceUID", pa.string()), ("SeriesInstanceUID", pa.string())])


def series_table(uids: Iterable[tuple[str, str]]) -> pa.Table:
    """Return Study and Series Instance UIDs of series as `Source` takes them."""
    return pa.Table.from_pylist([dict(zip(_SERIES.names, some, strict=True)) for some in uids], _SERIES)


class Shown(NamedTuple):
    """What an index shows: a number of the table that tells it apart from one made anew in its place, and a version."""

    table: int
    version: int


#: What is shown if there is no table.
NO_TABLE = Shown(0, -1)


def shown_of(table: ObjectTable) -> Shown:
    """Return what an index shows that is at the version that the table is looked at."""
    return Shown(int.from_bytes(hashlib.sha256(table.log.table_id.encode()).digest()[:7]), table.version)


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
        self._folder = table.log.folder
        self._schema = table.schema

    def scan(self, uris: list[str] | None = None) -> str:
        """Return the SQL expression over some data files of the table, by default all."""
        return scan(self.files if uris is None else uris, self._schema, filename=True, file_row_number=True)

    def choose(self, wanted: pa.Table | None = None) -> None:
        """Say of which series rows are read.

        Parameters
        ----------
        wanted : pyarrow.Table, optional
            With the columns `StudyInstanceUID` and `SeriesInstanceUID`; every series without it. It has to hold all
            series in which an object with the same SOP Instance UID is.
        """
        self._uris, self._condition = self._of(wanted)
        source = f"{self.scan(self._uris)} WHERE {self._condition}"
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE shadowed AS {_shadowed(source)}")

    def visible_paths(self, predicate: str, wanted: pa.Table | None = None) -> str:
        """Return the SQL query of the objects of series, as above, that somebody with a row filter is shown."""
        uris, condition = self._of(wanted)
        source = f"(SELECT * FROM {self.scan(uris)} WHERE ({predicate})) WHERE {condition}"
        return f"SELECT path FROM {source} AND path NOT IN ({_shadowed(source)})"

    def _of(self, wanted: pa.Table | None) -> tuple[list[str], str]:
        """Return the data files in which there may be rows of series, and the condition on them."""
        if wanted is None:
            return list(self.files), INDEXED
        self.connection.register("wanted", wanted)
        least, greatest = pc.min_max(wanted["StudyInstanceUID"]).as_py().values()
        uris = [uri for uri, file in self.files.items() if file.overlaps("StudyInstanceUID", least, greatest)]
        # By the first line whole parts of files are skipped.
        return (
            uris,
            f"""StudyInstanceUID BETWEEN {literal(least)} AND {literal(greatest)}
            AND {INDEXED} AND {_WANTED}""",
        )

    def choose_fresh(self, wanted: pa.Table, uris: list[str]) -> None:
        """Say of which series rows are read, but only of objects in the table `fresh`, which share no UID with others.

        Parameters
        ----------
        wanted : pyarrow.Table
            As above.
        uris : list of str
            The data files in which they are.
        """
        self.connection.register("wanted", wanted)
        self._uris = uris
        self._condition = f"{INDEXED} AND {_WANTED} AND path IN (SELECT path FROM fresh)"
        self.connection.execute("CREATE OR REPLACE TEMP TABLE shadowed (path VARCHAR)")

    def rows(self) -> Iterator[pa.Table]:
        """Read the rows of the chosen series, some at a time."""
        attributes = ", ".join(map(_index_form, ATTRIBUTES_BY_LEVEL[Level.INSTANCE]))
        rows = self.connection.sql(
            f"SELECT {_PLACES}, {attributes} FROM {self.scan(self._uris)} WHERE {self._condition}"
        ).to_arrow_reader(_BATCH_ROWS)
        yield from _parts(map(_readable, with_metadata(rows, self._folder)))


def _readable(rows: pa.Table) -> pa.Table:
    """Leave out objects whose metadata is no data set: who wrote it without us may have written anything."""
    numbers = doubtful(rows["meta"])
    if not numbers:
        return rows
    unreadable = [number for number in numbers if read_data_set(rows["meta"][number].as_py()) is None]
    if unreadable:
        _log.warning("%d objects are not served, as their `meta` is no DICOM JSON: ingest them again", len(unreadable))
        rows = rows.take(np.delete(np.arange(rows.num_rows), unreadable))
    trimmed = pc.ascii_trim_whitespace(rows["meta"])  # data sets are cut out of what ends with their brace
    return rows.set_column(rows.column_names.index("meta"), "meta", trimmed)


def _parts(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Put rows together as long as their metadata is not too much."""
    some: list[pa.Table] = []
    size = 0
    for table in tables:
        some.append(table)
        size += table["meta"].nbytes
        if size > _PART_BYTES:
            yield pa.concat_tables(some)
            some, size = [], 0
    if some:
        yield pa.concat_tables(some)


class Sources:
    """Opens versions of a table, with a database that is kept: making it takes longer than a few rows."""

    def __init__(self) -> None:
        self._database: duckdb.DuckDBPyConnection | None = None

    @contextmanager
    def open(self, table: ObjectTable) -> Iterator[Source]:
        """Open the version that the table is looked at; no other one meanwhile.

        Raises
        ------
        TableError
            If its files cannot be read.
        """
        folder = table.log.folder
        database = self._database or _database(folder)
        self._database = None
        with telling(folder), database.cursor() as connection:
            yield Source(connection, table)
        self._database = database  # which after an error is not to be relied on


def _database(folder: TableFolder) -> duckdb.DuckDBPyConnection:
    database = connect(folder)
    # One thread gives rows in the order of the files, in which their metadata are read once: of a join, it keeps the
    # short list behind IN, and looks up the rows.
    database.execute(f"""
        SET disabled_optimizers = 'build_side_probe_side'; SET threads = 1;
        SET memory_limit = '{_MEMORY_LIMIT}'; SET enable_external_file_cache = false""")
    return database


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
        value = rf"nullif('\' || list_aggr({name}::VARCHAR[], 'string_agg', '\') || '\', '\\')"
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
