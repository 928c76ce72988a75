"""Data sets in the DICOM JSON model (PS3.18 Annex F), which others than our parser may have written."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

DataSet = dict[str, dict[str, Any]]

#: How a data set begins and ends: with its first element's tag and VR, and with the braces of its last element and its
#: own.
_BEGIN = r'\A\s*\{\s*"[0-9A-Fa-f]{8}"\s*:\s*\{\s*"vr"\s*:\s*"[A-Z]{2}"'
_END = "}}"


def doubtful(texts: pa.ChunkedArray) -> list[int]:
    """Return the numbers of those texts that do not begin and end as data sets do; none of what is null.

    Only `read_data_set` tells whether they are some. To read every text would take longer than to index it.
    """
    looks_good = pc.and_(pc.match_substring_regex(texts, _BEGIN), pc.ends_with(texts, _END))
    return np.flatnonzero(pc.invert(looks_good.fill_null(True)).to_numpy()).tolist()


def read_data_set(text: str | bytes) -> DataSet | None:
    """Read a data set; None if the text is no JSON object of elements that have a VR."""
    try:
        found = orjson.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) and all(map(_is_element, found.values())) else None


def _is_element(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("vr"), str) and isinstance(value.get("Value", []), list)
