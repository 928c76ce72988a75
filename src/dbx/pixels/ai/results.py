"""The table of results of batches: what became of each series, beside the table of objects."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from dbx.pixels.table.folder import TableFolder

RESULTS_SCHEMA = pa.schema(
    [
        pa.field("series_uid", pa.string()),
        pa.field("model", pa.string()),
        pa.field("model_version", pa.string()),
        pa.field("result", pa.string()),
        pa.field("error", pa.string()),
        pa.field("volumes_ml", pa.map_(pa.string(), pa.float64())),
        pa.field("seconds", pa.float64()),
        pa.field("written", pa.timestamp("us", tz="UTC")),
        pa.field("fingerprint", pa.string()),
    ]
)

#: Files at which the table is compacted: every result is committed by itself, so that none is lost.
_MANY_FILES = 64


@dataclass(frozen=True)
class Result:
    """What became of one series: a row of `RESULTS_SCHEMA`.

    Attributes
    ----------
    series_uid : str
        Series Instance UID of what was to be segmented.
    model, model_version : str
        What was to segment it.
    result : str or None
        SOP Instance UID of the segmentation.
    error : str or None
        Why there is none.
    volumes_ml : mapping of str to float
        By label, in millilitres.
    seconds : float
        How long it took, storing included.
    written : datetime
        When.
    fingerprint : str or None
        `Series.fingerprint` of the series as it was; None if it was no volume.
    """

    series_uid: str
    model: str
    model_version: str
    result: str | None = None
    error: str | None = None
    volumes_ml: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    written: datetime = field(default_factory=lambda: datetime.now(UTC))
    fingerprint: str | None = None


def results_table(table: str) -> str:
    """Return the name or location of the table of results beside a table of objects."""
    return f"{table}_autoseg_result"


class Results:
    """A Delta table of results.

    Parameters
    ----------
    location : str
        The location of the table of objects, beside which it lies: ``<table>_autoseg_result``.
    """

    def __init__(self, location: str) -> None:
        self._folder = TableFolder(results_table(location))

    @property
    def location(self) -> str:
        """Where it lies."""
        return self._folder.location

    def fingerprints(self, model: str, version: str) -> set[tuple[str, str]]:
        """Return Series Instance UID and fingerprint of all that one version of a model has segmented.

        Raises
        ------
        TableError
            If the table cannot be read.
        """
        columns = ["series_uid", "fingerprint", "result"]
        filters = [("model", "=", model), ("model_version", "=", version)]
        try:
            if not DeltaTable.is_deltatable(self.location, self._folder.storage_options):
                return set()
            rows = self._open().to_pyarrow_table(columns=columns, filters=filters)
        except (DeltaError, OSError) as error:
            raise self._folder.read_error(error) from error
        return {(row["series_uid"], row["fingerprint"]) for row in rows.to_pylist() if row["result"] is not None}

    def add(self, result: Result) -> None:
        """Commit a result.

        Raises
        ------
        TableError
            If the table cannot be written.
        """
        row = asdict(result) | {"volumes_ml": list(result.volumes_ml.items())}
        rows = pa.Table.from_pylist([row], RESULTS_SCHEMA)
        try:
            self._folder.prepare()
            write_deltalake(self.location, rows, mode="append", storage_options=self._folder.storage_options)
            table = self._open()
        except (DeltaError, OSError) as error:
            raise self._folder.write_error(error) from error
        if len(table.file_uris()) >= _MANY_FILES:
            with suppress(DeltaError):  # another batch may be doing it
                table.optimize.compact()

    def _open(self) -> DeltaTable:
        return DeltaTable(self.location, storage_options=self._folder.storage_options)
