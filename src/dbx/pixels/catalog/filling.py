"""Known objects that lack what is asked for now: a thumbnail, or what only reading to the end tells."""

from __future__ import annotations

import pyarrow as pa

from dbx.pixels.catalog.engines import Table
from dbx.pixels.catalog.objects import object_frame
from dbx.pixels.catalog.selection import Selection
from dbx.pixels.dicom.schema import ZIP_TYPE
from dbx.pixels.engine.frame import Frame
from dbx.pixels.table.objects import ObjectTable
from dbx.pixels.table.prefixes import under
from dbx.pixels.table.schema import IDENTITY, TABLE_SCHEMA
from dbx.pixels.table.sql import query

#: What makes an object's row be recognised, and what reading it again needs.
_COLUMNS = (*IDENTITY, "local_path")

#: Images without a picture. Where making one failed before there is an issue, and it would fail again. In SQL that
#: DuckDB and Spark understand.
_LACKS_THUMBNAIL = """
    thumbnail IS NULL AND pixel_data IS NOT NULL AND coalesce(CAST(issues AS STRING) NOT LIKE '%no thumbnail%', true)"""
_LACKS_HASH = f"content_hash IS NULL AND error IS NULL AND file_type <> '{ZIP_TYPE}'"


def lacking(table: Table, selection: Selection, *, thumbnails: bool, deep: bool) -> Frame:
    """Return the known objects under the roots that lack thumbnails or, for `deep`, hashes.

    Returns
    -------
    Frame
        With the columns by which objects are read again, and their rows recognised when they are saved.
    """
    asked = [condition for wanted, condition in ((thumbnails, _LACKS_THUMBNAIL), (deep, _LACKS_HASH)) if wanted]
    condition = " OR ".join(f"({condition})" for condition in asked)

    def read() -> pa.RecordBatchReader:
        if not isinstance(table, ObjectTable):
            return table.read(_COLUMNS, condition, selection.roots)
        sql = f"SELECT {', '.join(_COLUMNS)} FROM object_catalog WHERE ({condition}) AND ({under(selection.roots)})"
        return query(table, sql)

    return object_frame(read, pa.schema([TABLE_SCHEMA.field(name) for name in _COLUMNS]))
