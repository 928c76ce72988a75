"""What a label means, as codes of SNOMED CT: what a segment is a picture of (PS3.3 table C.8.20-4)."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

#: Words for lesions that are no keywords of CID 7194.
_SYNONYMS = {"tumor": "neoplasm", "tumour": "neoplasm", "cancer": "neoplasm"}
_SIDES = {"left": codes.SCT.Left, "right": codes.SCT.Right}


class Meaning(NamedTuple):
    """Codes of a segment.

    Attributes
    ----------
    category : pydicom.sr.coding.Code
        Segmented Property Category, of CID 7150.
    kind : pydicom.sr.coding.Code
        Segmented Property Type, of the context group that belongs to the category.
    side : pydicom.sr.coding.Code or None
        Modifier of the type: left or right.
    """

    category: Code
    kind: Code
    side: Code | None


def meaning_of(label: str) -> Meaning:
    """Return what a label such as ``kidney_left`` or ``liver tumor`` means; tissue, if nobody knows.

    A label means an anatomical structure if it is the name of one in CID 7192, and a lesion if a word of it is one of
    CID 7194.
    """
    words = re.findall(r"[a-z0-9]+", label.lower())
    sides = [_SIDES[word] for word in words if word in _SIDES]
    side = sides[0] if len(sides) == 1 else None
    name = "".join(word for word in words if word not in _SIDES)
    structure = _structures().get(name) or _structures().get(name.removesuffix("s"))
    if structure:
        return Meaning(codes.SCT.AnatomicalStructure, structure, side)
    for word in words:
        singular = word.removesuffix("s")
        lesion = _lesions().get(_SYNONYMS.get(singular, singular)) or _lesions().get(word)
        if lesion:
            return Meaning(codes.SCT.MorphologicallyAbnormalStructure, lesion, side)
    return Meaning(codes.SCT.Tissue, codes.SCT.Tissue, side)


@cache
def _structures() -> dict[str, Code]:
    return {keyword.lower(): code for keyword, code in codes.cid7192.concepts.items()}


@cache
def _lesions() -> dict[str, Code]:
    return {keyword.lower(): code for keyword, code in codes.cid7194.concepts.items()}
