"""Frames and the pool: lazy, in order, re-iterable, and never far ahead of the reader."""

from __future__ import annotations

import io
import pickle
import threading
import time
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from rich.console import Console

from dbx.pixels.engine.frame import Frame
from dbx.pixels.engine.pool import map_ordered
from dbx.pixels.engine.showing import show_rows
from dbx.pixels.engine.transformer import BatchTransformer
from dbx.pixels.errors import ArchiveError, EngineError, PixelsError

SCHEMA = pa.schema([pa.field("n", pa.int64())])


class Numbers:
    """Batches of one number each; counts how many were made."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.made = 0

    def __call__(self) -> Iterator[pa.RecordBatch]:
        for number in range(self.count):
            self.made += 1
            yield pa.record_batch({"n": [number]})


class Doubled(BatchTransformer):
    def output_schema(self, input_schema: pa.Schema) -> pa.Schema:
        return input_schema

    def transform_batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.record_batch([pc.multiply(batch["n"], 2)], schema=SCHEMA)


def test_map_ordered_keeps_the_order_whatever_takes_long() -> None:
    def slow_if_even(number: int) -> int:
        time.sleep(0.01 * (number % 2 == 0))
        return number

    assert list(map_ordered(slow_if_even, range(40), workers=4)) == list(range(40))


def test_map_ordered_uses_several_threads() -> None:
    meeting = threading.Barrier(2, timeout=10)
    assert list(map_ordered(lambda _: meeting.wait() >= 0, range(2), workers=2)) == [True, True]


def test_map_ordered_stays_close_to_the_reader() -> None:
    numbers = Numbers(1000)
    results = map_ordered(lambda batch: batch, numbers(), workers=2)
    next(results)
    assert numbers.made <= 2 * 2 + 1
    results.close()


def test_errors_arrive_at_the_reader() -> None:
    with pytest.raises(ZeroDivisionError):
        list(map_ordered(lambda number: 1 // number, range(3), workers=2))


def test_frames_are_lazy_and_re_iterable() -> None:
    numbers = Numbers(5)
    frame = Doubled().transform(Frame(SCHEMA, numbers))
    assert numbers.made == 0
    assert frame.to_arrow()["n"].to_pylist() == [0, 2, 4, 6, 8]
    assert frame.count() == 5
    assert numbers.made == 10


def test_limit_computes_no_more_than_needed() -> None:
    numbers = Numbers(1000)
    assert Frame(SCHEMA, numbers).limit(3).to_arrow()["n"].to_pylist() == [0, 1, 2]
    assert numbers.made == 3


def test_select_and_filter() -> None:
    frame = Frame.from_arrow({"n": [1, 2, 3], "name": ["one", "two", "three"]})
    odd = frame.filter(lambda batch: pc.equal(pc.bit_wise_and(batch["n"], 1), 1)).select("name")
    assert odd.to_arrow().to_pydict() == {"name": ["one", "three"]}


def test_frames_stream_into_arrow_consumers_batch_by_batch() -> None:
    numbers = Numbers(1000)
    reader = pa.RecordBatchReader.from_stream(Frame(SCHEMA, numbers))
    assert reader.read_next_batch().to_pydict() == {"n": [0]}
    assert numbers.made == 1


def test_show_and_notebook_rendering(capsys: pytest.CaptureFixture[str]) -> None:
    frame = Frame.from_arrow({"name": ["<b>Phantom^One</b>", None], "thumbnail": [b"\xff\xd8", None]})
    frame.show()
    assert "Phantom^One" in capsys.readouterr().out
    rendering = frame._repr_html_()
    assert "&lt;b&gt;Phantom^One" in rendering
    assert "&lt;2 bytes&gt;" in rendering
    assert repr(frame) == "Frame[name: string, thumbnail: binary]"


def shown(width: int, names: list[str], rows: list[list[str | None]]) -> list[str]:
    written = io.StringIO()
    show_rows(Console(file=written, width=width), names, rows)
    return [line.rstrip() for line in written.getvalue().splitlines()]


def test_rows_that_do_not_fit_are_records_without_nulls() -> None:
    names = [f"column_{number}" for number in range(60)]
    rows = [["/data/" + 60 * "x" + "/1.dcm", "CT", *[None] * 58], ["/data/2.dcm", *[None] * 58, "last"]]
    lines = shown(80, names, rows)
    assert [line.split(maxsplit=1) for line in lines if not line.startswith(("1 ", "2 "))] == [
        ["column_0", rows[0][0][:70]],
        [rows[0][0][70:]],
        ["column_1", "CT"],
        ["column_0", "/data/2.dcm"],
        ["column_59", "last"],
    ]
    assert "column_59" in shown(10_000, names, rows)[1]


def test_names_and_values_are_text_and_do_nothing_in_a_terminal() -> None:
    for width in (40, 200):
        text = "\n".join(shown(width, ["[/x]", "[b]\x1b[2J"], [["[red]:smile:", "\x1b]0;title\x07 \x9b" + "x" * 10]]))
        assert "[/x]" in text
        assert "[b]\\x1b[2J" in text
        assert "[red]:smile:" in text
        assert "\\x1b]0;title\\x0" in text
        assert not any(control in text for control in "\x1b\x07\x9b")


def test_transformers_refuse_what_has_no_batches() -> None:
    with pytest.raises(EngineError, match=r"Frame\.from_arrow"):
        Doubled().transform([1, 2, 3])


def test_errors_come_whole_from_other_processes() -> None:
    kinds = {PixelsError}
    while more := {kind for known in kinds for kind in known.__subclasses__()} - kinds:
        kinds |= more
    assert ArchiveError in kinds
    for kind in kinds:
        error = kind("the object", "is wrong", "Mend it.")
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is kind
        assert (vars(again), str(again)) == (vars(error), str(error))
