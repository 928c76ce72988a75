"""A table's name in Unity Catalog, so that it can be granted and found there."""

from __future__ import annotations

from typing import Any

from dbx.pixels.engine.spark.failures import telling
from dbx.pixels.engine.spark.sql import identifier, literal
from dbx.pixels.errors import EngineError, TableError
from dbx.pixels.storage.paths import canonical
from dbx.pixels.table.named import NamedTable
from dbx.pixels.table.names import TableName
from dbx.pixels.table.objects import ObjectTable


def register(session: Any, table: ObjectTable, name: TableName) -> None:
    """Give a table a name in the catalog of a Spark session; it stays where it is, an external table.

    Parameters
    ----------
    session : pyspark.sql.SparkSession
        Of Databricks, or another one that has the data source ``delta`` and a catalog of three levels.
    table : ObjectTable
        The table.
    name : TableName
        Its name from now on.

    Raises
    ------
    EngineError
        If the session cannot do that, or its user may not.
    TableError
        If a table elsewhere has that name.
    """
    quoted = ".".join(map(identifier, name))
    try:
        with telling():
            session.sql(f"CREATE TABLE IF NOT EXISTS {quoted} USING DELTA LOCATION {literal(table.location)}").collect()
    except EngineError as error:
        raise EngineError(
            str(name),
            f"cannot be registered: {error.problem.removeprefix('a job failed: ')}",
            "Run it on Databricks, as a user who may create tables in that schema, over an external location.",
        ) from error
    found = canonical(NamedTable(session, name).location)
    if found != table.location:
        raise TableError(str(name), f"lies in {found} already", "Choose another name, or drop it.")
