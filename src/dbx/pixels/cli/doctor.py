"""`pixels doctor`: what this installation can do."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import click

from dbx.pixels.errors import EngineError
from dbx.pixels.storage import Home

_LIBRARIES = ("deltalake", "duckdb", "pyarrow", "pydicom", "numpy", "obstore", "pillow", "imagecodecs")


@click.command()
@click.option("--home", metavar="DIR", help="where tables and volumes lie  [default: $PIXELS_HOME or ~/.pixels]")
@click.pass_context
def doctor(ctx: click.Context, home: str | None) -> None:
    """Tell what this installation can do. Exits with 1 if something that everyone needs is missing."""
    checks: list[tuple[str, Callable[[], str], bool]] = [
        ("pixels", lambda: version("dbx-pixels"), True),
        ("python", lambda: f"{platform.python_version()}, {platform.system()} {platform.machine()}", True),
        ("native core", _native_core, True),
        *((name, lambda name=name: version(name), True) for name in _LIBRARIES),
        ("home", lambda: _home(Home.from_environment(home)), True),
        ("video frames", lambda: _optional("av", "PyAV", "pip install 'dbx-pixels[video]'"), False),
        ("Spark", _spark, False),
    ]
    healthy = True
    for name, check, needed in checks:
        try:
            mark, text = "ok", check()
        except (ImportError, PackageNotFoundError, OSError, EngineError) as error:
            mark, text = ("MISSING" if needed else "-"), str(error)
            healthy &= not needed
        click.echo(f"{mark:<8}{name:<14}{text}")
    ctx.exit(0 if healthy else 1)


def _native_core() -> str:
    from dbx.pixels.dicom import _core

    return Path(_core.__file__).name


def _home(home: Home) -> str:
    """Find out whether the home folder, or the nearest folder above it that is there, can be written."""
    folder = next(folder for folder in (home.root, *home.root.parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"{home.root} cannot be written: {error.strerror}") from error
    free = os.statvfs(folder)
    return f"{home.root}, {free.f_bavail * free.f_frsize / 1e9:,.0f} GB free"


def _spark() -> str:
    """Find out whether `--engine spark` would work here."""
    text = _optional("pyspark", "PySpark", "pip install 'dbx-pixels[spark]'")
    from dbx.pixels.engine.spark.java import java_home

    return f"{text}, Java in {java_home()}"


def _optional(module: str, name: str, remedy: str) -> str:
    if find_spec(module) is None:
        raise ImportError(f"{name} is not installed: {remedy}")
    return version(module)
