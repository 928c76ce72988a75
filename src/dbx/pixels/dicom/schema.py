"""The Arrow fields that reading a DICOM header yields, shared by the native core, the fallback and the table."""

from __future__ import annotations

import pyarrow as pa

from dbx.pixels.dicom.attributes import ATTRIBUTES

#: Media types of objects that are treated in a way of their own.
DICOM_TYPE = "application/dicom"
ZIP_TYPE = "application/zip"

#: Where the pixel data lies. `tag` is 7FE00010, 7FE00008 or 7FE00009; `offset` is that of the value's first byte in the
#: object, or in the inflated data set for a deflated transfer syntax; `length` in bytes is null if encapsulated.
PIXEL_DATA = pa.struct([pa.field("tag", pa.string()), pa.field("offset", pa.int64()), pa.field("length", pa.int64())])

#: Fragments of encapsulated pixel data, the offset table left out: the frame (from 0), offset and length of the bytes.
FRAGMENTS = pa.list_(
    pa.struct([pa.field("frame", pa.int32()), pa.field("offset", pa.int64()), pa.field("length", pa.int64())])
)

#: What was wrong with one element; `tag` is a path such as 00081140/0/00081155 (item numbers from 0).
ISSUES = pa.list_(
    pa.struct([pa.field("tag", pa.string()), pa.field("vr", pa.string()), pa.field("message", pa.string())])
)

#: min, max, mean and standard deviation of the stored values of all frames (`deep=True`).
PIXEL_STATISTICS = pa.struct([pa.field(name, pa.float64()) for name in ("min", "max", "mean", "std")])

#: What only reading an object to its end tells.
STATISTICS_FIELDS = (pa.field("pixel_statistics", PIXEL_STATISTICS), pa.field("content_hash", pa.string()))

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
