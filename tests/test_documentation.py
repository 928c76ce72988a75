"""The documentation: its code runs, and it knows every column and view."""

from __future__ import annotations

import re
from pathlib import Path

import pydicom.data
import pytest

from dbx.pixels import Catalog
from dbx.pixels.table.schema import TABLE_SCHEMA
from dbx.pixels.table.views import VIEWS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
TABLE = (ROOT / "docs" / "table.md").read_text()


def test_the_seven_lines_run_as_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXELS_HOME", str(tmp_path))
    (lines,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    path = str(Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests" / "77654033")
    exec(lines, {"path": path})
    rows = Catalog().load().to_arrow()
    assert len(rows) > 0
    assert set(rows["file_type"].to_pylist()) == {"application/dicom"}
    assert rows["meta"].null_count == 0
    assert rows["thumbnail"].null_count == 0


def test_every_column_and_view_is_described() -> None:
    described = set(re.findall(r"`(\w+)`", TABLE))
    assert set(TABLE_SCHEMA.names) - described == set()
    assert set(VIEWS) - described == set()


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / link).exists(), link
