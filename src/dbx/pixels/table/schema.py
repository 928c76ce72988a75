"""The columns of `object_catalog`: one row per object."""

from __future__ import annotations

import pyarrow as pa

from dbx.pixels.dicom.attributes import ATTRIBUTES
from dbx.pixels.dicom.schema import FRAGMENTS, ISSUES, PIXEL_DATA, STATISTICS_FIELDS

MODIFICATION_TIME = pa.timestamp("us", tz="UTC")

#: What is known of an object before its bytes are read.
OBJECT_FIELDS = (
    pa.field("path", pa.string()),
    pa.field("modificationTime", MODIFICATION_TIME),
    pa.field("length", pa.int64()),
    pa.field("original_path", pa.string()),
    pa.field("relative_path", pa.string()),
    pa.field("local_path", pa.string()),
    pa.field("extension", pa.string()),
    pa.field("file_type", pa.string()),
    pa.field("path_tags", pa.list_(pa.string())),
    pa.field("is_anon", pa.bool_()),
)

#: Columns by which an object is recognised.
IDENTITY = ("path", "modificationTime", "length")

#: The table's schema. Columns are only ever added, at the end.
TABLE_SCHEMA = pa.schema(
    [
        *OBJECT_FIELDS,
        pa.field("meta", pa.string()),
        pa.field("thumbnail", pa.binary()),
        *(attribute.field for attribute in ATTRIBUTES),
        pa.field("pixel_data", PIXEL_DATA),
        pa.field("fragments", FRAGMENTS),
        *STATISTICS_FIELDS,
        pa.field("parsed_by", pa.string()),
        pa.field("error", pa.string()),
        pa.field("issues", ISSUES),
        # Of segmentations: proposal (by AI) or final (saved by a person), and the model that the proposal was by.
        pa.field("label_state", pa.string()),
        pa.field("model", pa.string()),
        pa.field("model_version", pa.string()),
    ]
)

#: What discovery compares listings with. `unreadable`: the object's bytes could not be read when it was catalogued;
#: `written`: when its row was.
KNOWN_SCHEMA = pa.schema(
    [
        pa.field("path", pa.string()),
        pa.field("modificationTime", MODIFICATION_TIME),
        pa.field("length", pa.int64()),
        pa.field("original_path", pa.string()),
        pa.field("unreadable", pa.bool_()),
        pa.field("written", MODIFICATION_TIME),
    ]
)
