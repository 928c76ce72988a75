"""What a matching key demands of a value, in a column and in DICOM JSON (PS3.4 C.2.2.2, PS3.18 8.3.4)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, Protocol

from dbx.pixels.errors import ArgumentError
from dbx.pixels.index.like import has_wildcard, is_like
from dbx.pixels.index.values import bounds, fold, folded_name

#: Characters of one value or pattern of a key: databases refuse patterns that are too long, and take long for others.
MOST_CHARACTERS = 1000
_DATE_TIME_WITH_OFFSET = re.compile(r"\d{4,14}(\.\d{1,6})?[+-](0\d|1[0-4])\d\d")
_NUMBER_VRS = {"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"}
_MOMENT_EXAMPLES = {
    "DA": "a date as 20240131, a range as 20240101-20240131, 20240101- or -20240131",
    "TM": "a time as 101530, a range as 10-1130, 10- or -1130",
    "DT": "a moment as 20240131101530, a range as 20240131-20240201, 20240131- or -20240201",
}
#: What words of a name follow.
_BETWEEN_WORDS = "^ -,"


class Operator(StrEnum):
    """How a column is compared with a value."""

    EQUAL = "="
    IN = "in"  # a list of values
    LIKE = "like"  # a pattern
    AT_LEAST = ">="
    AT_MOST = "<="


class Comparison(NamedTuple):
    """A column is compared with a value, or with a list of them."""

    operator: Operator
    value: Any


#: All of them must hold; each of them holds if any of its comparisons does.
Demands = tuple[tuple[Comparison, ...], ...]


class Matcher(Protocol):
    """What one key demands."""

    def demands(self, *, listed: bool = False) -> Demands:
        r"""Return it for a column, of single values or of lists such as ``\value\value\``."""

    def holds(self, value: Any) -> bool:
        """Tell whether one value of DICOM JSON fulfils it."""


@dataclass(frozen=True)
class OneOf:
    """Any of some texts, in which ``*`` and ``?`` are wildcards."""

    texts: tuple[str, ...]

    def demands(self, *, listed: bool = False) -> Demands:
        if listed:
            return (_like(f"*\\{text}\\*" for text in self.texts),)
        return ((*_like(self._patterns), *_any_of(tuple(self._plain))),)

    def holds(self, value: Any) -> bool:
        text = _text(value)
        return text in self._plain or any(is_like(text, pattern) for pattern in self._patterns)

    @cached_property
    def _plain(self) -> frozenset[str]:
        return frozenset(text for text in self.texts if not has_wildcard(text))

    @cached_property
    def _patterns(self) -> tuple[str, ...]:
        return tuple(filter(has_wildcard, self.texts))


@dataclass(frozen=True)
class Between:
    """A date, time or moment in a range; an end that is None is open."""

    vr: str
    first: str | None
    last: str | None

    def demands(self, *, listed: bool = False) -> Demands:  # noqa: ARG002
        ends = Comparison(Operator.AT_LEAST, self.first), Comparison(Operator.AT_MOST, self.last)
        return tuple((end,) for end in ends if end.value is not None)

    def holds(self, value: Any) -> bool:
        found = bounds(self.vr, _text(value))
        if found is None:
            return False
        return (self.first is None or self.first <= found[0]) and (self.last is None or found[0] <= self.last)


@dataclass(frozen=True)
class Equal:
    """Any of some numbers."""

    numbers: tuple[float, ...]

    def demands(self, *, listed: bool = False) -> Demands:
        if listed:
            return (_like(f"*\\{number!r}\\*" for number in self.numbers),)
        return (_any_of(self.numbers),)

    def holds(self, value: Any) -> bool:
        try:
            return float(value) in self.numbers
        except (TypeError, ValueError):
            return False


@dataclass(frozen=True)
class Name:
    """A person's name, folded; what matches one of its groups matches (PS3.5 6.2.1).

    Attributes
    ----------
    patterns : tuple of tuple of str
        Of every inner tuple one must match a group.
    """

    patterns: tuple[tuple[str, ...], ...]

    def demands(self, *, listed: bool = False) -> Demands:  # noqa: ARG002
        """Return it for a column of folded names."""
        return tuple(_like(map(_in_groups, choices)) for choices in self.patterns)

    def holds(self, value: Any) -> bool:
        name = folded_name(value) or ""
        return all(any(is_like(name, _in_groups(choice)) for choice in choices) for choices in self.patterns)


@lru_cache(maxsize=1024)
def matcher(keyword: str, vr: str, value: str, *, fuzzy: bool) -> Matcher | None:
    """Understand the value of a key.

    Parameters
    ----------
    keyword : str
        Of the attribute, for errors.
    vr : str
        Value representation of the attribute.
    value : str
        As in `Key`.
    fuzzy : bool
        As in `Search`.

    Returns
    -------
    Matcher or None
        None if every value matches (universal matching, PS3.4 C.2.2.2.3).

    Raises
    ------
    ArgumentError
        If the value is malformed, or too long.
    """
    value = value.strip()
    if not value.strip("*"):
        return None
    texts = _listed(vr, value)
    if any(len(text) > MOST_CHARACTERS for text in texts):
        problem = f"a value of more than {MOST_CHARACTERS} characters cannot be looked for"
        raise ArgumentError(keyword, problem, "Write a part of it.")
    if vr in _MOMENT_EXAMPLES:
        return _between(keyword, vr, value)
    if vr in _NUMBER_VRS:
        try:
            return Equal(tuple(map(float, texts)))
        except ValueError as error:
            raise ArgumentError(keyword, f"{value!r} is no number", "Write a number, without wildcards.") from error
    if vr == "PN":
        if not fold(value).strip("*"):  # nothing is left: it was a star with empty components after it
            return None
        return Name(_words(value) if fuzzy else ((fold(value),),))
    if vr == "UI" and has_wildcard(value):  # whatever else objects have as UIDs, malformed ones too, is looked for
        raise ArgumentError(keyword, f"{value!r} is no UID", "Write UIDs without wildcards, commas between several.")
    return OneOf(texts)


def _listed(vr: str, value: str) -> tuple[str, ...]:
    """Divide a list of values. A backslash is in no value; a comma is in none of UIDs, codes and numbers."""
    if vr == "PN" or vr in _MOMENT_EXAMPLES:
        return (value,)
    texts = (text.strip() for text in re.split(r"[,\\]" if vr in {"UI", "CS", *_NUMBER_VRS} else r"\\", value))
    return tuple(dict.fromkeys(filter(None, texts)))


def _between(keyword: str, vr: str, value: str) -> Between:
    malformed = ArgumentError(keyword, f"{value!r} is no {vr} value or range of them", f"Write {_MOMENT_EXAMPLES[vr]}.")
    first, last = value, value
    if "-" in value and not (vr == "DT" and _DATE_TIME_WITH_OFFSET.fullmatch(value)):
        first, last = _split_range(vr, value)
    ends = [bounds(vr, end) if end else None for end in (first, last)]
    if any(end and not found for end, found in zip((first, last), ends, strict=True)) or not any(ends):
        raise malformed
    return Between(vr, ends[0] and ends[0][0], ends[1] and ends[1][1])


def _split_range(vr: str, value: str) -> tuple[str, str]:
    """Split a range at its dash, which is none of an offset from UTC."""
    for match in re.finditer("-", value):
        first, last = value[: match.start()].strip(), value[match.end() :].strip()
        if all(not end or bounds(vr, end) for end in (first, last)):
            return first, last
    return value, value


def _words(value: str) -> tuple[tuple[str, ...], ...]:
    """Return what demands every word to be there, in any order: at the beginning of one, unless a star precedes it."""
    words = filter(None, (fold(word).rstrip("*") for word in re.split(r"[\^ =,-]+", value)))
    return tuple(
        (f"{word}*",) if word.startswith("*") else (f"{word}*", *(f"*{mark}{word}*" for mark in _BETWEEN_WORDS))
        for word in words
    )


def _like(patterns: Iterable[str]) -> tuple[Comparison, ...]:
    return tuple(Comparison(Operator.LIKE, pattern) for pattern in patterns)


def _any_of(values: tuple[Any, ...]) -> tuple[Comparison, ...]:
    if len(values) == 1:
        return (Comparison(Operator.EQUAL, values[0]),)
    return (Comparison(Operator.IN, values),) if values else ()


def _in_groups(pattern: str) -> str:
    """Return a pattern of one group of a name as one of all its groups, ``=group=group=``."""
    begin = "" if pattern.startswith("*") else "*="
    end = "" if pattern.endswith("*") else "=*"
    return f"{begin}{pattern}{end}"


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else str(value)
