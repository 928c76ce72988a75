"""The progress bar's total: what the ingest is going to tell of, no more and no less."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from threading import Event

import pytest

from dbx.pixels import Catalog
from dbx.pixels.catalog.ingest import ingest
from dbx.pixels.catalog.selection import Archives, Selection
from dbx.pixels.cli.progress import count

from conftest import TEST_FILES


@pytest.fixture
def folder_with_archive(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "study.ZIP", "w") as archive:
        archive.write(TEST_FILES / "CT_small.dcm", "ct.dcm")
    return folder


@pytest.mark.parametrize(
    ("options", "files"), [({}, 3), ({"pattern": "*.dcm"}, 2), ({"pattern": "head*/*"}, 1), ({"recurse": False}, 2)]
)
def test_the_bar_ends_where_the_ingest_ends(
    catalog: Catalog, folder_with_archive: Path, options: dict, files: int
) -> None:
    selection = Selection.of(str(folder_with_archive), **options)
    done: list[int] = []
    ingest(catalog, selection, on_progress=done.append)
    assert count(catalog, selection, Event()) == sum(done) == files


def test_archives_that_are_looked_into_have_no_total(catalog: Catalog, folder_with_archive: Path) -> None:
    root = str(folder_with_archive)
    assert count(catalog, Selection.of(root, archives=Archives.IN_PLACE), Event()) is None
    (folder_with_archive / "study.ZIP").unlink()
    assert count(catalog, Selection.of(root, archives=Archives.IN_PLACE), Event()) == 3


def test_stores_are_not_listed_twice_and_errors_are_left_to_the_ingest(catalog: Catalog, folder: Path) -> None:
    assert count(catalog, Selection.of([str(folder), "s3://bucket/scans"]), Event()) is None
    shutil.rmtree(folder)
    assert count(catalog, Selection.of(str(folder)), Event()) is None
