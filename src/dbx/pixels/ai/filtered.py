"""Who asked for what a process of its own does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FilteredBy:
    """A principal as far as another process has to know.

    Parameters
    ----------
    predicate : str or None
        The row filter over the one table that the process reads.
    """

    predicate: str | None

    def row_filter(self, table: str) -> str | None:  # noqa: ARG002 - there is one
        """Return the SQL predicate that visible rows fulfil, or None for all rows."""
        return self.predicate
