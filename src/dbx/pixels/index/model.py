"""What is asked of the serving index, and what it answers: plain values that know neither SQL nor HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

#: Stands in stored metadata and in answers for the root of a server, as the client knows it: a `BulkDataURI` is
#: ``<BULK_ROOT>/studies/<study>/series/<series>/instances/<instance>/bulkdata/<tag path>``. Whoever sends them on
#: replaces it.
BULK_ROOT = b"urn:x-pixels:dicom-web-root"


class Level(StrEnum):
    """What a search finds (PS3.18 10.6.1.2)."""

    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"


@dataclass(frozen=True)
class Key:
    """One matching key of a search (PS3.18 8.3.4.1).

    Attributes
    ----------
    tags : tuple of str
        ``GGGGEEEE`` of the attribute, or of a sequence and of those inside it.
    value : str
        As the client wrote it, decoded: wildcards, ranges, lists of UIDs separated by a comma or a backslash; empty
        for an attribute that is only to be returned.
    """

    tags: tuple[str, ...]
    value: str


@dataclass(frozen=True)
class Search:
    """A search transaction (PS3.18 10.6).

    Attributes
    ----------
    level : Level
        What is looked for.
    study, series : str or None
        UIDs of the request's path.
    keys : tuple of Key
        All of them must match.
    include : frozenset of str
        ``GGGGEEEE`` of attributes that are wanted besides those that always come.
    include_all : bool
        Whether all that is known at the level is wanted.
    fuzzy : bool
        Whether words of names match in any order and by their beginnings; what matches otherwise matches, too.
    limit : int or None
        Most results; None for all.
    offset : int
        Results that are skipped.
    """

    level: Level
    study: str | None = None
    series: str | None = None
    keys: tuple[Key, ...] = ()
    include: frozenset[str] = frozenset()
    include_all: bool = False
    fuzzy: bool = False
    limit: int | None = None
    offset: int = 0


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes
    ----------
    texts : list of bytes
        Data sets in the DICOM JSON model, in UTF-8, without empty attributes; RetrieveURL and values of `BulkDataURI`
        begin with `BULK_ROOT`.
    warnings : list of str
        Texts for Warning 299, such as keys that were ignored (PS3.18 8.3.4).
    """

    texts: list[bytes]
    warnings: list[str]

    @property
    def datasets(self) -> list[dict[str, Any]]:
        """The data sets that the texts hold."""
        return [orjson.loads(text) for text in self.texts]


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance, with what is needed to read its object without parsing it.

    Attributes
    ----------
    path, local_path : str
        Of the object; the latter opens it.
    length : int
        Bytes of the object.
    modificationTime : datetime.datetime or None
        None if it is not known, as of an object that was found missing.
    pixels : mapping
        The columns `dbx.pixels.dicom.image.PIXEL_COLUMNS`; `pixel_data` is None without pixel data.
    """

    StudyInstanceUID: str
    SeriesInstanceUID: str
    SOPInstanceUID: str
    SOPClassUID: str
    TransferSyntaxUID: str | None
    path: str
    local_path: str
    length: int
    modificationTime: datetime | None
    pixels: Mapping[str, Any]
