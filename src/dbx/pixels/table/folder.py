"""Where the files of one table lie: a local folder or a prefix in an object store."""

from __future__ import annotations

import errno
import os
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as pafs
from obstore.exceptions import BaseError

from dbx.pixels.errors import TableError
from dbx.pixels.storage import cloud
from dbx.pixels.storage.paths import is_remote

#: A full disk, a spent quota, a limit on the size of files.
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

#: How delta-rs and obstore begin to tell that a store did not do what it was asked for.
_STORE_FAILED = "Error performing"

#: Colours of a terminal, the frames of a backtrace, and obstore's second telling of the same.
_NOISE = re.compile(r"\x1b\[[\d;]*m|^ *(\d+: |at ).*$|^Debug source:[\s\S]*", re.MULTILINE)

#: What reading and writing files raises, on disks and in object stores.
FILE_ERRORS = (OSError, pa.ArrowException, BaseError)

_probe = cache(cloud.probe_conditional_put)


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
            self._store: pafs.FileSystem = pafs.PyFileSystem(pafs.FSSpecHandler(self._remote))
        else:
            root = self.location
            self._store = pafs.LocalFileSystem()
        self.files = pafs.SubTreeFileSystem(root, self._store)

    def prepare(self) -> None:
        """Get the folder ready for a commit: make it, or find out once whether its store keeps commits apart.

        Raises
        ------
        UnsafeStoreError
            If the store ignores conditional puts.
        StorageError
            If the store cannot be written to.
        """
        if self.is_remote:
            _probe(self.location)
        else:
            Path(self.location).mkdir(parents=True, exist_ok=True)

    def holds_other_files(self) -> bool:
        """Tell whether there is something in the folder, apart from hidden files such as an unfinished log."""
        entries = self.files.get_file_info(pafs.FileSelector("", allow_not_found=True))
        return any(not entry.base_name.startswith(("_", ".")) for entry in entries)

    def uri(self, path: str) -> str:
        """Return the address of a file by its path in the Delta log, which is percent-encoded (Delta protocol)."""
        path = unquote(path)
        return path if "://" in path or path.startswith("/") else f"{self.location}/{path}"

    def open(self, uri: str) -> pa.NativeFile:
        """Open a file of the table by its address."""
        return self._store.open_input_file(uri.partition("://")[2] if self.is_remote else uri)

    def read_error(self, error: Exception) -> TableError:
        """Return what to raise when the table's log cannot be read."""
        if not self.is_remote and Path(self.location).is_file():
            return TableError(self.location, "is a file, not a table", "Name the folder of a table.")
        return TableError(
            self.location,
            f"cannot be read: {_reason(error)}",
            _remedy(error, "Check the log in its folder _delta_log."),
        )

    def write_error(self, error: Exception, problem: str = "cannot be written") -> TableError:
        """Return what to raise when the table cannot be written, or made: a full disk is told as such."""
        # Arrow keeps the number; delta-rs has only the system's words.
        full = getattr(error, "errno", None) in _NO_SPACE or any(
            os.strerror(number) in str(error) for number in _NO_SPACE
        )
        if full:
            return TableError(
                self.location,
                f"{problem}: there is no space left",
                "Make space and run again; what was committed so far stays.",
            )
        return TableError(
            self.location, f"{problem}: {_reason(error)}", _remedy(error, "Check that its folder can be written.")
        )

    def let_read(self, connection: Any) -> None:
        """Enable a DuckDB connection to read the files of an object store."""
        if self.is_remote:
            connection.register_filesystem(self._remote)


def _reason(error: Exception) -> str:
    """Say in one line what went wrong: the last of delta-rs's chain of causes, or what the store's XML says."""
    text = _NOISE.sub("", str(error))
    told = re.search(r"<Message>([^<\n]+)", text) or re.search(r"<Code>([^<\n]+)", text)
    cause = told[1] if told else text.rpartition("↳")[2]
    return " ".join(cause.split()).removeprefix("Kernel error: ").rstrip(". ")


def _remedy(error: Exception, otherwise: str) -> str:
    return "Check the address, the credentials and the network." if _STORE_FAILED in str(error) else otherwise
