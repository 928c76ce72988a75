"""Character sets of DICOM (PS3.5 section 6.1) for the native core, which decodes only the simple ones itself."""

from __future__ import annotations

from functools import lru_cache

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.valuerep import TEXT_VR_DELIMS

from dbx.pixels.dicom.quiet import quiet

_ESCAPE = 0x1B
_ASCII = bytes(byte for byte in range(128) if byte != _ESCAPE)
_HIGH_BYTES = range(128, 256)
_NO_CHARACTER = "\N{REPLACEMENT CHARACTER}"


@lru_cache(maxsize=256)
def describe(specific_character_set: bytes) -> tuple[str, list[int]]:
    """Tell how text without escape sequences is decoded.

    Parameters
    ----------
    specific_character_set : bytes
        Value of (0008,0005), without padding.

    Returns
    -------
    tuple of str and list of int
        ``single-byte`` with the code points of the bytes 0x80 to 0xFF (0 where there is none); else an empty list with
        ``utf-8``, with ``multi-byte`` where ASCII is ASCII, or with ``other``.
    """
    encoding = _encodings(specific_character_set)[0]
    try:
        if _ASCII.decode(encoding) != _ASCII.decode("ascii"):
            return "other", []
        if encoding.replace("-", "").lower() == "utf8":
            return "utf-8", []
        characters = [bytes([byte]).decode(encoding, "replace") for byte in _HIGH_BYTES]
        # The lead byte of a multi-byte encoding is nothing by itself, but something together with others.
        followed = [bytes([byte, 0xA1]).decode(encoding, "replace") for byte in _HIGH_BYTES]
    except (UnicodeError, LookupError):
        return "other", []
    if any(len(pair) != 2 for pair in followed) or any(len(text) != 1 or ord(text) > 0xFFFF for text in characters):
        return "multi-byte", []
    return "single-byte", [0 if character == _NO_CHARACTER else ord(character) for character in characters]


def decode(text: bytes, specific_character_set: bytes) -> str:
    """Decode text as pydicom does, escape sequences of ISO 2022 included.

    Bytes that the character set does not know become replacement characters.
    """
    encodings = _encodings(specific_character_set)
    if _ESCAPE not in text:
        try:
            return text.decode(encodings[0])
        except (UnicodeError, LookupError):
            pass  # pydicom knows what to do
    with quiet():
        return decode_bytes(text, encodings, TEXT_VR_DELIMS)


@lru_cache(maxsize=256)
def _encodings(specific_character_set: bytes) -> list[str]:
    with quiet():
        return convert_encodings(specific_character_set.decode("latin-1").split("\\"))
