"""What both databases of the index have in common: what goes wrong with them, and how names are quoted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from dbx.pixels.errors import IndexUnavailableError


@contextmanager
def as_unavailable(place: str, remedy: str) -> Iterator[None]:
    """Tell what a database says of itself. What it says of statements may quote the values in them, and is left out."""
    try:
        yield
    except sa.exc.OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0]
    except sa.exc.DBAPIError as error:
        reason = type(error.orig).__name__
    except sa.exc.SQLAlchemyError as error:
        reason = type(error).__name__
    else:
        return
    remedies = f"If it was deleted, ask again: a server makes it anew. Else {remedy}"
    raise IndexUnavailableError(place, f"the index cannot be used: {reason}", remedies) from None


def quoted(names: Iterable[str]) -> str:
    """Return names as a list of SQL."""
    return ", ".join(f'"{name}"' for name in names)
