"""Where the files of one table lie: a local folder or a prefix in an object store."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow.fs as pafs

from dbx.pixels.storage import cloud
from dbx.pixels.storage.paths import is_remote


class TableFolder:
    """The folder of a Delta table, addressed by paths relative to it.

    Parameters
    ----------
    location : str
        Absolute local path or address in an object store.

    Attributes
    ----------
    files : pyarrow.fs.FileSystem
        Opens and deletes files by their path within the folder.
    storage_options : dict or None
        What delta-rs needs to reach the object store.
    """

    def __init__(self, location: str) -> None:
        self.location = location.rstrip("/")
        self.is_remote = is_remote(location)
        self.storage_options: dict[str, str] | None = None
        self._remote: Any = None
        if self.is_remote:
            self.storage_options = cloud.storage_options(location)
            self._remote = cloud.filesystem(location)
            root = self.location.partition("://")[2]
            store = pafs.PyFileSystem(pafs.FSSpecHandler(self._remote))
            self.files: pafs.FileSystem = pafs.SubTreeFileSystem(root, store)
        else:
            self.files = pafs.SubTreeFileSystem(self.location, pafs.LocalFileSystem())

    def make(self) -> None:
        """Make the folder, and see to it that commits to it are safe."""
        if self.is_remote:
            cloud.probe_conditional_put(self.location)
        else:
            Path(self.location).mkdir(parents=True, exist_ok=True)

    def uri(self, path: str) -> str:
        """Return the address of a file by its path in the Delta log, which is percent-encoded (Delta protocol)."""
        path = unquote(path)
        return path if "://" in path or path.startswith("/") else f"{self.location}/{path}"

    def let_read(self, connection: Any) -> None:
        """Enable a DuckDB connection to read the files of an object store."""
        if self.is_remote:
            connection.register_filesystem(self._remote)
