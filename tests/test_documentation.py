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
PAGES = [path.relative_to(ROOT) for path in (ROOT / "README.md", ROOT / "viewer/README.md", *ROOT.glob("docs/*.md"))]


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


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    for file, heading in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", (ROOT / page).read_text()):
        target = (ROOT / page).parent / file if file else ROOT / page
        assert target.exists(), file
        assert not heading or heading in headings(target.read_text()), f"{file}#{heading}"


def headings(text: str) -> set[str]:
    """Return what GitHub makes of headings, for links to lead to them."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
