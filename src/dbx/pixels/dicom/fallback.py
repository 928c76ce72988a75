"""The second reader: pydicom, for objects whose structure the native core cannot follow."""

from __future__ import annotations

import base64
import io
import json
import math
from datetime import date, datetime
from typing import Any

import pyarrow as pa
from pydicom import Dataset, dcmread
from pydicom.dataelem import DataElement, RawDataElement

from dbx.pixels.dicom.attributes import ATTRIBUTES, Attribute
from dbx.pixels.dicom.quiet import quiet
from dbx.pixels.dicom.schema import DICOM_TYPE
from dbx.pixels.dicom.sources import open_file
from dbx.pixels.storage.reader import Reader

#: Longer values are left in the object until they are wanted.
_DEFERRED_BYTES = 1024
_PIXEL_DATA_TAGS = (0x7FE00010, 0x7FE00008, 0x7FE00009)
_UNDEFINED_LENGTH = 0xFFFFFFFF

Json = dict[str, Any]
Issues = list[dict[str, str | None]]


def read_with_pydicom(source: str | bytes | Reader, bulk_threshold: int | None) -> Json | None:
    """Read one header by the conventions of `read_headers`.

    Returns
    -------
    dict or None
        The row, its ``issues`` a list; None if pydicom cannot read the object either.
    """
    issues: Issues = []
    try:
        with quiet(), io.BytesIO(source) if isinstance(source, bytes) else open_file(source) as file:
            dataset = dcmread(file, defer_size=_DEFERRED_BYTES, force=True)
            pixel_data = _pixel_data(dataset)
            for tag in _PIXEL_DATA_TAGS:
                dataset.pop(tag, None)
            meta = _to_json(dataset.file_meta, "", bulk_threshold, issues)
            meta |= _to_json(dataset, "", bulk_threshold, issues)
            text = json.dumps(dict(sorted(meta.items())), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except Exception:  # pydicom raises whatever its parts raise; the native row then stands
        return None
    row: Json = {attribute.keyword: _typed(attribute, meta, issues) for attribute in ATTRIBUTES}
    row |= {"meta": text, "pixel_data": pixel_data, "file_type": DICOM_TYPE, "parsed_by": "pydicom"}
    return row | {"issues": issues}


def _pixel_data(dataset: Dataset) -> Json | None:
    for tag in _PIXEL_DATA_TAGS:
        element = dataset.get_item(tag) if tag in dataset else None
        if isinstance(element, RawDataElement):
            length = None if element.length == _UNDEFINED_LENGTH else element.length
            return {"tag": f"{tag:08X}", "offset": element.value_tell, "length": length}
    return None


def _to_json(dataset: Dataset, path: str, bulk_threshold: int | None, issues: Issues) -> Json:
    """Convert element by element, so that one that fails costs only itself; `path` ends with a slash or is empty."""
    result: Json = {}
    for tag in list(dataset.keys()):  # a data set itself iterates over elements, and stops at one that is bad
        if path and tag in _PIXEL_DATA_TAGS:
            continue
        key = f"{tag:08X}"
        vr = getattr(dataset.get_item(tag), "VR", None)
        try:
            element = dataset[tag]
            vr = element.VR
            result[key] = _element_to_json(element, path + key, bulk_threshold, issues)
        except Exception:
            if vr:
                result[key] = {"vr": vr}
            issues.append({"tag": path + key, "vr": vr, "message": "cannot be converted"})
    return result


def _element_to_json(element: DataElement, path: str, bulk_threshold: int | None, issues: Issues) -> Json:
    if element.VR == "SQ":
        items = [
            _to_json(item, f"{path}/{number}/", bulk_threshold, issues) for number, item in enumerate(element.value)
        ]
        return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
    converted: Json = element.to_json_dict(None, 0)
    if "InlineBinary" in converted:
        length = len(base64.b64decode(converted["InlineBinary"]))
        if bulk_threshold is not None and length > bulk_threshold:
            return {"vr": element.VR, "BulkDataURI": f"bulkdata/{path}"}
    elif "Value" in converted:
        converted["Value"] = [None if _is_empty(value) else value for value in converted["Value"]]
    return converted


def _is_empty(value: Any) -> bool:
    return value == "" or (isinstance(value, float) and not math.isfinite(value))


def _typed(attribute: Attribute, meta: Json, issues: Issues) -> Any:
    element = meta.get(attribute.tag_text, {})
    arrow_type = attribute.field.type
    value_type = arrow_type.value_type if attribute.multiple else arrow_type
    try:
        values = [_typed_value(value, value_type) for value in element.get("Value", [])]
    except (TypeError, ValueError):
        message = "does not fit the type of its column"
        issues.append({"tag": attribute.tag_text, "vr": None, "message": message})
        return None
    if attribute.multiple:
        return values or None
    return values[0] if values else None


def _typed_value(value: Any, arrow_type: pa.DataType) -> Any:
    if isinstance(value, dict):  # a person name
        value = value.get("Alphabetic")
    if isinstance(value, str):
        value = value.strip(" \0")
    if value is None or value == "":
        return None
    if arrow_type == pa.date32():
        return _date(str(value))
    if pa.types.is_integer(arrow_type):
        return int(value)
    return float(value) if pa.types.is_floating(arrow_type) else str(value)


def _date(text: str) -> date:
    return datetime.strptime(text, "%Y.%m.%d" if "." in text else "%Y%m%d").date()
