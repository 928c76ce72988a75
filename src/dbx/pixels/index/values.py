"""Values as the index compares them: names folded, dates, times and lists as text that sorts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from dbx.pixels.dicom.attributes import Attribute

#: Parts of a person's name in DICOM JSON (PS3.18 F.2.2).
_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")

_DATE = re.compile(r"(\d{4})[.]?(\d\d)[.]?(\d\d)")
_TIME = re.compile(r"(\d\d):?(\d\d)?:?(\d\d)?(?:\.(\d{1,6}))?")
_DATE_TIME = re.compile(r"(\d{4,14})(?:\.(\d{1,6}))?([+-]\d{4})?")

#: Greatest and least digits after a year: what a date and time that is not precise ends and begins with.
_LAST_MOMENT, _FIRST_MOMENT = "1231235959.999999", "0101000000.000000"


def fold(text: str) -> str:
    """Return text as names are compared: in lower case, without accents, NULs and empty components at the end."""
    decomposed = unicodedata.normalize("NFKD", text.casefold().replace("\0", ""))
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter)).rstrip("^ ")


def date_bounds(text: str) -> tuple[str, str] | None:
    """Return the first and last day that a DA value means, the same for a whole date; None if it is none."""
    match = _DATE.fullmatch(text.strip())
    if not match or not ("01" <= match[2] <= "12" and "01" <= match[3] <= "31"):
        return None
    return "".join(match.groups()), "".join(match.groups())


def time_bounds(text: str) -> tuple[str, str] | None:
    """Return the first and last moment that a TM value means, as ``HHMMSS.FFFFFF``; None if it is none."""
    match = _TIME.fullmatch(text.strip())
    if not match or (match[4] and not match[3]) or (match[3] and not match[2]):
        return None
    hour, minute, second, fraction = match.groups()
    if hour > "23" or (minute or "00") > "59" or (second or "00") > "60":
        return None
    first = f"{hour}{minute or '00'}{second or '00'}.{(fraction or '').ljust(6, '0')}"
    last = f"{hour}{minute or '59'}{second or '59'}.{(fraction or '').ljust(6, '9')}"
    return first, last


def moment_bounds(text: str) -> tuple[str, str] | None:
    """Return the first and last moment that a DT value means, as ``YYYYMMDDHHMMSS.FFFFFF``; None if it is none.

    An offset from UTC is left out: moments are compared as clocks showed them.
    """
    match = _DATE_TIME.fullmatch(text.strip())
    if not match or len(match[1]) % 2 or (match[2] and len(match[1]) < 14):
        return None
    digits, fraction = match[1], match[2] or ""
    if len(digits) == 14:
        return f"{digits}.{fraction.ljust(6, '0')}", f"{digits}.{fraction.ljust(6, '9')}"
    return digits + _FIRST_MOMENT[len(digits) - 4 :], digits + _LAST_MOMENT[len(digits) - 4 :]


_BOUNDS = {"DA": date_bounds, "TM": time_bounds, "DT": moment_bounds}


def bounds(vr: str, text: str) -> tuple[str, str] | None:
    """Return the first and last date, time or moment that a value of the VR means; None if it is malformed."""
    return _BOUNDS[vr](text)


def several(values: Iterable[Any]) -> str:
    r"""Return several values as one text in which each can be looked for: ``\value\value\``."""
    return "\\" + "".join(f"{value}\\" for value in values)


def divided(values: str) -> list[str]:
    """Return the values that `several` has put together."""
    return [value for value in values.split("\\") if value]


def column_value(attribute: Attribute, element: Mapping[str, Any] | None) -> Any:
    """Return what an attribute's column holds, of its DICOM JSON; None if that has no value, or none of its VR."""
    values = element.get("Value") if element else None
    if not values or values[0] is None:
        return None
    if attribute.vr == "PN":
        return name_groups(values[0])[0] or None
    if attribute.multiple:
        return several(values)
    value = values[0]
    if attribute.vr in ("IS", "US"):
        return _number(value, int)
    if attribute.vr == "DS":
        return _number(value, float)
    if attribute.vr in _BOUNDS:
        found = bounds(attribute.vr, str(value))
        return found and found[0]
    return str(value)


def folded_name(name: Any) -> str | None:
    """Return the groups of a name in DICOM JSON as they are compared: ``=group=group=``; None if all are empty."""
    present = [group for group in map(fold, name_groups(name)) if group]
    return f"={'='.join(present)}=" if present else None


def name_groups(name: Any) -> tuple[str, str, str]:
    """Return the alphabetic, ideographic and phonetic group of a name in DICOM JSON, empty where absent."""
    if not isinstance(name, Mapping):
        return (str(name or ""), "", "")
    alphabetic, ideographic, phonetic = (str(name.get(group) or "") for group in _NAME_GROUPS)
    return alphabetic, ideographic, phonetic


def _number(value: Any, kind: type) -> Any:
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if kind is float or abs(number) < 2**63 else None
