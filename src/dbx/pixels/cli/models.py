"""`pixels models`: the models that can be run and trained."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from dbx.pixels.ai.info import ModelInfo
from dbx.pixels.ai.models import Models
from dbx.pixels.ai.template import NETWORKS
from dbx.pixels.cli.model_serving import register, rollback, serve
from dbx.pixels.cli.output import counted
from dbx.pixels.engine.frame import Frame
from dbx.pixels.storage import Home

_CODE = "A bundle is code: what its configurations say is run when the model is. Use it only if you trust its source."

#: Labels that a list shows of one model.
_SHOWN_LABELS = 6


def _with_models(verb: Callable[..., None]) -> Callable[..., None]:
    """Add `--home` to a verb, which gets the models of that folder as its first argument."""

    @click.option("--home", metavar="DIR", help="where models lie  [default: $PIXELS_HOME or ~/.pixels]")
    @wraps(verb)
    def with_home(*args: Any, home: str | None, **options: Any) -> None:
        verb(Models(Home.from_environment(home).models), *args, **options)

    return with_home


@click.group()
def models() -> None:
    """List, add, make and remove AI models, which are MONAI bundles."""


models.add_command(register)
models.add_command(rollback)
models.add_command(serve)


@models.command("list")
@_with_models
def list_models(models: Models) -> None:
    """List all models, and why some of them cannot be run."""
    known = models.list()
    if not known:
        click.echo("No models yet: pixels models install NAME, add PATH or new NAME --labels A,B makes one.")
        return
    Frame.from_arrow(pa.Table.from_pylist(list(map(_row, known)))).show()
    for model in known:
        if not model.is_ready:
            click.echo(f"{model.name}: {model.reason}")


@models.command()
@click.argument("name")
@_with_models
def info(models: Models, name: str) -> None:
    """Tell what is known of a model: its labels, its versions, and which of them is used."""
    model = models.info(name)
    click.echo(f"name         {model.name}")
    click.echo(f"description  {model.description}")
    click.echo(f"modality     {model.modality}")
    click.echo(f"labels       {', '.join(f'{value} {label}' for label, value in model.labels.items())}")
    click.echo(f"prompts      {', '.join(model.prompts) or 'none'}")
    click.echo(f"trainable    {'yes' if model.is_trainable else 'no'}")
    click.echo(f"ready        {'yes' if model.is_ready else f'no: {model.reason}'}")
    for version in models.versions(name).list():
        dice = "as it came" if version.dice is None else f"trained, Dice {version.dice:.3f}"
        click.echo(f"version      {version.name}: {dice}{', used' if version.name == model.version else ''}")


@models.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@_with_models
def add(models: Models, path: Path) -> None:
    """Copy a MONAI bundle from PATH, a folder or a zip archive. A bundle is code: add only what you trust."""
    click.echo(_CODE, err=True)
    _tell(models.add(path))


@models.command()
@click.argument("name")
@_with_models
def install(models: Models, name: str) -> None:
    """Download a bundle from the MONAI Model Zoo, such as spleen_ct_segmentation or vista3d. A bundle is code, too."""
    click.echo(_CODE, err=True)
    _tell(models.install(name))


@models.command()
@click.argument("name")
@_with_models
def remove(models: Models, name: str) -> None:
    """Delete a model, with all versions that were trained."""
    trained = len(models.versions(name).trained)
    models.remove(name)
    click.echo(f"{name} removed, with {counted(trained, 'trained version', 'trained versions')}")


@models.command()
@click.argument("name")
@click.option("--labels", required=True, metavar="A,B", help="what it finds")
@click.option("--network", default="SegResNet", show_default=True, type=click.Choice(list(NETWORKS)))
@click.option("--modality", default="CT", show_default=True, help="of the series that it takes")
@_with_models
def new(models: Models, name: str, labels: str, network: str, modality: str) -> None:
    """Make a bundle for 3D segmentation that has yet to be trained."""
    _tell(models.new(name, [label.strip() for label in labels.split(",")], network, modality))


def _tell(model: ModelInfo) -> None:
    labels = counted(len(model.labels), "label", "labels")
    ready = "ready" if model.is_ready else f"not ready: {model.reason}"
    click.echo(f"{model.name} {model.version}, {labels}, {ready}")


def _row(model: ModelInfo) -> dict[str, str]:
    shown = list(model.labels)[:_SHOWN_LABELS]
    more = len(model.labels) - len(shown)
    return {
        "name": model.name,
        "version": model.version,
        "modality": model.modality,
        "ready": "yes" if model.is_ready else "no",
        "trainable": "yes" if model.is_trainable else "no",
        "prompts": ", ".join(model.prompts),
        "labels": ", ".join(shown) + (f" and {more} more" if more else ""),
    }
