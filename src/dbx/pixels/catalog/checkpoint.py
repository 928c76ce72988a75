"""A stream's checkpoint: which objects each of its batches was planned to hold, and which batches are saved."""

from __future__ import annotations

import fcntl
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dbx.pixels.catalog.objects import LISTED_SCHEMA
from dbx.pixels.errors import StorageError
from dbx.pixels.storage.writing import write_whole
from dbx.pixels.table.duck import connect, literal
from dbx.pixels.table.schema import KNOWN_SCHEMA


class Checkpoint:
    """Files in a folder: a batch's plan is written before it is worked on, and marked when it is saved.

    Parameters
    ----------
    folder : pathlib.Path
        Made if it is not there; belongs to one stream into one table.

    Attributes
    ----------
    folder : pathlib.Path
        The folder.
    id : str
        The stream's application id in the table's transactions.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._plans = folder / "plans"
        self._saved = folder / "saved"
        self._plans.mkdir(parents=True, exist_ok=True)
        self._saved.mkdir(exist_ok=True)
        self.id = identity(folder)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other processes from running the same stream meanwhile.

        Raises
        ------
        StorageError
            If one does.
        """
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StorageError(
                    str(self.folder), "another process runs this stream", "Wait for it, or stop it."
                ) from None
            yield

    def plan(self, rows: pa.Table) -> int:
        """Write down the objects of the next batch and return the batch's number, counted from 1."""
        number = max(self._numbers(self._plans), default=0) + 1
        buffer = pa.BufferOutputStream()
        pq.write_table(rows, buffer, compression="zstd")
        write_whole(self._plans / f"{number:012d}", buffer.getvalue().to_pybytes())
        return number

    def mark_saved(self, number: int) -> None:
        """Remember that a batch is in the table."""
        write_whole(self._saved / f"{number:012d}", b"")

    def mark_all_saved(self, last: int) -> None:
        """Remember that all batches up to one are in the table."""
        for number in self.unsaved():
            if number <= last:
                self.mark_saved(number)

    def unsaved(self) -> list[int]:
        """Return the numbers of the batches that were planned and not marked as saved, in order."""
        return sorted(self._numbers(self._plans) - self._numbers(self._saved))

    def objects(self, number: int) -> pa.Table:
        """Return the objects of a planned batch."""
        return pq.read_table(self._plans / f"{number:012d}", schema=LISTED_SCHEMA)

    def planned(self) -> pa.Table:
        """Return every object that was ever planned, as it was planned last, in `KNOWN_SCHEMA`."""
        if not self._numbers(self._plans):
            return KNOWN_SCHEMA.empty_table()
        plans = literal(f"{self._plans}/[0-9]*")
        with connect() as connection:
            return connection.sql(
                "SELECT path, modificationTime, length, original_path, false AS unreadable,"
                " NULL::TIMESTAMPTZ AS written"
                f" FROM read_parquet({plans}, filename = true)"
                " QUALIFY row_number() OVER (PARTITION BY path ORDER BY filename DESC) = 1"
            ).to_arrow_table()

    @staticmethod
    def _numbers(folder: Path) -> set[int]:
        return {int(entry.name) for entry in folder.iterdir() if entry.name.isdigit()}


def identity(folder: Path) -> str:
    """Return the application id of what is remembered in a folder, which are made if they are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "stream.json"
    if not file.exists():
        write_whole(file, json.dumps({"id": str(uuid.uuid4())}).encode())
    return str(json.loads(file.read_text())["id"])
