"""Options by which verbs choose who works: this machine, or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import click

from dbx.pixels.catalog import Catalog
from dbx.pixels.errors import ArgumentError


def with_engine(verb: Callable[..., None]) -> Callable[..., None]:
    """Add `--engine`, `--master` and `--remote` to a verb, whose argument `engine` is an `EngineOptions`."""

    @click.option(
        "--engine", type=click.Choice(["embedded", "spark"]), default="embedded", show_default=True, help="who works"
    )
    @click.option("--master", metavar="URL", help="with --engine spark: the cluster  [default: Spark's own settings]")
    @click.option("--remote", metavar="sc://...", help="with --engine spark: a server of Spark Connect instead")
    @wraps(verb)
    def with_options(*args: Any, engine: str, master: str | None, remote: str | None, **options: Any) -> None:
        verb(*args, engine=EngineOptions(engine, master, remote), **options)

    return with_options


class EngineOptions:
    """What was chosen.

    Parameters
    ----------
    name : str
        ``embedded`` or ``spark``.
    master, remote : str or None
        Where Spark is.
    """

    def __init__(self, name: str, master: str | None, remote: str | None) -> None:
        if name != "spark" and (master or remote):
            raise ArgumentError("--master" if master else "--remote", "has no use without --engine spark", "Add it.")
        if master and remote:
            raise ArgumentError("--master", "excludes --remote", "Choose one.")
        self.is_spark = name == "spark"
        self._master = master
        self._remote = remote

    @contextmanager
    def engaged(self, catalog: Catalog) -> Iterator[Catalog]:
        """Give a catalog the engine, for as long as it is needed."""
        if not self.is_spark:
            yield catalog
            return
        from dbx.pixels.engine.spark.session import spark_session

        with spark_session(master=self._master, remote=self._remote) as session:
            yield Catalog(
                session,
                catalog.table,
                catalog.volume,
                home=str(catalog.home.root),
                principal=catalog.principal,
            )
