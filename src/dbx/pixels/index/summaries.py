"""What the rows of series and studies tell: the attributes of their level, out of the metadata of an instance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dbx.pixels.dicom.json_model import DataSet, read_data_set
from dbx.pixels.index.model import Level
from dbx.pixels.index.schema import ATTRIBUTES_BY_LEVEL
from dbx.pixels.index.values import column_value, folded_name

#: Of the level of series, besides those that have a column (PS3.18 table 10.6.3-4).
REQUEST_ATTRIBUTES = "00400275"

STUDY_TAGS = frozenset(attribute.tag_text for attribute in ATTRIBUTES_BY_LEVEL[Level.STUDY])
SERIES_TAGS = frozenset(attribute.tag_text for attribute in ATTRIBUTES_BY_LEVEL[Level.SERIES]) | {REQUEST_ATTRIBUTES}

_TAGGED = {
    level: tuple((attribute.tag_text, attribute) for attribute in attributes)
    for level, attributes in ATTRIBUTES_BY_LEVEL.items()
}
_SUMMARY_TAGS = STUDY_TAGS | SERIES_TAGS


def series_summary(data_set: bytes) -> DataSet:
    """Take what an instance tells of its series, study and patient, without what is empty.

    What is no data set tells nothing.
    """
    return {
        tag: element
        for tag, element in (read_data_set(data_set) or {}).items()
        if tag in _SUMMARY_TAGS and not is_empty(element)
    }


def study_summary(series: Iterable[Mapping[str, dict[str, Any]]]) -> DataSet:
    """Put together what the series of a study tell of it: of each attribute what the first one tells that has it."""
    summary: DataSet = {}
    for told in series:
        for tag, element in told.items():
            if tag in STUDY_TAGS:
                summary.setdefault(tag, element)
    return dict(sorted(summary.items()))


def columns(level: Level, summary: Mapping[str, dict[str, Any]]) -> list[Any]:
    """Return the values of the columns that the level's attributes have, in order."""
    values: list[Any] = []
    for tag, attribute in _TAGGED[level]:
        element = summary.get(tag)
        values.append(column_value(attribute, element))
        if attribute.vr == "PN":
            names = (element or {}).get("Value")
            values.append(folded_name(names[0]) if names else None)
    return values


def is_empty(element: Mapping[str, Any]) -> bool:
    """Tell whether an element of DICOM JSON has no value."""
    return not (element.get("Value") or "InlineBinary" in element or "BulkDataURI" in element)
