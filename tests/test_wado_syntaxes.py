"""Transfer syntaxes: what the client accepts against what can be made of what is stored."""

from __future__ import annotations

import pytest
from pydicom.uid import (
    HTJ2K,
    MPEG4HP41,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)
from starlette.requests import Request

from dbx.pixels.web.dicomweb.media import ranges_of
from dbx.pixels.web.dicomweb.syntaxes import DEFAULT, frame_representation, object_syntax
from dbx.pixels.web.errors import HttpError

OCTETS = "application/octet-stream"
JPEG_XL = "1.2.840.10008.1.2.4.112"


@pytest.mark.parametrize(
    ("stored", "wanted", "sent"),
    [
        (ImplicitVRLittleEndian, [ExplicitVRLittleEndian], ExplicitVRLittleEndian),
        (RLELossless, [ExplicitVRLittleEndian], ExplicitVRLittleEndian),
        (RLELossless, ["*"], RLELossless),
        (RLELossless, [JPEGBaseline8Bit, RLELossless], RLELossless),
        (RLELossless, [JPEGBaseline8Bit, ExplicitVRLittleEndian], ExplicitVRLittleEndian),
        (RLELossless, [JPEGBaseline8Bit], None),
        (RLELossless, [DEFAULT], ExplicitVRLittleEndian),
        (MPEG4HP41, [ExplicitVRLittleEndian], None),
        (MPEG4HP41, [DEFAULT], MPEG4HP41),
        (MPEG4HP41, ["*"], MPEG4HP41),
        ("1.2.3.4", [ExplicitVRLittleEndian], None),
        ("1.2.3.4", [DEFAULT], None),
        ("1.2.3.4", ["*"], "1.2.3.4"),
        (None, ["*"], ExplicitVRLittleEndian),
        ("1.2\r\nX: y", ["*"], ExplicitVRLittleEndian),
    ],
)
def test_objects_are_sent_in_the_first_syntax_that_is_possible(
    stored: str | None, wanted: list[str], sent: str | None
) -> None:
    assert object_syntax(stored, wanted) == sent


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a/b, c/d;q=0.1", ["a/b", "c/d"]),
        ('multipart/related; type="a/b,c"; x="1", c/d', ["a/b,c", "c/d"]),
        ('a/b; x="open, c/d', ["a/b"]),
        (", ,\t,a/b,,", ["a/b"]),
        ("," * 2_000_000 + "a/b", ["a/b"]),
        ('a/b;x="",' * 200_000, ["a/b"] * 200_000),
    ],
    ids=["two", "quotes", "an open quote", "nothing between", "very long", "very many"],
)
def test_what_a_client_accepts_is_divided_at_commas(text: str, names: list[str]) -> None:
    assert [range_.name for range_ in ranges_of((text,))] == names


def representation(stored: str, accept: str, *, bits_allocated: int = 16, single: bool = True) -> str:
    request = Request({"type": "http", "query_string": b"", "headers": [(b"accept", accept.encode())]})
    chosen = frame_representation(request, stored, bits_allocated=bits_allocated, single=single)
    assert chosen.content_type == f"{chosen.media_type.name}; transfer-syntax={chosen.transfer_syntax}"
    return f"{chosen.media_type}; {chosen.transfer_syntax}"


@pytest.mark.parametrize(
    ("stored", "accept", "sent"),
    [
        (RLELossless, "*/*", f'multipart/related; type="{OCTETS}"; {ExplicitVRLittleEndian}'),
        (RLELossless, f"{OCTETS}; transfer-syntax=*", f"{OCTETS}; {RLELossless}"),
        (RLELossless, "image/*", f"image/dicom-rle; {RLELossless}"),
        (HTJ2K, "image/jphc", f"image/jphc; {HTJ2K}"),
        (JPEGBaseline8Bit, f"image/jls, {OCTETS};q=0.1", f"{OCTETS}; {ExplicitVRLittleEndian}"),
        (DeflatedExplicitVRLittleEndian, f"{OCTETS}; transfer-syntax=*", f"{OCTETS}; {ExplicitVRLittleEndian}"),
        ("1.2.3.4", f"{OCTETS}; transfer-syntax=*", f"{OCTETS}; 1.2.3.4"),
    ],
)
def test_frames_are_sent_as_the_client_likes_best(stored: str, accept: str, sent: str) -> None:
    assert representation(stored, accept) == sent


def test_frames_that_viewers_do_not_decode_are_sent_uncompressed_unless_they_are_asked_for() -> None:
    any_syntax, as_stored = f"{OCTETS}; transfer-syntax=*", f"{OCTETS}; transfer-syntax={RLELossless}"

    assert representation(RLELossless, any_syntax, bits_allocated=32) == f"{OCTETS}; {ExplicitVRLittleEndian}"
    assert representation(RLELossless, as_stored, bits_allocated=32) == f"{OCTETS}; {RLELossless}"
    assert representation(JPEG_XL, any_syntax) == f"{OCTETS}; {ExplicitVRLittleEndian}"


@pytest.mark.parametrize(
    ("stored", "accept"),
    [
        (RLELossless, "image/jpeg"),
        (RLELossless, f"{OCTETS}; transfer-syntax={JPEGBaseline8Bit}"),
        ("1.2.3.4", OCTETS),
        (MPEG4HP41, f"{OCTETS}; transfer-syntax=*"),
    ],
)
def test_what_is_impossible_is_406_and_says_what_is_possible(stored: str, accept: str) -> None:
    with pytest.raises(HttpError, match="can be had as") as caught:
        representation(stored, accept)
    assert caught.value.status_code == 406
