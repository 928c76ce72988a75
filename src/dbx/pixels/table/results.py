"""The table of results of batches, beside the table of objects: what became of each series."""

from __future__ import annotations

import pyarrow as pa
from deltalake import DeltaTable
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


def results_table(table: str) -> str:
    """Return the name or location of the table of results beside a table of objects."""
    return f"{table}_autoseg_result"


def open_results(folder: TableFolder) -> DeltaTable | None:
    """Open a table of results, or return None if there is none yet.

    Raises
    ------
    TableError
        If it cannot be read.
    """
    try:
        if not DeltaTable.is_deltatable(folder.location, folder.storage_options):
            return None
        return DeltaTable(folder.location, storage_options=folder.storage_options)
    except (DeltaError, OSError) as error:
        raise folder.read_error(error) from error
