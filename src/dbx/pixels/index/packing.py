"""Metadata of many instances in one compressed text, out of which each can be cut."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

import pyarrow as pa

from dbx.pixels.index.model import BULK_ROOT

#: Uncompressed bytes at which a pack is full: few series are larger, and adding to one rewrites its last pack only.
PACK_BYTES = 16 * 2**20

_CODEC = pa.Codec("zstd", compression_level=1)

#: The key of the first element that is not of group 0002. Quotation marks inside values are escaped, so that this is
#: found in no value; elements of group 0002 hold no others.
_DATA_SET = re.compile(rb'[{,]\s*("(?!0002)[0-9A-Fa-f]{8}"\s*:)')
_BULK = re.compile(rb'("BulkDataURI"\s*:\s*")(?=bulkdata/)')


class Packed(NamedTuple):
    """A text of some instances, compressed, with the place of each one in it."""

    data: bytes
    size: int
    has_bulk: bool
    starts: list[int]
    sizes: list[int]


def without_file_meta(meta: bytes | memoryview) -> bytes:
    """Cut group 0002, which never leaves through DICOMweb, off the metadata of an object."""
    match = _DATA_SET.search(meta)
    return b"{" + bytes(meta[match.start(1) :]) if match else b"{}"


def with_bulk_root(data_set: bytes, study: str, series: str, instance: str) -> bytes:
    """Make the host-free addresses of bulk data begin with `BULK_ROOT` and the instance's path."""
    if b'"BulkDataURI"' not in data_set:
        return data_set
    root = b"%s/studies/%s/series/%s/instances/%s/" % (
        BULK_ROOT,
        *(quote(uid, safe="").encode() for uid in (study, series, instance)),
    )
    return _BULK.sub(lambda match: match[1] + root, data_set)


def compress(data_sets: Sequence[bytes], *, is_first: bool, is_last: bool) -> Packed:
    """Pack data sets; the texts of the packs from the first to the last make one JSON array."""
    starts, at = [], 1
    for data_set in data_sets:
        starts.append(at)
        at += len(data_set) + 1
    text = (b"[" if is_first else b",") + b",".join(data_sets) + (b"]" if is_last else b"")
    return Packed(
        _CODEC.compress(text, asbytes=True),
        len(text),
        BULK_ROOT in text,
        starts,
        [len(data_set) for data_set in data_sets],
    )


def decompress(data: bytes, size: int) -> bytes:
    """Return the text of a pack, or of several one after the other, of which `size` is the length."""
    return _CODEC.decompress(data, decompressed_size=size, asbytes=True)
