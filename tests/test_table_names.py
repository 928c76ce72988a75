"""Names of tables and where they lie."""

from pathlib import Path

import pytest

from dbx.pixels.errors import ArgumentError
from dbx.pixels.table import TableName, table_location


def test_a_name_has_three_levels() -> None:
    assert TableName.parse("main.pixels_solacc.object_catalog") == ("main", "pixels_solacc", "object_catalog")
    assert TableName.parse("main.`my schema2`.t".replace(" ", "-")).schema == "my-schema2"
    assert str(TableName.parse("`main`.a.b")) == "main.a.b"


@pytest.mark.parametrize("name", ["object_catalog", "main.object_catalog", "a.b.c.d", "a..c", "a.b.", "a b.c.d", ""])
def test_other_names_are_refused_with_the_remedy(name: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"Write catalog\.schema\.table"):
        table_location(name, tmp_path)


def test_a_named_table_lies_in_the_tables_folder(tmp_path: Path) -> None:
    assert table_location("main.lung.objects", tmp_path) == str(tmp_path / "main/lung/objects")


def test_a_path_or_an_address_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert table_location(f"{tmp_path}/new/", tmp_path) == f"{tmp_path}/new"
    assert table_location("s3a://bucket/tables/x/", tmp_path) == "s3://bucket/tables/x"
    monkeypatch.chdir(tmp_path)
    Path("a.b.c").mkdir()
    assert table_location("a.b.c", tmp_path / "tables") == str(tmp_path / "a.b.c")


def test_a_folder_that_delta_would_misread_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="percent escapes"):
        table_location(f"{tmp_path}/a%20b", tmp_path)
