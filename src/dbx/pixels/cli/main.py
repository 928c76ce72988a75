"""The command group, and what all verbs have in common: options, and errors in one line."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from typing import Any

import click

from dbx.pixels import __version__
from dbx.pixels.errors import PixelsError

#: Exit code of a run that the user interrupted, as shells have it.
_INTERRUPTED = 128 + signal.SIGINT


#: A verb's module is loaded when the verb is used.
_MODULE_BY_VERB = {
    "demo": "demo",
    "doctor": "doctor",
    "index": "index",
    "info": "info",
    "ingest": "ingest",
    "init": "init",
    "issues": "info",
    "models": "models",
    "optimize": "upkeep",
    "remove": "upkeep",
    "segment": "segment",
    "serve": "serve",
    "sql": "sql",
    "train": "train",
}


class _Verbs(click.Group):
    """The verbs, whose errors are told in one line."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(_MODULE_BY_VERB)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULE_BY_VERB:
            return None
        return getattr(import_module(f"dbx.pixels.cli.{_MODULE_BY_VERB[cmd_name]}"), cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PixelsError as error:
            click.echo(f"pixels: {error}", err=True)
            ctx.exit(1)
        except BrokenPipeError:  # the reader of our output, such as head, has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        except KeyboardInterrupt:
            click.echo("pixels: interrupted; what was committed stays, run again to go on", err=True)
            ctx.exit(_INTERRUPTED)


@click.command(cls=_Verbs)
@click.version_option(__version__, prog_name="pixels")
def pixels() -> None:
    """Folders, buckets and zip archives of DICOM as one open table for SQL."""


class _WithoutPandas(MetaPathFinder):
    """Hides pandas: pyarrow imports it, if it can, with the first array, and only MLflow and Spark use it."""

    def find_spec(self, fullname: str, *_: Any) -> None:
        if fullname == "pandas" and not {"mlflow", "pyspark"} & sys.modules.keys():
            raise ModuleNotFoundError(fullname)


def main() -> None:
    """Run the command in a process of its own."""
    sys.meta_path.insert(0, _WithoutPandas())
    # Arrow's allocator gives freed memory back at once, and the next batch has it zeroed again: that costs a sixth. So
    # it waits for some commits, in milliseconds.
    os.environ.setdefault("MIMALLOC_PURGE_DELAY", "10000")
    try:
        pixels()
    except SystemExit as end:
        if end.code:  # jobs of Databricks call this, and take any exit for a failure
            raise
