"""Reporting what was wrong with the pixel data of an object."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from dbx.pixels.dicom.schema import ISSUES

PIXEL_DATA_TAG = "7FE00010"


def add_pixel_issues(batch: pa.RecordBatch, messages: Mapping[int, str]) -> pa.Array:
    """Add messages, by row number, to the `issues` of a batch.

    Returns
    -------
    pyarrow.Array
        The new column; it is made if the batch has none.
    """
    has_issues = "issues" in batch.schema.names
    if has_issues and not messages:
        return batch.column("issues")
    lists = batch.column("issues").to_pylist() if has_issues else [None] * batch.num_rows
    for row, message in messages.items():
        lists[row] = [*(lists[row] or ()), {"tag": PIXEL_DATA_TAG, "vr": "OW", "message": message}]
    return pa.array(lists, ISSUES)
