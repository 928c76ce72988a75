"""Which rows lie under a folder, a bucket or an archive, and which files may hold such rows."""

from __future__ import annotations

from collections.abc import Sequence

from dbx.pixels.table.duck import literal
from dbx.pixels.table.log import DataFile

#: What stands before the outermost archive in `zip://member::archive`, where the archive may itself be such an address;
#: `::` is escaped in members.
MEMBERS = "^(?:zip://[^:]*(?::[^:]+)*::)+"

#: Everything below `zip://`: the next character after the slash bounds it.
_ZIP = ("zip://", "zip:0")


def under(prefixes: Sequence[str]) -> str:
    """Return the SQL predicate of rows that lie under one of the prefixes.

    A row lies where its `path` does and where its `original_path` does; a zip member lies where its archive does, and
    is its own prefix. No prefix at all means everywhere.
    """
    if not prefixes:
        return "true"
    return " OR ".join(
        _place_is_under(column, prefix.rstrip("/")) for prefix in prefixes for column in ("path", "original_path")
    )


def outermost(column: str) -> str:
    """Return the SQL expression of where a column's address lies: the archive of a zip member, else itself."""
    return f"if(starts_with({column}, 'zip://'), regexp_replace({column}, {literal(MEMBERS)}, ''), {column})"


def _place_is_under(column: str, prefix: str) -> str:
    if prefix.startswith(_ZIP[0]):
        return f"{column} = {literal(prefix)}"
    place = outermost(column)
    return f"({place} = {literal(prefix)} OR starts_with({place}, {literal(prefix + '/')}))"


def may_hold(file: DataFile, prefixes: Sequence[str]) -> bool:
    """Tell by its statistics whether a file may hold a row under one of the prefixes."""
    if not prefixes:
        return True
    return any(
        file.overlaps(column, least, greatest)
        for column in ("path", "original_path")
        for least, greatest in ranges(prefixes)
    )


def ranges(prefixes: Sequence[str]) -> list[tuple[str, str]]:
    """Return between which addresses all lie that may be under one of the prefixes."""
    folders = [prefix.rstrip("/") for prefix in prefixes]
    return [_ZIP, *((folder, folder + "0") for folder in folders)]
