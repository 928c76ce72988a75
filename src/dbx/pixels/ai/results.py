"""What became of each series of a batch: written into the table of results."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from dbx.pixels.table.folder import TableFolder
from dbx.pixels.table.results import RESULTS_SCHEMA, open_results, results_table

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

    def fingerprints(self, model: str, version: str, series_uid: str | None = None) -> set[tuple[str, str]]:
        """Return Series Instance UID and fingerprint of all that one version of a model has segmented, or of one.

        Raises
        ------
        TableError
            If the table cannot be read.
        """
        columns = ["series_uid", "fingerprint", "result"]
        filters = [("model", "=", model), ("model_version", "=", version)]
        if series_uid is not None:
            filters.append(("series_uid", "=", series_uid))
        table = open_results(self._folder)
        if table is None:
            return set()
        try:
            rows = table.to_pyarrow_table(columns=columns, filters=filters)
        except (DeltaError, OSError) as error:
            raise self._folder.read_error(error) from error
        return {(row["series_uid"], row["fingerprint"]) for row in rows.to_pylist() if row["result"] is not None}

    def has(self, model: str, version: str, series_uid: str, fingerprint: str) -> bool:
        """Tell whether a version of a model has segmented a series by now.

        Raises
        ------
        TableError
            If the table cannot be read.
        """
        return (series_uid, fingerprint) in self.fingerprints(model, version, series_uid)

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
            table = DeltaTable(self.location, storage_options=self._folder.storage_options)
        except (DeltaError, OSError) as error:
            raise self._folder.write_error(error) from error
        if len(table.file_uris()) >= _MANY_FILES:
            with suppress(DeltaError):  # another batch may be doing it
                table.optimize.compact()
