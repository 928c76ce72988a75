"""Metadata of many instances in one compressed text, out of which each can be cut."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbx.pixels.index._packing import join
from dbx.pixels.index.model import BULK_ROOT

#: Bytes of text at which a pack is full: an instance is cut out of one, and what is added to a series rewrites one.
PACK_BYTES = 512 * 2**10

_CODEC = pa.Codec("zstd", compression_level=1)

#: Up to the key of the first element that is not of group 0002. Quotation marks inside values are escaped, so that this
#: is found in no value; elements of group 0002 hold no others.
_DATA_SET = (
    r'[{,]\s*"(?:[1-9A-Fa-f][0-9A-Fa-f]{3}|0[1-9A-Fa-f][0-9A-Fa-f]{2}|00[1-9A-Fa-f][0-9A-Fa-f]|000[013-9A-Fa-f])'
    r'[0-9A-Fa-f]{4}"\s*:'
)
_HOST_FREE = re.compile(rb'"BulkDataURI"\s*:\s*"bulkdata/')

#: The longest root of a server that can be written into what is compressed.
_LONGEST_ROOT = 96
_KEY = b'"BulkDataURI":'
#: How addresses of bulk data begin in packs. The spaces, which JSON does not mind, leave room for longer roots.
_ROOTED = _KEY + (b'"' + BULK_ROOT).rjust(_LONGEST_ROOT + 1)


class Pack(NamedTuple):
    """Metadata of some instances of a series: JSON objects with commas between them.

    Attributes
    ----------
    data : bytes
        The text as `compress` has written it.
    size : int
        Bytes of the text.
    """

    data: bytes
    size: int

    def text(self) -> bytes:
        """Return the text, in which addresses of bulk data begin with `BULK_ROOT`."""
        return _CODEC.decompress(self.data, decompressed_size=self.size, asbytes=True)

    def cut(self, places: Iterable[Any]) -> Iterator[bytes]:
        """Yield the data sets at some places (`start`, `size`)."""
        text = self.text()
        return (text[place.start : place.start + place.size] for place in places)


def packed(data_sets: Iterable[bytes]) -> Iterator[Pack]:
    """Pack data sets that were cut out of packs."""
    some: list[bytes] = []
    size = 0
    for data_set in data_sets:
        some.append(data_set)
        size += len(data_set)
        if size > PACK_BYTES:
            yield _packed(some)
            some, size = [], 0
    if some:
        yield _packed(some)


def _packed(data_sets: list[bytes]) -> Pack:
    text = b",".join(data_sets)
    return Pack(compress(text), len(text))


class Filled(NamedTuple):
    """A pack, with the place of each data set in its text."""

    pack: Pack
    starts: list[int]
    sizes: list[int]


def data_sets(column: pa.ChunkedArray) -> list[memoryview]:
    """Cut the column `meta` into data sets without their opening braces, and without group 0002.

    That group never leaves through DICOMweb.
    """
    found: list[memoryview] = []
    for chunk in column.chunks:
        array = chunk.cast(pa.large_string())
        _, offsets, values = array.buffers()
        bounds = np.frombuffer(offsets, np.int64)[array.offset :][: len(array) + 1]
        keys = pc.find_substring_regex(array, _DATA_SET).to_numpy()
        begins = np.where(keys < 0, bounds[1:] - 1, bounds[:-1] + keys + 1)  # the closing brace, if there is no key
        text = memoryview(values or b"")
        found += [text[begin:end] for begin, end in zip(begins.tolist(), bounds[1:].tolist(), strict=True)]
    return found


def fill(data_sets: list[memoryview], study: str, series: str, instances: Sequence[str], begun: bytes = b"") -> Filled:
    """Make a pack of data sets of a series. Most of the time the GIL is released.

    Parameters
    ----------
    data_sets : list of memoryview
        Without their opening braces; so many as `divide` says.
    study, series : str
        UIDs of the series and its study.
    instances : sequence of str
        SOP Instance UIDs of the data sets.
    begun : bytes
        The text of a pack that it continues.
    """
    some: list[memoryview | bytes] = [*data_sets]
    text, has_bulk_data = join(some, b'"BulkDataURI"')
    if has_bulk_data:
        some = [_rooted(*named, study, series) for named in zip(data_sets, instances, strict=True)]
        text, _ = join(some, b"")
    head = begun + b"," if begun else b""
    text = head + text
    sizes = [len(data_set) + 1 for data_set in some]
    starts = list(accumulate((size + 1 for size in sizes[:-1]), initial=len(head)))
    data = compress(text) if has_bulk_data or begun else _CODEC.compress(text, asbytes=True)
    return Filled(Pack(data, len(text)), starts, sizes)


def divide(data_sets: Sequence[memoryview], begun: int) -> Iterator[slice]:
    """Divide data sets into those of one pack each; the first one has so many bytes already."""
    begin, size = 0, begun
    for number, data_set in enumerate(data_sets):
        if number > begin and size > PACK_BYTES:
            yield slice(begin, number)
            begin, size = number, 0
        size += len(data_set)
    if data_sets:
        yield slice(begin, len(data_sets))


def _rooted(data_set: memoryview, instance: str, study: str, series: str) -> bytes:
    """Make the host-free addresses of bulk data begin with `BULK_ROOT` and the instance's path."""
    uids = (quote(uid, safe="").encode() for uid in (study, series, instance))
    address = b"%s/studies/%s/series/%s/instances/%s/bulkdata/" % (_ROOTED, *uids)
    return _HOST_FREE.sub(lambda _: address, bytes(data_set))


def resolved(pack: bytes, root: bytes) -> bytes:
    """Make addresses of bulk data begin with the root of a server, such as ``http://host/dicom-web``.

    Parameters
    ----------
    pack : bytes
        The text of a pack, or, if `is_short` says so, what `compress` has made of it.
    """
    return pack.replace(_ROOTED, _KEY + (b'"' + root).rjust(_LONGEST_ROOT + 1))


def is_short(root: bytes) -> bool:
    """Tell whether a root is short enough to be written into what is compressed."""
    return len(root) <= _LONGEST_ROOT


def compress(text: bytes) -> bytes:
    """Compress the text of a pack into one Zstandard frame, in which addresses of bulk data can be resolved.

    How they begin is in there as it is, and nothing else refers to it (RFC 8878, 3.1.1.2): whatever of the same length
    is written over it, all the rest stays as it was.
    """
    first, *others = text.split(_ROOTED)
    if not others:
        return _CODEC.compress(text, asbytes=True)
    sink = pa.BufferOutputStream()
    noise = [os.urandom(len(_ROOTED)) for _ in others]
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(first)
        for random, other in zip(noise, others, strict=True):
            # Noise in a block of its own cannot be compressed, and nothing after it is the same.
            stream.flush()
            stream.write(random)
            stream.flush()
            stream.write(other)
    data, at = bytearray(sink.getvalue()), 0
    for random in noise:
        at = data.index(random, at)
        data[at : at + len(random)] = _ROOTED
    return bytes(data)


_BRACKETS = (b"[", b",", b"]")
_FRAMES = tuple(map(compress, _BRACKETS))


def array(packs: Iterable[bytes], *, compressed: bool) -> Iterator[bytes]:
    """Yield one JSON array of what is in packs, piece by piece.

    Parameters
    ----------
    packs : iterable of bytes
        One at least: texts, or what `compress` has made of them.
    """
    before, comma, end = _FRAMES if compressed else _BRACKETS
    last = None
    for pack in packs:
        if last is not None:
            yield before + last
            before = comma
        last = pack
    yield before + (last or b"") + end
