"""Splitting multipart bodies: the same parts however a body arrives, and no mercy for broken ones."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dbx.pixels.web.dicomweb.multipart import (
    LARGEST_HEADERS,
    LARGEST_PADDING,
    MultipartError,
    PartBegins,
    PartEnds,
    Splitter,
)

Parts = list[tuple[dict[str, str], bytes]]


def split(body: bytes, boundary: str = "b", cuts: list[int] | None = None) -> Parts:
    """Split a body that arrives cut at the given places, in one piece by default."""
    splitter = Splitter(boundary)
    parts: list[tuple[dict[str, str], bytearray]] = []
    complete = 0
    edges = [0, *sorted(cuts or []), len(body)]
    for start, end in pairwise(edges):
        for event in splitter.feed(body[start:end]):
            if isinstance(event, PartBegins):
                parts.append((event.headers, bytearray()))
            elif isinstance(event, PartEnds):
                complete += 1
            else:
                assert event, "an event without content"
                parts[-1][1].extend(event)
    splitter.finish()
    assert complete == len(parts)
    return [(headers, bytes(content)) for headers, content in parts]


def outcome(body: bytes, cuts: list[int]) -> Parts | str:
    """Split a body, or say why it is broken."""
    try:
        return split(body, cuts=cuts)
    except MultipartError as error:
        return str(error)


def test_parts_with_and_without_headers() -> None:
    syntax = "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
    body = (
        b"--b\r\nContent-Type: " + syntax.encode() + b"\r\nContent-Location: /1\r\n\r\none"
        b"\r\n--b\r\n\r\ntwo"
        b"\r\n--b\r\nX-Folded: a\r\n  b\r\n\r\n"
        b"\r\n--b--\r\n"
    )
    assert split(body) == [
        ({"content-type": syntax, "content-location": "/1"}, b"one"),
        ({}, b"two"),
        ({"x-folded": "a b"}, b""),
    ]


def test_preamble_epilogue_and_padding_are_no_content() -> None:
    body = (
        b"a preamble\r\n--b \t \r\n\r\none\r\n--b  \r\n\r\ntwo\r\n--b--  \r\nan epilogue\r\n--b\r\n\r\nno part\r\n--b--"
    )
    assert [content for _, content in split(body)] == [b"one", b"two"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n",
        b"\r\n--",
        b"--b",
        b"\r\n--bc\r\n",
        b"\r\n--b-\r\n",
        b"\r\n--b \t-",
        b"\r\n\r\n--a",
        b"\r" * 9,
        b"\n--b--",
    ],
)
def test_content_that_resembles_a_delimiter_is_kept(content: bytes) -> None:
    assert split(b"--b\r\n\r\n" + content + b"\r\n--b--") == [({}, content)]


@pytest.mark.parametrize("boundary", ["a b", "x" * 70, "0f3cf5c0-70e0", "----WebKit'()+_,./:=?"])
def test_all_boundaries_that_the_standard_allows(boundary: str) -> None:
    body = f"--{boundary}\r\n\r\none\r\n--{boundary}--".encode()
    assert split(body, boundary) == [({}, b"one")]


@pytest.mark.parametrize("boundary", ["", "x" * 71, "ends with a space ", "two\r\nlines", "ü", '"'])
def test_other_boundaries_are_refused(boundary: str) -> None:
    with pytest.raises(MultipartError, match="is no boundary"):
        Splitter(boundary)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "before its closing boundary"),
        (b"no multipart at all", "before its closing boundary"),
        (b"--b\r\n\r\none", "before its closing boundary"),
        (b"--b\r\n\r\none\r\n--b", "before its closing boundary"),
        (b"--b\r\n\r\none\r\n--b\r\n", "before its closing boundary"),
        (b"--b\r\nno header\r\n\r\none\r\n--b--", "header without a name"),
        (b"--b\r\n: no name\r\n\r\none\r\n--b--", "header without a name"),
        (b"--b\r\nspaced : name\r\n\r\none\r\n--b--", "header without a name"),
        (b"--b\r\nX: " + b"x" * LARGEST_HEADERS, "bytes of headers"),
        (b"--b" + b" " * (LARGEST_PADDING + 1), "bytes of padding"),
    ],
)
def test_broken_bodies_are_refused(body: bytes, problem: str) -> None:
    with pytest.raises(MultipartError, match=problem):
        split(body)


#: Pieces of which bodies are made that are nearly right.
_PIECES = st.sampled_from(
    [
        b"\r\n",
        b"--b",
        b"--b--",
        b"\r\n--b\r\n",
        b"\r\n--b",
        b"\r\n\r\n",
        b"--",
        b"-",
        b"\r",
        b"\n",
        b" ",
        b"b",
        b"X: y",
        b"\0",
    ]
)


@given(body=st.lists(_PIECES, max_size=20).map(b"".join), data=st.data())
@example(body=b"--b\r\n\r\n\r\n--b \r\n\r\n\r\n--b--", data=None)
def test_how_a_body_is_cut_does_not_matter(body: bytes, data: st.DataObject | None) -> None:
    places = st.lists(st.integers(0, len(body)), max_size=8)
    cuts = list(range(len(body))) if data is None else data.draw(places)
    assert outcome(body, cuts) == outcome(body, [])
    assert outcome(body, list(range(len(body)))) == outcome(body, [])


@given(contents=st.lists(st.binary(max_size=50), min_size=1, max_size=4), data=st.data())
def test_what_was_put_together_comes_apart(contents: list[bytes], data: st.DataObject) -> None:
    body = b"".join(b"--b0undary\r\nA: b\r\n\r\n" + content + b"\r\n" for content in contents) + b"--b0undary--\r\n"
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=8))
    assert split(body, "b0undary", cuts) == [({"a": "b"}, content) for content in contents]


def test_a_large_part_passes_through_in_pieces() -> None:
    splitter = Splitter("b")
    list(splitter.feed(b"--b\r\n\r\n"))
    for _ in range(8):
        assert sum(len(event) for event in splitter.feed(bytes(1 << 20)) if isinstance(event, bytes)) >= (1 << 20) - 8
