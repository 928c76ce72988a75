"""Names of tables: ``catalog.schema.table``, and where such a table lies."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from dbx.pixels.errors import ArgumentError
from dbx.pixels.storage.paths import canonical, is_remote

_PART = re.compile(r"[^\s./\\%]+")


class TableName(NamedTuple):
    """A three-level name, as in Unity Catalog."""

    catalog: str
    schema: str
    table: str

    @classmethod
    def parse(cls, name: str) -> TableName:
        """Split ``catalog.schema.table``; backticks around a part are taken off.

        Raises
        ------
        ArgumentError
            If there are not three parts, or one of them cannot be the name of a folder.
        """
        parts = [part.removeprefix("`").removesuffix("`") for part in name.split(".")]
        if len(parts) != 3 or not all(_PART.fullmatch(part) for part in parts):
            raise ArgumentError(
                name, "is no name of a table", "Write catalog.schema.table, or the path of the table's folder."
            )
        return cls(*parts)

    def __str__(self) -> str:
        return ".".join(self)


def is_path(name_or_path: str) -> bool:
    """Tell whether a table is given by where it lies: a path with a slash in it, or one that exists."""
    return "/" in name_or_path or (bool(name_or_path) and Path(name_or_path).expanduser().is_dir())


def table_location(name_or_path: str, tables_folder: Path | str) -> str:
    """Return where a table lies: a local folder's absolute path, or an object store's address.

    Parameters
    ----------
    name_or_path : str
        ``catalog.schema.table``, or the folder of a Delta table: a path with a slash in it or one that exists, or an
        address such as ``s3://bucket/tables/objects``.
    tables_folder : path-like
        Under which named tables lie, as ``<catalog>/<schema>/<table>``.

    Raises
    ------
    ArgumentError
        If it is neither a name nor a path.
    """
    if is_path(name_or_path):
        location = canonical(name_or_path)
    else:
        location = canonical("/".join((str(tables_folder), *TableName.parse(name_or_path))))
    if not is_remote(location) and re.search(r"%[0-9A-Fa-f]{2}|\\", location):
        # delta-rs would decode the one and take the other for a slash, and write to another folder.
        raise ArgumentError(
            location, "a table's folder can have neither percent escapes nor backslashes", "Rename the folder."
        )
    return location
