"""`pixels index`: the serving index brought up to date, or made anew."""

from __future__ import annotations

import time

import click

from dbx.pixels.catalog import Catalog
from dbx.pixels.cli.options import with_catalog
from dbx.pixels.cli.output import counted
from dbx.pixels.index import Level, ServingIndex


@click.command()
@with_catalog
@click.option("--rebuild", is_flag=True, help="make it anew; nothing is lost, all of it is in the table")
@click.option("--index", "url", metavar="URL", help="postgresql://user@host/database  [default: a file in the home]")
def index(catalog: Catalog, rebuild: bool, url: str | None) -> None:
    """Bring the index that the server reads up to date with the table. The server does so by itself."""
    started = time.perf_counter()
    serving = ServingIndex.open(catalog, url)
    version = serving.rebuild() if rebuild else serving.sync()
    totals = serving.totals()
    serving.close()
    if version < 0:
        click.echo("There is no table yet: pixels ingest PATH makes it, and the index is empty until then.")
        return
    click.echo(
        f"Index of {catalog.table} version {version}, in {time.perf_counter() - started:.1f} s:"
        f" {counted(totals[Level.STUDY], 'study', 'studies')}, {totals[Level.SERIES]:,} series,"
        f" {counted(totals[Level.INSTANCE], 'instance', 'instances')}"
    )
