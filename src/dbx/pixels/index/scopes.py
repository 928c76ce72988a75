"""Row filters: which instances a principal may see, computed once for each version of the table and filter."""

from __future__ import annotations

from dbx.pixels.errors import PixelsError
from dbx.pixels.index.schema import EVERYTHING_SCOPE
from dbx.pixels.index.store import Store


def scope_of(store: Store, location: str, predicate: str | None) -> int:
    """Return the number of the scope that a row filter describes."""
    if predicate is None:
        return EVERYTHING_SCOPE
    raise PixelsError(location, "row filters are not served yet")
