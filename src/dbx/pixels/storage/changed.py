"""Whether an object is still the one that was listed."""

from __future__ import annotations

from typing import NamedTuple

from dbx.pixels.errors import ObjectChangedError
from dbx.pixels.storage.paths import is_remote, printable

_SECOND = 1_000_000


class Listed(NamedTuple):
    """What is known of an object that is about to be read; all others are refused.

    Attributes
    ----------
    modified : int or None
        Its modification time, in microseconds since 1970; of a member, its archive's. None for any.
    length : int or None
        Its bytes; None for any.
    """

    modified: int | None = None
    length: int | None = None

    def check(self, path: str, modified: int, length: int) -> None:
        """Make sure that what is there is what was listed.

        Raises
        ------
        ObjectChangedError
            If it is not.
        """
        if not self.was_modified(path, modified) or self.length not in (None, length):
            raise ObjectChangedError(printable(path), "has changed since it was listed", "Ingest it again.")

    def was_modified(self, path: str, modified: int) -> bool:
        """Tell whether a modification time is that of the listing."""
        if self.modified is None:
            return True
        # Stores list fractions of seconds that their other answers leave out.
        unit = _SECOND if is_remote(path) else 1
        return self.modified // unit == modified // unit


ANY = Listed()
