"""Making broken DICOM files out of good ones."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom.data

_LARGEST_SEED = 40_000

#: Lengths that lie: none, odd, almost and quite undefined, beyond any file, and where signs and sums overflow.
_LENGTHS = (0, 1, 3, 7, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF7, 0xFFFFFFFE, 0xFFFFFFFF)

_VRS = tuple(vr.encode() for vr in ("SQ", "UN", "OB", "PN", "DS", "IS", "US", "FL", "AT", "UT", "ZZ"))

#: Implicit VR, explicit VR, big endian, deflated, and two that are encapsulated.
_TRANSFER_SYNTAXES = tuple(b"1.2.840.10008.1.2" + end for end in (b"", b".1", b".2", b".1.99", b".4.50", b".5"))

_VR = re.compile(b"A[EST]|CS|D[AST]|F[DL]|IS|L[OT]|O[BDFLVW]|PN|S[HLQSTV]|TM|U[CILNRSTV]")

#: Bytes that mean something to a parser: items, delimiters, VRs, separators, escapes, pixel data.
_TOKENS = (
    b"\xfe\xff\x00\xe0\xff\xff\xff\xff",
    b"\xfe\xff\x00\xe0\x08\x00\x00\x00",
    b"\xfe\xff\x0d\xe0\x00\x00\x00\x00",
    b"\xfe\xff\xdd\xe0\x00\x00\x00\x00",
    b"\x40\x00\x75\xa0SQ\x00\x00\xff\xff\xff\xff",
    b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 192",
    b"\x08\x00\x05\x00CS\x08\x00GB18030 ",
    b"\x08\x00\x05\x00CS\x10\x00\\ISO 2022 IR 87 ",
    b"\x28\x00\x03\x01US\x02\x00\x01\x00",
    b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff",
    b"\xe0\x7f\x01\x00OV\x00\x00\x08\x00\x00\x00",
    b"\x00\x00\x00\x00\x00\x00\x00\x00",
    *_VRS,
    b"\\" * 9,
    b"=" * 5,
    b"\x1b$B",
    b"1e999",
    b"-",
    b'"\n\x00',
)


def seeds() -> list[bytes]:
    """Read pydicom's small files, and make sequences nested far deeper than any reader goes."""
    folder = Path(pydicom.data.__file__).parent
    paths = sorted(path for name in ("test_files", "charset_files") for path in (folder / name).rglob("*"))
    contents = [path.read_bytes() for path in paths if path.is_file() and path.stat().st_size <= _LARGEST_SEED]
    return [*contents, _nested(99), _nested(10_000), _nested_with_lengths(99), _nested_with_lengths(10_000)]


def mutations(seeds: list[bytes], random: random.Random) -> Iterator[bytes]:
    """Break files without end."""
    while True:
        content = bytearray(random.choice(seeds))
        for _ in range(random.choice((1, 1, 2, 4, 16))):
            if content:
                random.choice(_CHANGES)(content, seeds, random)
        yield bytes(content)


def _nested(depth: int) -> bytes:
    opened = _TOKENS[4] + _TOKENS[0]
    return bytes(128) + b"DICM" + opened * depth + (_TOKENS[2] + _TOKENS[3]) * depth


def _nested_with_lengths(depth: int) -> bytes:
    opened = b""
    for length in range(20 * depth, 0, -20):
        opened += _TOKENS[4][:8] + struct.pack("<I", length - 12) + _TOKENS[0][:4] + struct.pack("<I", length - 20)
    return bytes(128) + b"DICM" + opened


# --- Changes, each of one place ---


def _flip(content: bytearray, _: list[bytes], random: random.Random) -> None:
    content[random.randrange(len(content))] = random.randrange(256)


def _lie(content: bytearray, _: list[bytes], random: random.Random) -> None:
    """Overwrite what may be a length."""
    at = random.randrange(len(content)) & ~1
    length = random.choice(_LENGTHS)
    lie = struct.pack("<I", length) if random.random() < 0.5 else struct.pack("<H", length & 0xFFFF)
    content[at : at + len(lie)] = lie


def _insert(content: bytearray, _: list[bytes], random: random.Random) -> None:
    at = random.randrange(len(content)) & ~1
    content[at:at] = random.choice(_TOKENS)


def _overwrite(content: bytearray, _: list[bytes], random: random.Random) -> None:
    at, token = random.randrange(len(content)), random.choice(_TOKENS)
    content[at : at + len(token)] = token


def _cut(content: bytearray, _: list[bytes], random: random.Random) -> None:
    del content[random.randrange(len(content)) :]


def _remove(content: bytearray, _: list[bytes], random: random.Random) -> None:
    at = random.randrange(len(content))
    del content[at : at + random.choice((1, 2, 8, 100))]


def _repeat(content: bytearray, _: list[bytes], random: random.Random) -> None:
    at = random.randrange(len(content))
    content[at:at] = content[at : at + random.choice((8, 50, 500))] * random.choice((1, 2, 20))


def _splice(content: bytearray, seeds: list[bytes], random: random.Random) -> None:
    """Go on with the end of another file."""
    other = random.choice(seeds)
    content[random.randrange(len(content)) :] = other[random.randrange(len(other)) :]


def _change_vr(content: bytearray, _: list[bytes], random: random.Random) -> None:
    places = [match.start() for match in _VR.finditer(content)]
    if places:
        at = random.choice(places)
        content[at : at + 2] = random.choice(_VRS)


def _change_transfer_syntax(content: bytearray, _: list[bytes], random: random.Random) -> None:
    """Promise another one, and leave the data set as it is."""
    at = content.find(b"\2\0\x10\0UI")
    if at < 0:
        return
    length = int.from_bytes(content[at + 6 : at + 8], "little")
    uid = random.choice(_TRANSFER_SYNTAXES)
    uid += bytes(len(uid) % 2)
    content[at + 6 : at + 8 + length] = struct.pack("<H", len(uid)) + uid


_CHANGES: tuple[Callable[[bytearray, list[bytes], random.Random], None], ...] = (
    _flip,
    _lie,
    _lie,
    _insert,
    _overwrite,
    _cut,
    _remove,
    _repeat,
    _splice,
    _change_vr,
    _change_vr,
    _change_transfer_syntax,
)
