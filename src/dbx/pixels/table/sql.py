"""SQL over a table: read-only DuckDB that sees the views and nothing else."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa
from pydicom.datadict import keyword_dict

from dbx.pixels.errors import QueryError
from dbx.pixels.table import views
from dbx.pixels.table.duck import connect, literal, scan, schema_file
from dbx.pixels.table.folder import TableFolder
from dbx.pixels.table.objects import ObjectTable
from dbx.pixels.table.principal import EVERYTHING, Principal
from dbx.pixels.table.results import RESULTS_SCHEMA, open_results, results_table
from dbx.pixels.table.schema import TABLE_SCHEMA

BATCH_ROWS = 8192

_READS = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
_TABLE_FUNCTIONS = {"range", "generate_series", "unnest", "repeat", "json_each", "json_tree"}
_EXPLAIN = re.compile(r"\s*EXPLAIN(\s+ANALYZE)?\s+(?=\S)", re.IGNORECASE)
_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),?\s*([0-9A-Fa-f]{4})\)?")
#: Outside of its WITH such a name would be a file's, or that of a table which shows how the views are made.
_NAME_OF_MORE = re.compile(r"[./\\]|^(duckdb|pg|pragma|sqlite)_")
#: What a query raises, by itself or through the readers of files and of Arrow.
_FAILURES = (duckdb.Error, OSError, pa.ArrowException)
_ONLY_SELECT = "Write one SELECT, WITH, FROM, DESCRIBE, SUMMARIZE, SHOW or EXPLAIN statement."


def query(table: ObjectTable | None, sql: str, *, principal: Principal = EVERYTHING) -> pa.RecordBatchReader:
    """Answer one SQL query over the table's current snapshot.

    It sees `object_catalog`, `studies`, `series`, `instances`, `issues`, `dicom_tags` and, of what models did,
    `object_catalog_autoseg_result`; and the function ``dicom(meta, attribute)``, which takes an attribute out of `meta`
    as text by its keyword or its tag (``'Rows'``, ``'00280010'``, ``'(0028,0010)'``): several values are joined by a
    backslash, a person's name is its alphabetic group, a sequence is JSON; NULL if the object does not have it.

    Parameters
    ----------
    table : ObjectTable or None
        None answers as an empty table does.
    sql : str
        One statement that reads.
    principal : Principal
        Who asks; rows that may not be seen are as if they did not exist.

    Returns
    -------
    pyarrow.RecordBatchReader
        Batches are computed while they are read. Columns of one name are numbered: `a`, `a_2`.

    Raises
    ------
    QueryError
        If the query is refused or fails, also while batches are read.
    """
    connection = connect(table.log.folder if table else None)
    try:
        _prepare(connection, table, sql, principal)
        _refuse_all_but_reading(connection, sql)
        reader = connection.sql(sql).to_arrow_reader(BATCH_ROWS)
    except _FAILURES as error:
        connection.close()
        raise _query_error(error) from error
    except BaseException:
        connection.close()
        raise
    schema = _with_unique_names(reader.schema)
    return pa.RecordBatchReader.from_batches(schema, _batches(connection, reader, schema))


def _prepare(connection: duckdb.DuckDBPyConnection, table: ObjectTable | None, sql: str, principal: Principal) -> None:
    schema = table.schema if table else TABLE_SCHEMA
    files = table.files() if table else []
    visible = (principal.row_filter(table.location) if table else None) or "true"
    # Whoever may see all is told of series, too, that are in the table no more, or never were.
    known = "true" if visible == "true" else "series_uid IN (SELECT SeriesInstanceUID FROM object_catalog)"
    connection.register("dicom_tags", views.dicom_tags())
    connection.create_function("dicom_path", _dicom_path, ["VARCHAR"], "VARCHAR")
    # Every view that is made opens all files below it: so the views are made over no files.
    connection.execute(f"CREATE VIEW object_catalog AS SELECT * FROM {scan([], schema)}")
    for statement in views.STATEMENTS:
        connection.execute(statement)
    connection.execute(f"CREATE OR REPLACE VIEW object_catalog AS SELECT * FROM {scan(files, schema)} WHERE {visible}")
    is_named = views.RESULTS in sql.lower()  # they are a table of their own, whose log other queries need not read
    results = _results_files(table) if table and is_named else []
    connection.execute(f"CREATE VIEW {views.RESULTS} AS SELECT * FROM {scan(results, RESULTS_SCHEMA)} WHERE {known}")
    allowed = ", ".join(map(literal, (schema_file(schema), schema_file(RESULTS_SCHEMA), *files, *results)))
    connection.execute(f"SET allowed_paths = [{allowed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _results_files(table: ObjectTable) -> list[str]:
    results = open_results(TableFolder(results_table(table.location)))
    return results.file_uris() if results else []


def _with_unique_names(schema: pa.Schema) -> pa.Schema:
    """Number the names that came before, as SQL lets columns have the same: `a`, `a_2`."""
    taken = set(schema.names)
    fields: list[pa.Field] = []
    given: set[str] = set()
    for field in schema:
        name, number = field.name, 1
        while name in given or (number > 1 and name in taken):
            number += 1
            name = f"{field.name}_{number}"
        given.add(name)
        fields.append(field.with_name(name))
    return pa.schema(fields, schema.metadata)


def _batches(
    connection: duckdb.DuckDBPyConnection, reader: pa.RecordBatchReader, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    with connection:
        try:
            for batch in reader:
                yield pa.RecordBatch.from_arrays(batch.columns, schema=schema) if batch.num_columns else batch
        except _FAILURES as error:
            raise _query_error(error) from error


def _refuse_all_but_reading(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Refuse a query that writes, or that reads anything but the views.

    The connection can open the table's files, which hold rows that a principal's filter hides.
    """
    statement = _EXPLAIN.sub("", sql, count=1)
    ((parsed,),) = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [statement]).fetchall()
    try:
        tree = json.loads(parsed)
    except RecursionError as error:
        raise QueryError("query", "is nested too deeply", "Ask in several queries.") from error
    if tree["error"]:
        statements = duckdb.extract_statements(sql)  # raises what is wrong with the syntax
        if [statement.type for statement in statements] == [duckdb.StatementType.MULTI]:
            raise QueryError("query", "PIVOT does not know its columns", "Name them: PIVOT ... ON column IN (...).")
        raise QueryError("query", "only reading is allowed", _ONLY_SELECT)
    if len(tree["statements"]) != 1:
        raise QueryError("query", "more than one statement" if tree["statements"] else "is empty", _ONLY_SELECT)
    nodes = list(_nodes(tree))
    local = {name.lower() for node in nodes for name in _cte_names(node)}
    if any(_NAME_OF_MORE.search(name) for name in local):
        raise QueryError(
            "query", "a WITH name looks like that of a file or of DuckDB's own tables", "Use a plain name."
        )
    for node in nodes:
        kind = node.get("type", "")
        if not isinstance(kind, str):  # a value, such as the size of a sample
            continue
        if kind.endswith("_NODE") and kind not in _READS:
            raise QueryError("query", "only reading is allowed", _ONLY_SELECT)
        if kind == "TABLE_FUNCTION":
            name = node["function"].get("function_name", "")
            if name.lower() not in _TABLE_FUNCTIONS:
                raise QueryError("query", f"table function {name} is not allowed", "Read the views.")
        if kind == "BASE_TABLE":
            name = node["table_name"]
            place = [part for part in (node["catalog_name"], node["schema_name"]) if part]
            if name.lower() not in local.union(views.VIEWS) or {*place} - {"main", "memory"}:
                close = difflib.get_close_matches(name, views.VIEWS, 1)
                hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(views.VIEWS)}."
                if name.lower() in views.VIEWS:
                    hint = f"Write {name} alone: a query sees one table."
                raise QueryError("query", f"there is no table {'.'.join([*place, name])}", hint)


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            yield node
            todo.extend(node.values())
        elif isinstance(node, list):
            todo.extend(node)


def _cte_names(node: dict[str, Any]) -> list[str]:
    ctes = node.get("cte_map")
    return [entry["key"] for entry in ctes["map"]] if isinstance(ctes, dict) else []


def _dicom_path(attribute: str) -> str:
    """Return the JSON path of an attribute given by keyword or tag; run once a query, where it is a constant."""
    match = _TAG.fullmatch(attribute.strip())
    if match:
        return f'$."{(match[1] + match[2]).upper()}"'
    tag = keyword_dict.get(attribute)
    if tag is None:
        close = difflib.get_close_matches(attribute, keyword_dict, 1)
        raise ValueError(
            f"there is no DICOM attribute {attribute!r}. "
            + (f"Did you mean {close[0]}?" if close else "Give a keyword, or a tag as GGGGEEEE.")
        )
    return f'$."{tag:08X}"'


def _query_error(error: Exception) -> QueryError:
    """Make one line of DuckDB's several: without its class, the excerpt with carets and file names."""
    text = str(error).split("\n\nLINE ")[0]
    text = re.sub(r"^.*UDF: ValueError: |^[A-Za-z ]+ Error: ", "", text)
    problem, _, remedy = text.partition("\n")
    return QueryError("query", problem.rstrip("!. "), " ".join(remedy.split()))
