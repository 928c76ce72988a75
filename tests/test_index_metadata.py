"""Metadata of rows, read from data files beside DuckDB."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dbx.pixels.errors import ArgumentError
from dbx.pixels.index.metadata import with_metadata
from dbx.pixels.index.source import Sources, series_table
from dbx.pixels.table import ObjectTable
from dbx.pixels.table.folder import TableFolder
from index_table import instance
from table_rows import rows

if TYPE_CHECKING:
    from servers import S3Bucket

pytest_plugins = ["servers"]

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
    wanted = pa.table(
        {
            "filename": pa.array([files[file] for file, _ in places], pa.string()),
            "file_row_number": pa.array([number for _, number in places], pa.int64()),
        }
    )
    found = [
        tuple(row.values())
        for part in with_metadata(wanted.to_batches(batch_rows), TableFolder(str(Path(files[0]).parent)))
        for row in part.to_pylist()
    ]
    assert found == [(files[file], number, expected(files[file], number)) for file, number in places]


def read(table: ObjectTable, wanted: pa.Table | None = None) -> list[tuple[str, dict[str, Any]]]:
    """SOP Instance UIDs of rows by DuckDB, and their metadata."""
    with Sources().open(table) as source:
        source.choose(wanted)
        return [(row["SOPInstanceUID"], json.loads(row["meta"])) for part in source.rows() for row in part.to_pylist()]


def test_few_rows_do_not_keep_all_that_was_decoded(tmp_path: Path) -> None:
    meta = [f'{{"number": {number}, "more": "{"x" * 4096}"}}' for number in range(ROWS)]
    pq.write_table(pa.table({"meta": meta}), tmp_path / "large")
    numbers = pa.array(range(0, ROWS, 300), pa.int64())
    wanted = pa.table({"filename": pa.repeat(str(tmp_path / "large"), len(numbers)), "file_row_number": numbers})
    before = pa.total_allocated_bytes()

    parts = list(with_metadata(wanted.to_batches(), TableFolder(str(tmp_path))))

    assert sum(part.num_rows for part in parts) == len(numbers)
    assert pa.total_allocated_bytes() - before < 20 * sum(part["meta"].nbytes for part in parts)


def test_duckdb_and_metadata_are_of_the_same_object(tmp_path: Path) -> None:
    """Files of several row groups, as other writers make them too."""
    table = ObjectTable.create_if_missing(str(tmp_path / "table"))
    for study in range(1, 4):
        table.save(rows(*(instance(f"/{study}/{number}", study, number=number) for number in range(1, 41))))
    for uri in table.files():
        pq.write_table(pq.read_table(uri), uri, row_group_size=7)

    found = read(table, series_table([("1.2.1", "1.2.1.1"), ("1.2.3", "1.2.3.1")]))

    assert len(found) == 80
    assert all(meta["00080018"]["Value"] == [uid] for uid, meta in found)


def test_metadata_of_a_table_in_a_bucket(bucket: S3Bucket) -> None:
    table = ObjectTable.create_if_missing(f"{bucket.url}/objects")
    for study in (1, 2):
        table.save(rows(*(instance(f"/{study}/{number}", study, number=number) for number in (1, 2))))

    found = read(table)

    assert len(found) == 4
    assert all(meta["00080018"]["Value"] == [uid] for uid, meta in found)


def test_columns_that_duckdb_would_take_for_places_are_refused(tmp_path: Path) -> None:
    table = ObjectTable.create_if_missing(str(tmp_path / "table"))
    with pytest.raises(ArgumentError, match="file_row_number: is how DuckDB calls the place of a row"):
        table.add_columns(pa.schema([("file_row_number", pa.int64())]))
