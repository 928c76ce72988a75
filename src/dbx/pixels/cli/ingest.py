"""`pixels ingest`: from paths to rows."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import Any

import click

from dbx.pixels.catalog import Catalog
from dbx.pixels.catalog.ingest import Summary
from dbx.pixels.catalog.ingest import ingest as ingest_selection
from dbx.pixels.catalog.selection import Archives
from dbx.pixels.cli.engine import EngineOptions, with_engine
from dbx.pixels.cli.options import with_catalog
from dbx.pixels.cli.output import counted
from dbx.pixels.cli.progress import ingest_progress
from dbx.pixels.errors import ArgumentError, PixelsError


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@with_catalog
@click.option("--pattern", metavar="GLOB", help="only names like this, or paths if it holds a /")
@click.option("--no-recurse", is_flag=True, help="do not look into folders")
@click.option(
    "--zip",
    "archives",
    type=click.Choice([choice.value for choice in Archives]),
    default=Archives.SKIP.value,
    show_default=True,
    help="what to do with zip archives",
)
@click.option("--extract-to", metavar="DIR", help="where --zip extract unpacks  [default: /unzipped/ of the volume]")
@click.option("--thumbnails", is_flag=True, help="make a small picture of every image")
@click.option("--deep", is_flag=True, help="read whole files: pixel statistics and content hashes")
@click.option(
    "--watch", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="look again after so many seconds"
)
@with_engine
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
def ingest(
    catalog: Catalog,
    paths: tuple[str, ...],
    pattern: str | None,
    no_recurse: bool,
    archives: str,
    extract_to: str | None,
    thumbnails: bool,
    deep: bool,
    watch: float | None,
    engine: EngineOptions,
    as_json: bool,
) -> None:
    """Bring the table up to date with what lies under PATH...: folders, buckets, volumes or files.

    New and changed objects are read, rows of vanished ones are removed, and nothing is read twice.
    """
    started = time.perf_counter()
    if extract_to is not None and archives != Archives.EXTRACT:
        raise ArgumentError("--extract-to", "has no use without --zip extract", "Add it, or leave both out.")
    selection = catalog.selection(
        paths, pattern=pattern, recurse=not no_recurse, archives=Archives(archives), extract_to=extract_to
    )

    def run(catalog: Catalog, started: float) -> None:
        with ingest_progress(catalog, selection, shown=not as_json and sys.stderr.isatty()) as on_progress:
            summary = ingest_selection(
                catalog, selection, thumbnails=thumbnails, deep=deep, on_progress=on_progress, started=started
            )
        _report(catalog, summary, as_json)

    with engine.engaged(catalog) as catalog:
        run(catalog, started)
        while watch is not None:
            time.sleep(watch)
            try:
                run(catalog, time.perf_counter())
            except PixelsError as error:  # a disk or a network that is away may come back
                click.echo(f"pixels: {error}", err=True)


def _report(catalog: Catalog, summary: Summary, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_counts(summary)))
    else:
        click.echo(_sentence(summary, catalog.table))
    if summary.archives_skipped:
        click.echo(
            f"{counted(summary.archives_skipped, 'zip archive was', 'zip archives were')} left out."
            " --zip in-place reads what is in them where it is, --zip extract unpacks it.",
            err=True,
        )
    if summary.kept:
        click.echo(
            f"{counted(summary.kept, 'row was', 'rows were')} kept although the objects were not met: their folder was"
            " found empty, or could not be listed to its end. If they are gone for good: pixels remove PATH.",
            err=True,
        )


def _counts(summary: Summary) -> dict[str, Any]:
    counts = asdict(summary)
    return {name: counts[name] for name in counts if name not in ("archives_skipped", "kept")}


def _sentence(summary: Summary, table: str) -> str:
    version = "" if summary.table_version is None else f" version {summary.table_version}"
    lines = [
        f"{counted(summary.listed, 'object', 'objects')}: {summary.new:,} new, {summary.changed:,} changed,"
        f" {summary.removed:,} removed, {summary.unchanged:,} unchanged, in {summary.seconds:.2f} s",
        f"{table}{version}: {counted(summary.indexed, 'DICOM row', 'DICOM rows')} written,"
        f" {counted(summary.other, 'other object', 'other objects')}, {summary.failed:,} failed",
    ]
    if summary.issues:
        lines.append(f"{counted(summary.issues, 'issue', 'issues')}: see `pixels issues`")
    return "\n".join(lines)
