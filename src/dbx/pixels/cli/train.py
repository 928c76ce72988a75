"""`pixels train`: a model learns from what people saved."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dbx.pixels.ai.task import Status, Task
from dbx.pixels.ai.training import Trainings
from dbx.pixels.catalog import Catalog
from dbx.pixels.cli.options import with_catalog

#: Seconds between two looks at how it goes.
_INTERVAL = 0.5


@click.command()
@click.argument("model")
@with_catalog
@click.option(
    "--epochs", type=click.IntRange(min=1), help="how often it sees every series  [default: as the model says]"
)
@click.option("--stop", is_flag=True, help="end its trainings; what they have learned up to now becomes a version")
@click.option("--index", "index_url", metavar="URL", help="serving index, such as postgresql://...  [default: a file]")
def train(catalog: Catalog, model: str, epochs: int | None, stop: bool, index_url: str | None) -> None:
    """Train MODEL on the series whose segmentations people saved, and show how it goes.

    The training is a process of its own: it goes on when this command is interrupted. One goes on at a time, others
    wait. What comes of it becomes a version of the model, which is used if it is no worse than the one before.
    """
    trainings = Trainings(catalog, index_url)
    if stop:
        _stop(trainings, model)
        return
    task = trainings.start(model, catalog.principal, epochs=epochs)
    try:
        with _progress(task) as show:
            while not task.status.has_ended:
                time.sleep(_INTERVAL)
                task = trainings.find(task.id)
                show(task)
    except KeyboardInterrupt:
        click.echo(f"The training goes on. pixels train {model} --stop ends it.", err=True)
        raise click.exceptions.Exit(130) from None
    if task.status is Status.ERROR:
        raise trainings.failure(task)
    click.echo("\n".join(task.details))


def _stop(trainings: Trainings, model: str) -> None:
    tasks = trainings.going_on(model)
    for task in tasks:
        trainings.stop(task.id)
    while any(not trainings.find(task.id).status.has_ended for task in tasks):
        time.sleep(_INTERVAL)
    if not tasks:
        click.echo(f"No training of {model} goes on.")
    for task in tasks:
        click.echo("\n".join(["Stopped.", *trainings.find(task.id).details]))


@contextmanager
def _progress(task: Task) -> Iterator[Callable[[Task], None]]:
    """Give the function that shows how far a training is: in a terminal by a bar, else by a line for each epoch."""
    if not sys.stderr.isatty():
        shown = task

        def line(task: Task) -> None:
            nonlocal shown
            if task.epoch != shown.epoch or (shown.status, task.status) == (Status.SUBMITTED, Status.RUNNING):
                click.echo(_sentence(task), err=True)
            shown = task

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(_sentence(task), total=None)
        yield lambda task: progress.update(
            bar, description=_sentence(task), completed=task.epoch, total=task.total_epochs or None
        )


def _sentence(task: Task) -> str:
    if task.status is Status.SUBMITTED:
        return "waiting for its turn"
    if not task.total_epochs:
        return "reading the series"
    measured = {"loss": task.loss, "Dice": task.dice}
    figures = [f"{name} {value:.3f}" for name, value in measured.items() if value is not None]
    return ", ".join([f"epoch {task.epoch} of {task.total_epochs}", *figures])
