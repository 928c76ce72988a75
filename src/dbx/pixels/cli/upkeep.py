"""`pixels remove` and `pixels optimize`: forgetting objects, and keeping the table fast."""

from __future__ import annotations

import click

from dbx.pixels.catalog import Catalog
from dbx.pixels.cli.options import with_catalog
from dbx.pixels.cli.output import counted
from dbx.pixels.storage.paths import canonical
from dbx.pixels.table.objects import ObjectTable
from dbx.pixels.table.upkeep import optimize as optimize_table


@click.command()
@click.argument("path")
@with_catalog
def remove(catalog: Catalog, path: str) -> None:
    """Forget what was ingested from PATH: a file, a folder, an archive or a bucket. No file is touched."""
    removed = ObjectTable.open(catalog.location()).remove_under(canonical(path)).removed
    click.echo(f"{counted(removed, 'row', 'rows')} removed")


@click.command()
@with_catalog
def optimize(catalog: Catalog) -> None:
    """Compact small files, write a checkpoint, and delete files that no reader needs any more."""
    done = optimize_table(ObjectTable.open(catalog.location()))
    click.echo(
        f"{counted(done.compacted, 'small file', 'small files')} became {done.written:,},"
        f" {counted(done.deleted, 'file', 'files')} deleted, now at version {done.version}"
    )
