"""What a user asks to be catalogued: where to look, for which names, and what to do with archives."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dbx.pixels.errors import ArgumentError
from dbx.pixels.storage.paths import canonical, glob_filter, is_zip_address, relative_path, split_zip_address


class Archives(StrEnum):
    """What happens to zip archives that are met."""

    SKIP = "skip"
    IN_PLACE = "in-place"
    EXTRACT = "extract"


@dataclass(frozen=True)
class Selection:
    """Where to look and for what; made by `Selection.of`.

    Attributes
    ----------
    roots : tuple of str
        Canonical addresses of files, folders or bucket prefixes; none lies in another.
    pattern : str or None
        Glob that an object's path below its root must match, see `glob_filter`. Archives that are looked into need not:
        their members do.
    recurse : bool
        Whether folders in the roots are entered.
    archives : Archives
        What happens to zip archives.
    extract_to : str or None
        Folder below which archives are extracted; with `Archives.EXTRACT` only.
    """

    roots: tuple[str, ...]
    pattern: str | None
    recurse: bool
    archives: Archives
    extract_to: str | None

    @classmethod
    def of(
        cls,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        pattern: str | None = None,
        recurse: bool = True,
        archives: Archives = Archives.SKIP,
        extract_to: str | None = None,
    ) -> Selection:
        """Make a selection of paths as a user writes them.

        Raises
        ------
        ArgumentError
            If there is no path, a path or the pattern cannot be understood, or `extract_to` and extraction are not
            given together.
        """
        roots = [canonical(path) for path in _each_path(paths)]
        if not roots:
            raise ArgumentError("path", "no folder, bucket or file is given", "Name at least one.")
        if (extract_to is not None) != (archives is Archives.EXTRACT):
            raise ArgumentError("extract_to", "goes with the extraction of archives, and only with it")
        if pattern == "":
            raise ArgumentError("pattern", "is empty and would match nothing", "Leave it out to list everything.")
        if pattern is not None:
            glob_filter(pattern)  # a pattern that cannot be understood is told now, not while listing
        if recurse:
            roots = [root for root in roots if not any(is_below(root, other) for other in roots)]
        return cls(tuple(dict.fromkeys(roots)), pattern, recurse, archives, extract_to)

    def wants(self, relative: str) -> bool:
        """Tell whether the pattern lets an object with this path below its root in."""
        return self.pattern is None or glob_filter(self.pattern)(relative)

    def would_list(self, path: str, root: str) -> bool:
        """Tell whether listing `root` would meet the object at `path`, if it were there."""
        found_at = outermost(path)
        if found_at != root and not is_below(found_at, root):
            return False
        if not self.recurse and "/" in relative_path(found_at, root):
            return False
        return self.wants(relative_path(path, root))


def _each_path(paths: Any) -> list[str | os.PathLike[str]]:
    given = [paths] if isinstance(paths, str | os.PathLike) or not isinstance(paths, Iterable) else list(paths)
    for path in given:
        if not isinstance(path, str | os.PathLike):
            raise ArgumentError("path", f"{path!r} is no path", "Give a folder, a bucket or a file, or several.")
    return given


def outermost(path: str) -> str:
    """Return the object that a listing meets: the archive of a zip member, else the path itself."""
    while is_zip_address(path):
        path = split_zip_address(path)[1]
    return path


def is_below(path: str, folder: str) -> bool:
    """Tell whether a canonical path lies below a canonical folder."""
    return path.startswith(folder.rstrip("/") + "/")
