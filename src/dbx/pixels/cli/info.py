"""`pixels info` and `pixels issues`: what is in the table, and what went wrong on its way in."""

from __future__ import annotations

from typing import Any

import click

from dbx.pixels.catalog import Catalog
from dbx.pixels.cli.options import with_catalog
from dbx.pixels.cli.output import FORMATS, SHOWN_ROWS, counted, write
from dbx.pixels.table.objects import ObjectTable

_TOTALS = """
    SELECT count(*) AS objects, coalesce(sum(length), 0)::BIGINT AS bytes,
        count(*) FILTER (WHERE meta IS NOT NULL) AS dicom, count(*) FILTER (WHERE error IS NOT NULL) AS failed,
        count(thumbnail) AS thumbnails, (SELECT count(*) FROM studies) AS studies,
        (SELECT count(*) FROM series) AS series, (SELECT count(*) FROM instances) AS instances,
        (SELECT count(*) FROM issues) AS issues
    FROM object_catalog
"""

#: How each object was read: by the native core, by pydicom, or not at all.
_READERS = """
    SELECT coalesce(parsed_by, if(error IS NOT NULL, 'nobody', 'nobody: no DICOM')) AS reader, count(*) AS objects
    FROM object_catalog GROUP BY ALL ORDER BY objects DESC, reader
"""

_FILE_TYPES = """
    SELECT coalesce(file_type, 'unknown') AS file_type, count(*) AS objects, sum(length)::BIGINT AS bytes
    FROM object_catalog GROUP BY ALL ORDER BY objects DESC, file_type
"""

_MODALITIES = """
    SELECT coalesce(Modality, 'none') AS Modality, count(*) AS instances, count(DISTINCT SeriesInstanceUID) AS series
    FROM instances GROUP BY ALL ORDER BY instances DESC, Modality
"""

_ISSUES = "SELECT path, kind, tag, keyword, vr, message FROM issues ORDER BY path, kind, tag"


@click.command()
@with_catalog
def info(catalog: Catalog) -> None:
    """Tell what is in the table, and by which reader it was read."""
    table = ObjectTable.find(catalog.location())
    click.echo(f"table      {catalog.table}")
    click.echo(f"location   {catalog.location()}")
    if table is None:
        click.echo("           not there yet: pixels ingest PATH makes it")
        return
    click.echo(f"version    {table.version}, {len(table.files()):,} files")
    for name, value in catalog.sql(_TOTALS).to_arrow().to_pylist()[0].items():
        click.echo(f"{name:<11}{value:,}")
    for heading, query in (("read by", _READERS), ("file types", _FILE_TYPES), ("modalities", _MODALITIES)):
        click.echo(f"\n{heading}")
        catalog.sql(query).show()


@click.command()
@with_catalog
@click.option("--format", "form", type=click.Choice(list(FORMATS)), help="all of them for programs")
def issues(catalog: Catalog, form: str | None) -> None:
    """List what went wrong: objects with errors, bad elements, duplicate SOP Instance UIDs."""
    frame = catalog.sql(_ISSUES)
    if form:
        write(frame, form)
        return
    total = 0
    path = None
    for issue in (issue for batch in frame.batches() for issue in batch.to_pylist()):
        total += 1
        if total > SHOWN_ROWS:
            continue
        if issue["path"] != path:
            path = issue["path"]
            click.echo(path)
        click.echo(f"    {_told(issue)}")
    shown = f", of which {SHOWN_ROWS:,} are shown; --format csv writes all" if total > SHOWN_ROWS else ""
    click.echo(f"{counted(total, 'issue', 'issues')}{shown}" if total else "No issues.")


def _told(issue: dict[str, Any]) -> str:
    if issue["kind"] != "element":
        return issue["message"]
    return " ".join(part for part in (issue["tag"], issue["keyword"], issue["vr"]) if part) + f": {issue['message']}"
