"""Data sets of the DICOM JSON model as XML: the native DICOM model (PS3.19 A.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from pydicom.datadict import keyword_for_tag

_START = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM" xml:space="preserve">'
)
_END = "</NativeDicomModel>"

#: The components of a person's name, in the order in which ``^`` separates them (PS3.5 section 6.2).
_NAME_COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")

#: Characters that XML 1.0 cannot hold, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def native_xml(dataset: Mapping[str, Any]) -> bytes:
    """Write a data set as an XML document.

    Parameters
    ----------
    dataset : mapping
        In the DICOM JSON model (PS3.18 F): by tag ``GGGGEEEE``.

    Returns
    -------
    bytes
        UTF-8. Characters that XML cannot hold are written as U+FFFD.
    """
    return "".join((_START, *_attributes(dataset), _END)).encode("utf-8")


def _attributes(dataset: Mapping[str, Any]) -> Iterator[str]:
    for tag in sorted(dataset):
        attribute = dataset[tag]
        keyword = keyword_for_tag(tag)
        names = f' keyword="{keyword}"' if keyword else ""
        if creator := _private_creator(dataset, tag):
            names += f" privateCreator={quoteattr(_without_forbidden(creator))}"
        yield f'<DicomAttribute tag="{tag}" vr="{attribute["vr"]}"{names}>'
        yield from _content(attribute)
        yield "</DicomAttribute>"


def _private_creator(dataset: Mapping[str, Any], tag: str) -> str | None:
    """Return who reserved the block of a private attribute (PS3.5 section 7.8.1)."""
    if int(tag[3], 16) % 2 == 0 or tag[4:6] == "00":
        return None
    values = dataset.get(f"{tag[:4]}00{tag[4:6]}", {}).get("Value")
    return str(values[0]) if values else None


def _content(attribute: Mapping[str, Any]) -> Iterator[str]:
    if "BulkDataURI" in attribute:
        yield f"<BulkData uri={quoteattr(attribute['BulkDataURI'])}/>"
    elif "InlineBinary" in attribute:
        yield f"<InlineBinary>{attribute['InlineBinary']}</InlineBinary>"
    for number, value in enumerate(attribute.get("Value", ()), start=1):
        if value is None:  # an empty one of several values: the numbers of the others tell
            continue
        if attribute["vr"] == "SQ":
            yield f'<Item number="{number}">'
            yield from _attributes(value)
            yield "</Item>"
        elif attribute["vr"] == "PN":
            yield f'<PersonName number="{number}">{"".join(_name_groups(value))}</PersonName>'
        else:
            yield f'<Value number="{number}">{_text(value)}</Value>'


def _name_groups(name: Mapping[str, str]) -> Iterator[str]:
    for group in _NAME_GROUPS:
        if group not in name:
            continue
        yield f"<{group}>"
        for component, text in zip(_NAME_COMPONENTS, name[group].split("^"), strict=False):
            if text:
                yield f"<{component}>{_text(text)}</{component}>"
        yield f"</{group}>"


def _text(value: Any) -> str:
    return escape(_without_forbidden(str(value)), {"\r": "&#13;"})  # parsers would make a line feed of it


def _without_forbidden(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
