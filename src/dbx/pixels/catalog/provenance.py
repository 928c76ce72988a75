"""What made a segmentation, as it says itself."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson


class Model(NamedTuple):
    """A model and its version; None where it is not known."""

    name: str | None
    version: str | None


NO_MODEL = Model(None, None)

_SEGMENT_SEQUENCE = "00620002"
_ALGORITHM_IDENTIFICATION = "00620007"
_ALGORITHM_TYPE = "00620008"
_ALGORITHM_NAME, _ALGORITHM_VERSION = "00660036", "00660031"


def model_of(meta: str | None) -> Model:
    """Return the model that a segmentation names in Segmentation Algorithm Identification Sequence (0062,0007).

    Where people correct a proposal and save it, as a segmentation of its own, that sequence stays with its segments: so
    it is known what the labels came from (PS3.3 table C.8.20-4, section 10.16).

    Parameters
    ----------
    meta : str or None
        The object's data set in the DICOM JSON model.
    """
    segments = _items(orjson.loads(meta or "{}"), _SEGMENT_SEQUENCE)
    for segment in segments:
        for algorithm in _items(segment, _ALGORITHM_IDENTIFICATION):
            name = next(iter(_items(algorithm, _ALGORITHM_NAME)), None)
            if name:
                return Model(str(name), next(map(str, _items(algorithm, _ALGORITHM_VERSION)), None))
    return NO_MODEL


def is_automatic(meta: str | None) -> bool:
    """Tell whether a segmentation says that nobody had a hand in it: all its segments are AUTOMATIC.

    That is what Segment Algorithm Type (0062,0008) is for (PS3.3 table C.8.20-4); what a person corrected is
    SEMIAUTOMATIC, what one drew is MANUAL.

    Parameters
    ----------
    meta : str or None
        The object's data set in the DICOM JSON model.
    """
    segments = _items(orjson.loads(meta or "{}"), _SEGMENT_SEQUENCE)
    return bool(segments) and all(_items(segment, _ALGORITHM_TYPE) == ["AUTOMATIC"] for segment in segments)


def _items(item: dict[str, Any], tag: str) -> list[Any]:
    return [value for value in item.get(tag, {}).get("Value", []) if value]
