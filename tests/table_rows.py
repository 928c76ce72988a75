"""Rows of `object_catalog` as tests need them: a few columns that matter, the others null."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from dbx.pixels.table import ObjectTable
from dbx.pixels.table.schema import TABLE_SCHEMA

NOON = datetime(2024, 5, 17, 12, tzinfo=UTC)


def row(path: str, *, minutes: int = 0, length: int = 1000, **columns: Any) -> dict[str, Any]:
    """One object: last changed some minutes after noon, with further columns as given."""
    return {"path": path, "modificationTime": NOON + timedelta(minutes=minutes), "length": length, **columns}


def ct_slice(path: str, study: int = 1, series: int = 1, instance: int = 1, **columns: Any) -> dict[str, Any]:
    """One CT slice whose UIDs follow from its numbers."""
    study_uid, series_uid = f"1.2.{study}", f"1.2.{study}.{series}"
    attributes = {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": f"Patient^{study}"}]},
        "00080060": {"vr": "CS", "Value": ["CT"]},
        "00280030": {"vr": "DS", "Value": [0.5, 0.75]},
    }
    identity = {
        "meta": json.dumps(attributes),
        "PatientID": f"P{study}",
        "Modality": "CT",
        "StudyInstanceUID": study_uid,
        "SeriesInstanceUID": series_uid,
        "SOPInstanceUID": f"{series_uid}.{instance}",
        "InstanceNumber": instance,
    }
    return row(path, **(identity | columns))


def rows(*records: dict[str, Any]) -> pa.Table:
    """Records as a table with the columns that occur in them."""
    names = [name for name in TABLE_SCHEMA.names if any(name in record for record in records)]
    return pa.Table.from_pylist(list(records), schema=pa.schema([TABLE_SCHEMA.field(name) for name in names]))


def live(table: ObjectTable, *columns: str) -> dict[str, Any]:
    """The newest rows by path, of which there must be one each: the named column's value, of several a tuple."""
    table.refresh()
    found = read(table, ("path", *(columns or ("length",))))
    by_path = {record["path"]: tuple(value for name, value in record.items() if name != "path") for record in found}
    assert len(by_path) == len(found), "a path has several live rows"
    return {path: values[0] if len(values) == 1 else values for path, values in by_path.items()}


def read(table: ObjectTable, columns: Iterable[str]) -> list[dict[str, Any]]:
    """The rows of the table's live files, read without the code under test."""
    import pyarrow.parquet as pq

    records = []
    for uri in table.files():
        names = [name for name in columns if name in pq.read_schema(uri).names]
        records += [dict.fromkeys(columns) | record for record in pq.read_table(uri, columns=names).to_pylist()]
    return records
