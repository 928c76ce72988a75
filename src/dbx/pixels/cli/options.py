"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from dbx.pixels.catalog.catalog import DEFAULT_TABLE, DEFAULT_VOLUME, Catalog


def with_catalog(verb: Callable[..., None]) -> Callable[..., None]:
    """Add `--table`, `--volume` and `--home` to a verb, which gets the catalog they make as its first argument."""

    @click.option("--table", default=DEFAULT_TABLE, show_default=True, help="catalog.schema.table, a folder or a URL")
    @click.option(
        "--volume",
        default=DEFAULT_VOLUME,
        show_default=True,
        help="catalog.schema.volume for what Pixels itself writes",
    )
    @click.option("--home", metavar="DIR", help="where tables and volumes lie  [default: $PIXELS_HOME or ~/.pixels]")
    @wraps(verb)
    def with_options(*args: Any, table: str, volume: str, home: str | None, **options: Any) -> None:
        verb(Catalog(table=table, volume=volume, home=home), *args, **options)

    return with_options
