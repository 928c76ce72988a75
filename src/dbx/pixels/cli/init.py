"""`pixels init`: a table before anything is in it."""

from __future__ import annotations

import click

from dbx.pixels.catalog import Catalog
from dbx.pixels.cli.options import with_catalog
from dbx.pixels.table import ObjectTable, TableName


@click.command()
@with_catalog
@click.option("--unity-catalog", metavar="NAME", help="on Databricks: register it there as catalog.schema.table")
def init(catalog: Catalog, unity_catalog: str | None) -> None:
    """Make the table if there is none, so that rights to it can be granted before anything is in it."""
    name = TableName.parse(unity_catalog) if unity_catalog else None
    table = ObjectTable.create_if_missing(catalog.location())
    click.echo(f"The table is in {table.location}")
    if name:
        from dbx.pixels.catalog.unity_catalog import register
        from dbx.pixels.engine.spark.session import spark_session

        with spark_session() as session:
            register(session, table, name)
        click.echo(f"Its name in Unity Catalog is {name}")
