"""Whole numbers in requests."""

from __future__ import annotations

import re

_DIGITS = re.compile(r"[0-9]{1,9}")

#: The largest that is read: Python itself refuses texts of thousands of digits.
LARGEST = 10**9 - 1


def whole_number(text: str) -> int | None:
    """Read a number from 0 to `LARGEST`; None if the text is none."""
    return int(text) if _DIGITS.fullmatch(text) else None
