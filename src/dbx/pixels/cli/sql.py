"""`pixels sql`: a query's answer as a table, JSON, CSV or Parquet."""

from __future__ import annotations

import click

from dbx.pixels.catalog import Catalog
from dbx.pixels.cli.options import with_catalog
from dbx.pixels.cli.output import FORMATS, write


@click.command()
@click.argument("query")
@with_catalog
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="table", show_default=True)
def sql(catalog: Catalog, query: str, form: str) -> None:
    """Answer QUERY over object_catalog, studies, series, instances, issues and dicom_tags.

    What `pixels segment` did is in object_catalog_autoseg_result.
    dicom(meta, 'Manufacturer') takes any attribute out of an object's metadata.
    """
    write(catalog.sql(query), form)
