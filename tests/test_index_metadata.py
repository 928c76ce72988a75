"""Metadata of rows, read from data files beside DuckDB."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dbx.pixels.index.metadata import with_metadata
from dbx.pixels.table.folder import TableFolder

ROWS = 3000


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Two files of a table: one of row groups of 700 rows, in which every tenth row has no metadata, and an old one."""
    meta = [None if number % 10 == 0 else f'{{"number": {number}}}' for number in range(ROWS)]
    pq.write_table(pa.table({"path": [str(number) for number in range(ROWS)], "meta": meta}), tmp_path / "new", 700)
    pq.write_table(pa.table({"path": [str(number) for number in range(ROWS)]}), tmp_path / "old")
    return [str(tmp_path / "new"), str(tmp_path / "old")]


def expected(file: str, number: int) -> str:
    return "{}" if file.endswith("old") or number % 10 == 0 else f'{{"number": {number}}}'


@pytest.mark.parametrize(
    "places",
    [
        pytest.param([(file, number) for file in (0, 1) for number in range(ROWS)], id="all"),
        pytest.param([(0, number) for number in range(5, ROWS, 333)], id="few"),
        pytest.param([(0, 699), (0, 700), (0, 2999)], id="at the ends of row groups"),
        pytest.param([(0, 2500), (0, 3), (1, 7), (0, 3), (0, 600), (0, 599)], id="in no order"),
        pytest.param([], id="none"),
    ],
)
@pytest.mark.parametrize("batch_rows", [2, 2048])
def test_every_row_gets_its_own(places: list[tuple[int, int]], batch_rows: int, files: list[str]) -> None:
    rows = pa.table(
        {
            "filename": pa.array([files[file] for file, _ in places], pa.string()),
            "file_row_number": pa.array([number for _, number in places], pa.int64()),
        }
    )
    found = [
        tuple(row.values())
        for part in with_metadata(rows.to_batches(batch_rows), TableFolder(str(Path(files[0]).parent)))
        for row in part.to_pylist()
    ]
    assert found == [(files[file], number, expected(files[file], number)) for file, number in places]
