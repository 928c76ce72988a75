"""Fragments of encapsulated pixel data: which belong to a frame, and that packing them changes nothing."""

from __future__ import annotations

from dbx.pixels.dicom.fragments import Fragments

ROWS = [
    {"frame": 0, "offset": 100, "length": 10},
    {"frame": 1, "offset": 118, "length": 20},
    {"frame": 1, "offset": 146, "length": 30},
    {"frame": None, "offset": 184, "length": 40},
]


def test_a_frame_has_its_fragments_in_order() -> None:
    fragments = Fragments.from_rows(ROWS)
    assert fragments.of_frame(0) == [(100, 10)]
    assert fragments.of_frame(1) == [(118, 20), (146, 30)]
    assert fragments.of_frame(2) == []


def test_packed_fragments_are_the_same() -> None:
    for rows in (ROWS, []):
        fragments = Fragments.from_rows(rows)
        assert Fragments.from_bytes(fragments.to_bytes()) == fragments


def test_all_fragments_of_a_video_are_one_stream() -> None:
    fragments = Fragments.from_rows(ROWS)
    assert fragments.as_one_frame().of_frame(0) == [(row["offset"], row["length"]) for row in ROWS]
    assert fragments.of_frame(0) == [(100, 10)]
