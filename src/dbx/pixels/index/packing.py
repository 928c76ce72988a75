"""Metadata of many instances in one compressed text, out of which each can be cut."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple
from urllib.parse import quote

import pyarrow as pa

from dbx.pixels.index.model import BULK_ROOT

#: Uncompressed bytes at which a pack is full: few series are larger, and adding to one rewrites its last pack only.
PACK_BYTES = 16 * 2**20

#: The most that is decompressed at once of what is not wanted.
_SKIPPED_BYTES = 2**20

_CODEC = pa.Codec("zstd", compression_level=1)

#: The key of the first element that is not of group 0002. Quotation marks inside values are escaped, so that this is
#: found in no value; elements of group 0002 hold no others.
_DATA_SET = re.compile(rb'[{,]\s*("(?!0002)[0-9A-Fa-f]{8}"\s*:)')
_BULK = re.compile(rb'("BulkDataURI"\s*:\s*")(?=bulkdata/)')


class Text(NamedTuple):
    """The text of a pack, with the place of each data set in it."""

    text: bytes
    starts: list[int]
    sizes: list[int]

    @property
    def has_bulk(self) -> bool:
        """Whether `BULK_ROOT` occurs in it."""
        return BULK_ROOT in self.text


class Metadata:
    """The column `meta` of some rows; group 0002, which never leaves through DICOMweb, is cut off when it is read."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        chunks = [chunk.cast(pa.large_string()) for chunk in column.chunks]
        array = pa.concat_arrays(chunks or [pa.array([], pa.large_string())])
        _, offsets, text = array.buffers()
        self._offsets = memoryview(offsets).cast("q")[array.offset :]
        self._text = memoryview(text or b"")

    def after_brace(self, row: int) -> memoryview | bytes:
        """Return the data set of a row without its opening brace."""
        end = self._offsets[row + 1]
        match = _DATA_SET.search(self._text, self._offsets[row], end)
        return self._text[match.start(1) : end] if match else b"}"


def texts(data_sets: Sequence[memoryview | bytes], study: str, series: str, instances: Sequence[str]) -> Iterator[Text]:
    """Write the data sets of a series into the texts of its packs: one, unless they are much.

    Parameters
    ----------
    data_sets : sequence of memoryview or bytes
        Without their opening braces.
    study, series : str
        UIDs of the series and its study.
    instances : sequence of str
        SOP Instance UIDs of the data sets.

    Yields
    ------
    Text
        One after the other, they are one JSON array.
    """
    begins, size = [0], 0
    for number, data_set in enumerate(data_sets):
        if size > PACK_BYTES:
            begins.append(number)
            size = 0
        size += len(data_set)
    for begin, end in zip(begins, [*begins[1:], len(data_sets)], strict=True):
        some = data_sets[begin:end]
        head, tail = (b"[{" if begin == 0 else b",{"), (b"]" if end == len(data_sets) else b"")
        text = head + b",{".join(some) + tail
        if b'"BulkDataURI"' in text:
            some = [_with_root(*named, study, series) for named in zip(some, instances[begin:end], strict=True)]
            text = head + b",{".join(some) + tail
        sizes = [len(data_set) + 1 for data_set in some]
        yield Text(text, list(accumulate((size + 1 for size in sizes[:-1]), initial=1)), sizes)


def _with_root(data_set: memoryview | bytes, instance: str, study: str, series: str) -> bytes:
    """Make the host-free addresses of bulk data begin with `BULK_ROOT` and the instance's path."""
    uids = (quote(uid, safe="").encode() for uid in (study, series, instance))
    root = b"%s/studies/%s/series/%s/instances/%s/" % (BULK_ROOT, *uids)
    return _BULK.sub(lambda match: match[1] + root, bytes(data_set))


def compress(text: bytes) -> bytes:
    """Compress the text of a pack."""
    return _CODEC.compress(text, asbytes=True)


def open_text(data: bytes) -> pa.NativeFile:
    """Open the text of a pack, so that no more of it is in memory than is read."""
    return pa.CompressedInputStream(pa.BufferReader(data), _CODEC.name)


def cut(data: bytes, places: Iterable[Any]) -> Iterator[bytes]:
    """Yield the data sets of a pack at some places (`start`, `size`), which are in order."""
    text, at = open_text(data), 0
    for place in places:
        while at < place.start:
            at += len(text.read(min(place.start - at, _SKIPPED_BYTES)))
        yield text.read(place.size)
        at += place.size
