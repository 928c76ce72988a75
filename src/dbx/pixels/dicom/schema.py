"""The Arrow fields that reading a DICOM header yields, shared by the native core, the ladder and the table."""

from __future__ import annotations

import pyarrow as pa

from dbx.pixels.dicom.attributes import ATTRIBUTES

#: Where the pixel data lies. `tag` is 7FE00010, 7FE00008 or 7FE00009. `offset` is that of the value's first byte in the
#: object (in the inflated data set for a deflated transfer syntax), `length` its bytes (null when undefined: encapsulated).
PIXEL_DATA = pa.struct(
    [pa.field("tag", pa.string()), pa.field("offset", pa.int64()), pa.field("length", pa.int64())]
)

#: Fragments of encapsulated pixel data, offset table left out: 0-based frame, offset and length of the fragment's bytes.
FRAGMENTS = pa.list_(
    pa.struct([pa.field("frame", pa.int32()), pa.field("offset", pa.int64()), pa.field("length", pa.int64())])
)

#: What was wrong with one element; `tag` is a path such as 00081140/0/00081155 (item numbers from 0).
ISSUES = pa.list_(
    pa.struct([pa.field("tag", pa.string()), pa.field("vr", pa.string()), pa.field("message", pa.string())])
)

#: What reading one header yields: one row an object, in this order.
HEADER_SCHEMA = pa.schema(
    [
        pa.field("meta", pa.string()),
        *(attribute.field for attribute in ATTRIBUTES),
        pa.field("pixel_data", PIXEL_DATA),
        pa.field("fragments", FRAGMENTS),
        pa.field("file_type", pa.string()),  # media type: application/dicom, or what the bytes look like
        pa.field("parsed_by", pa.string()),  # native, pydicom; null when neither could, or no DICOM
        pa.field("error", pa.string()),
        pa.field("issues", ISSUES),
    ]
)
