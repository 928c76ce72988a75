"""`pixels segment`: a model on one series or on many."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dbx.pixels.ai.batch import segment as segment_series
from dbx.pixels.ai.models import Models
from dbx.pixels.ai.results import Result
from dbx.pixels.ai.runner import Runner
from dbx.pixels.catalog import Catalog
from dbx.pixels.cli.engine import EngineOptions, with_engine
from dbx.pixels.cli.options import with_catalog
from dbx.pixels.cli.output import counted
from dbx.pixels.errors import ArgumentError
from dbx.pixels.index import ServingIndex
from dbx.pixels.table.duck import literal
from dbx.pixels.table.results import results_table


@click.command()
@with_catalog
@click.option("--model", required=True, metavar="NAME", help="one of `pixels models list`")
@click.option("--series", multiple=True, metavar="UID", help="Series Instance UID; may be given several times")
@click.option("--where", metavar="SQL", help="series of the model's modality with an instance for which this holds")
@click.option("--device", metavar="NAME", help="such as cpu or cuda:0  [default: a GPU, if there is one]")
@click.option("--index", "index_url", metavar="URL", help="serving index, such as postgresql://...  [default: a file]")
@with_engine
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
@click.pass_context
def segment(
    ctx: click.Context,
    catalog: Catalog,
    model: str,
    series: tuple[str, ...],
    where: str | None,
    device: str | None,
    index_url: str | None,
    engine: EngineOptions,
    as_json: bool,
) -> None:
    """Segment series with a model. What it finds enters the table as proposals, which people can correct.

    A series that this version of the model has segmented before is left out, unless its objects have changed since. One
    that cannot be segmented stops nothing; the exit code is 1 then. What became of each is a row of the table
    <table>_autoseg_result.
    """
    if bool(series) == bool(where):
        raise ArgumentError("--series", "or --where is needed, and not both", "Say which series to segment.")
    started = time.perf_counter()
    results: list[Result] = []
    with engine.engaged(catalog) as catalog, closing(ServingIndex.open(catalog, index_url)) as index:
        index.sync()
        runner = Runner(Models(catalog.home.models), index, device)
        info = runner.ready(model)
        uids = list(dict.fromkeys(series)) or _series_where(catalog, where or "", info.modality)
        is_shown = not as_json and sys.stderr.isatty()
        with _progress(len(uids), shown=is_shown) as progress:
            for result in segment_series(catalog, index, runner, model, uids, on_progress=progress.tell):
                progress.advance()
                if result is None:
                    continue
                results.append(result)
                if not as_json:
                    click.echo(_sentence(result))
    failed = sum(result.error is not None for result in results)
    summary = {
        "model": model,
        "model_version": info.version,
        "series": len(uids),
        "segmented": len(results) - failed,
        "failed": failed,
        "left_out": len(uids) - len(results),
        "seconds": round(time.perf_counter() - started, 3),
    }
    if as_json:
        click.echo(json.dumps(summary | {"results": [_row(result) for result in results]}))
    else:
        click.echo(
            f"{counted(len(uids), 'series', 'series')}: {summary['segmented']:,} segmented, {failed:,} failed,"
            f" {summary['left_out']:,} had a result of {model} {info.version}, in {summary['seconds']:.1f} s\n"
            f"What became of each is in {results_table(catalog.table)}"
        )
    ctx.exit(1 if failed else 0)


def _series_where(catalog: Catalog, where: str, modality: str) -> list[str]:
    of_modality = f"AND Modality = {literal(modality)}" if modality else ""
    rows = catalog.sql(
        f"SELECT DISTINCT SeriesInstanceUID AS uid FROM instances WHERE ({where}\n) {of_modality}"
        " AND SeriesInstanceUID IS NOT NULL ORDER BY uid"
    )
    return [row["uid"] for batch in rows.batches() for row in batch.to_pylist()]


def _row(result: Result) -> dict[str, Any]:
    return asdict(result) | {"written": result.written.isoformat(), "seconds": round(result.seconds, 3)}


def _sentence(result: Result) -> str:
    if result.error is not None:
        return f"{result.series_uid}: {result.error}"
    volumes = ", ".join(f"{name} {millilitres:,.1f} ml" for name, millilitres in result.volumes_ml.items())
    return f"{result.series_uid}: {volumes}, in {result.seconds:.1f} s"


class _Progress:
    """A progress bar that knows how far a series is, too; nothing without one."""

    def __init__(self, bar: Progress | None, series: int) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=series) if bar else None
        self._done = 0

    def tell(self, part: float, what: str) -> None:
        """Show how far the present series is."""
        self._show(self._done + part, what)

    def advance(self) -> None:
        """Show that the present series is done."""
        self._done += 1
        self._show(self._done, "")

    def _show(self, completed: float, what: str) -> None:
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=completed, description=what)


@contextmanager
def _progress(series: int, *, shown: bool) -> Iterator[_Progress]:
    """Show a progress bar on standard error."""
    if not shown:
        yield _Progress(None, series)
        return
    columns = (TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _Progress(bar, series)
