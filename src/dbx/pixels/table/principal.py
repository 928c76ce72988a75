"""Who reads: the protocol by which every reading of a table asks which rows may be seen."""

from __future__ import annotations

from typing import Protocol


class Principal(Protocol):
    """Someone, or something, that reads tables."""

    def row_filter(self, table: str) -> str | None:
        """Return the SQL predicate over `object_catalog` that the visible rows fulfil, or None for all rows.

        Parameters
        ----------
        table : str
            The table's location.
        """


class _Everything:
    def row_filter(self, table: str) -> str | None:  # noqa: ARG002 - the protocol's argument
        return None

    def __repr__(self) -> str:
        return "EVERYTHING"


#: The principal that may see all: whoever can read the table's files anyway.
EVERYTHING: Principal = _Everything()
