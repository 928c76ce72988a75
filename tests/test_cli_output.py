"""What the command line writes: answers of any type in every format, and what `doctor` says."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from dbx.pixels.cli.doctor import doctor
from dbx.pixels.cli.output import write
from dbx.pixels.cli.sql import sql
from dbx.pixels.engine.frame import Frame
from dbx.pixels.errors import QueryError

#: Values that Arrow's writers or Python's calendar do not have, and how they are written.
STRANGE = {
    "INTERVAL '1 month 2 days'": "1 month 2 days",
    "union_value(number := 1)": "1",
    "[INTERVAL '1 day']": "[1 day]",
    "TIMESTAMP 'infinity'": "infinity",
    "TIMESTAMPTZ '-infinity'": "-infinity",
    "DATE '99999-01-01'": "99999-01-01",
}

TYPES = [
    *STRANGE,
    "TIMESTAMP_NS '2024-05-17 12:00:00.000000001'",
    "BIGNUM '1'",
    "MAP {'a': 1}",
    "1::HUGEINT",
    "1::DECIMAL(38, 2)",
    "NULL",
    "{'a': 1}",
]


@pytest.fixture
def answer(home: Path):
    """Write a query's answer in a format, and return what came out."""

    def run(query: str, form: str) -> bytes:
        done = CliRunner().invoke(sql, [query, "--home", str(home), "--format", form], catch_exceptions=False)
        assert done.exit_code == 0
        return done.stdout_bytes

    return run


def values(written: bytes) -> list[Any]:
    return [value for record in json.loads(written) for value in record.values()]


@pytest.mark.parametrize(("expression", "text"), STRANGE.items())
def test_values_that_python_does_not_have_are_text(answer, expression: str, text: str) -> None:
    query = f"SELECT {expression} AS x UNION ALL SELECT NULL ORDER BY x NULLS LAST"
    assert values(answer(query, "json")) == [text, None]
    assert text in answer(query, "table").decode()


@pytest.mark.parametrize("form", ["csv", "parquet", "json", "table"])
def test_every_type_can_be_written_in_every_format(answer, form: str) -> None:
    written = answer(f"SELECT {', '.join(f'{expression} AS x{at}' for at, expression in enumerate(TYPES))}", form)
    names = [f"x{at}" for at in range(len(TYPES))]
    if form == "csv":
        header, row = csv.reader(io.StringIO(written.decode()))
        assert (header, len(row)) == (names, len(TYPES))
    elif form == "parquet":
        table = pq.read_table(io.BytesIO(written))
        assert (table.column_names, table.num_rows) == (names, 1)
    elif form == "json":
        assert [list(row) for row in json.loads(written)] == [names]
    else:
        assert "x0" in written.decode()


def test_ordinary_times_stay_as_they_are_beside_strange_ones(answer) -> None:
    query = "SELECT unnest([TIMESTAMP '2024-05-17 12:00:00', 'infinity']) AS x"
    assert values(answer(query, "json")) == ["2024-05-17T12:00:00", "infinity"]


def test_parquet_keeps_the_types_that_it_has(answer) -> None:
    written = pq.read_table(
        io.BytesIO(answer("SELECT DATE '99999-01-01' AS d, MAP {'a': 1} AS m, [1] AS l", "parquet"))
    )
    assert written.schema.field("d").type == pa.date32()
    assert written["m"].to_pylist() == [[("a", 1)]]
    assert written["l"].to_pylist() == [[1]]


def test_numbers_that_are_not_finite_are_null_in_json(answer) -> None:
    query = "SELECT 'nan'::DOUBLE AS a, '-inf'::FLOAT AS b, 1.5::DOUBLE AS c, {'x': ['inf'::DOUBLE, 2.5]} AS d"
    assert values(answer(query, "json")) == [None, None, 1.5, {"x": [None, 2.5]}]
    assert b'{""x"": [null, 2.5]}' in answer(query, "csv")


def test_what_a_format_cannot_write_is_one_line() -> None:
    frame = Frame.from_arrow({"x": pc.run_end_encode(pa.array([1, 1]))})
    with pytest.raises(QueryError, match=r"^query: its answer cannot be written as parquet: ") as caught:
        write(frame, "parquet")
    assert "\n" not in str(caught.value)


def test_doctor_tells_what_spark_would_run_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert re.search(r"^ok +Spark +4\.\S+, Java in \S+", CliRunner().invoke(doctor).output, re.MULTILINE)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert f"Spark         JAVA_HOME: there is no Java in {tmp_path}. " in CliRunner().invoke(doctor).output


def test_doctor_names_the_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    home = tmp_path / "file" / "home"
    done = CliRunner().invoke(doctor, ["--home", str(home)])
    assert done.exit_code == 1
    assert f"home          {home} cannot be written: Not a directory\n" in done.output
