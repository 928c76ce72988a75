"""What SQL cannot do: write, read other files, see rows that are hidden from the principal."""

from __future__ import annotations

from pathlib import Path

import pytest

from dbx.pixels.errors import QueryError
from dbx.pixels.table import ObjectTable, query
from table_rows import ct_slice, rows


class OnlyPatient:
    """A principal that may see one patient's objects."""

    def __init__(self, patient_id: str) -> None:
        self.patient_id = patient_id

    def row_filter(self, table: str) -> str | None:  # noqa: ARG002 - the protocol's argument
        return f"PatientID = '{self.patient_id}'"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> ObjectTable:
    table = ObjectTable.create_if_missing(str(tmp_path_factory.mktemp("lockdown") / "objects"))
    hidden_copy = ct_slice("/z", 2, 1, 1, SOPInstanceUID="1.2.1.1.1", minutes=5)
    table.save(rows(ct_slice("/a/1", 1, 1, 1), ct_slice("/a/2", 1, 1, 2), ct_slice("/b/1", 2), hidden_copy))
    return table


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO object_catalog VALUES (1)",
        "CREATE TABLE t AS SELECT 1",
        "DROP VIEW studies",
        "COPY (SELECT 1) TO '{file}'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}'",
        "explain /* x */ analyze copy (SELECT 1) TO '{file}'",
        "/* x */ EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}'",
        "EXPLAIN (FORMAT json) COPY (SELECT 1) TO '{file}'",
        "WITH x AS (COPY (SELECT 1) TO '{file}') SELECT 1",
        "WITH x AS (DELETE FROM dicom_tags RETURNING *) SELECT * FROM x",
        "EXPORT DATABASE '{file}'",
        "ATTACH '{file}'",
        "INSTALL httpfs",
        "LOAD json",
        "SET memory_limit = '1GB'",
        "RESET enable_external_access",
        "PRAGMA version",
        "CALL pragma_version()",
        "CHECKPOINT",
        "USE memory",
        "BEGIN",
        "PREPARE p AS SELECT 1",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP VIEW studies",
        "SELECT * FROM read_parquet('{data}')",
        "SELECT * FROM parquet_scan('{data}')",
        "SELECT * FROM parquet_metadata('{data}')",
        "SELECT * FROM '{data}'",
        'SELECT * FROM "{data}"',
        "DESCRIBE '{data}'",
        "SUMMARIZE '{data}'",
        "SELECT (SELECT count(*) FROM '{data}')",
        "SELECT * FROM studies WHERE PatientID IN (SELECT PatientID FROM '{data}')",
        'WITH "{data}" AS (SELECT 1) SELECT * FROM (SELECT 2), "{data}"',
        "WITH duckdb_views AS (SELECT 1) SELECT * FROM (SELECT 2), duckdb_views",
        "SELECT * FROM query('SELECT * FROM ''{data}''')",
        "SELECT * FROM query_table('{data}')",
        "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
        "SELECT * FROM read_text('/etc/hosts')",
        "SELECT * FROM read_csv('/etc/hosts')",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM duckdb_views()",
        "SELECT * FROM duckdb_secrets()",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM pg_catalog.pg_views",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM table_of_the_caller",
    ],
)
def test_only_reading_the_views_is_allowed(table: ObjectTable, tmp_path: Path, sql: str) -> None:
    table_of_the_caller = table  # noqa: F841 - DuckDB could look for a variable of that name
    (data,) = table.files()
    before = Path(data).read_bytes()
    with pytest.raises(QueryError) as caught:
        query(table, sql.replace("{data}", data).replace("{file}", str(tmp_path / "out"))).read_all()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert Path(data).read_bytes() == before


@pytest.mark.parametrize("view", ["object_catalog", "instances", "studies", "series", "issues"])
def test_a_principals_filter_holds_in_every_view(table: ObjectTable, view: str) -> None:
    def seen(patient_id: str) -> str:
        return str(query(table, f"FROM {view}", principal=OnlyPatient(patient_id)).read_all().to_pylist())

    assert "'P2'" not in seen("P1")
    assert "/z" not in seen("P1")
    assert "/a/" not in seen("P2")
    assert query(table, f"FROM {view}", principal=OnlyPatient("nobody")).read_all().num_rows == 0


def test_a_hidden_copy_hides_nothing(table: ObjectTable) -> None:
    """The newest copy of an instance is another patient's: whoever may not see it sees the other one."""
    sql = "SELECT path FROM instances ORDER BY 1"
    assert query(table, sql).read_all()["path"].to_pylist() == ["/a/2", "/b/1", "/z"]
    assert query(table, sql, principal=OnlyPatient("P1")).read_all()["path"].to_pylist() == ["/a/1", "/a/2"]
