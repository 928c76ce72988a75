"""What many tests share: a home folder, real DICOM files, and the servers of others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pydicom.data
import pytest

from dbx.pixels import Catalog

TEST_FILES = Path(pydicom.data.__file__).parent / "test_files"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder of the test's own."""
    return tmp_path / "home"


@pytest.fixture
def catalog(home: Path) -> Catalog:
    """An embedded catalog in that home folder."""
    return Catalog(home=str(home))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a CT, an MR in a subfolder and a text file."""
    folder = tmp_path / "data"
    (folder / "head mr").mkdir(parents=True)
    shutil.copy(TEST_FILES / "CT_small.dcm", folder)
    shutil.copy(TEST_FILES / "MR_small.dcm", folder / "head mr")
    (folder / "notes.txt").write_text("The files are pydicom's.\n")
    return folder
