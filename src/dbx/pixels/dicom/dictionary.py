"""The data dictionaries of pydicom, and the tables that the native core takes of them and of the typed columns."""

from __future__ import annotations

import pyarrow as pa
from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary
from pydicom._private_dict import private_dictionaries

from dbx.pixels.dicom.attributes import ATTRIBUTES

#: VRs that pydicom's dictionaries hold and DICOM does not; None where there is no element to read.
_CORRECTED_VRS = {"OB_OW": "OB or OW", "US or SS or OW": "OW", "NONE": None}

#: Arrow's type of a column as the Arrow C data interface writes it.
_FORMATS = {pa.string(): "u", pa.date32(): "tdD", pa.int32(): "i", pa.int64(): "l", pa.float64(): "g"}

#: What the first and the last `x` of a key in private dictionaries, with all between them, stand for: nothing; the
#: block; the group's low byte and the block.
_PRIVATE_KEYS = {(-1, -1): 0, (4, 5): 1, (2, 5): 2}


def registry() -> list[tuple[str, str, str, str, str, str]]:
    """Tag, VR, VM, name, mark if retired, and keyword of every attribute of PS3.6; tags that vary have an `x`."""
    return [
        *((f"{tag:08X}", *entry) for tag, entry in DicomDictionary.items()),
        *((tag.upper().replace("X", "x"), *entry) for tag, entry in RepeatersDictionary.items()),
    ]


def public_attributes() -> list[tuple[int, str]]:
    """Tag and VR of every attribute of PS3.6; the VR may be open, as in ``US or SS``."""
    return [(int(tag), vr) for tag, entry in DicomDictionary.items() if (vr := _vr(entry[0]))]


def repeating_attributes() -> list[tuple[int, int, str]]:
    """Mask, tag and VR of the attributes whose tag may vary, such as overlays ``60xx,3000``."""
    return [(_mask(key), int(key.replace("x", "0"), 16), entry[0]) for key, entry in RepeatersDictionary.items()]


def private_attributes() -> list[tuple[str, int, int, str]]:
    """Creator, kind of key, tag and VR of the private attributes that pydicom knows."""
    return [
        (creator, kind, int(key.replace("x", "0"), 16), vr)
        for creator, entries in private_dictionaries.items()
        for key, entry in entries.items()
        # pydicom itself never finds keys of any other kind
        if (kind := _PRIVATE_KEYS.get((key.find("x"), key.rfind("x")))) is not None and (vr := _vr(entry[0]))
    ]


def typed_columns() -> list[tuple[int, str, str, bool]]:
    """Tag, keyword, Arrow format of one value, and whether there may be several, of the typed columns."""
    columns = []
    for attribute in ATTRIBUTES:
        arrow_type = attribute.field.type
        value_type = arrow_type.value_type if attribute.multiple else arrow_type
        columns.append((attribute.tag, attribute.keyword, _FORMATS[value_type], attribute.multiple))
    return columns


def _vr(name: str) -> str | None:
    return _CORRECTED_VRS.get(name, name)


def _mask(key: str) -> int:
    return int("".join("0" if digit == "x" else "F" for digit in key), 16)
