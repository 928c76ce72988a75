"""A disk that is full."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dbx.pixels.table import ObjectTable
from table_rows import live, row, rows

#: Saves a megabyte that does not compress while no file may grow beyond some 200 kB, then what fits.
WRITER = """
import os, resource, signal, sys
from table_rows import row, rows
from dbx.pixels.errors import TableError
from dbx.pixels.table import ObjectTable
table = ObjectTable.open(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    table.save(rows(*(row(f"/b/{number}", thumbnail=os.urandom(10_000)) for number in range(100))))
except TableError as error:
    print(error)
table.save(rows(row("/c/1")))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_full_disk_is_told_and_leaves_the_table_readable(tmp_path: Path) -> None:
    table = ObjectTable.create_if_missing(str(tmp_path / "objects"))
    table.save(rows(row("/a/1")))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-c", WRITER, table.location]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "cannot be written: there is no space left. Make space" in done.stdout
    assert live(table) == {"/a/1": 1000, "/c/1": 1000}
    assert len(list(Path(table.location).glob("*.parquet"))) == 2


#: Saves a row while no file may hold a single byte.
WRITER_WITHOUT_SPACE = """
import resource, signal, sys
from table_rows import row, rows
from dbx.pixels.errors import TableError
from dbx.pixels.table import ObjectTable
table = ObjectTable.open(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
try:
    table.save(rows(row("/b/1")))
except TableError:
    sys.exit(7)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_disk_without_space_for_the_first_byte_keeps_no_empty_file(tmp_path: Path) -> None:
    table = ObjectTable.create_if_missing(str(tmp_path / "objects"))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    assert subprocess.run([sys.executable, "-c", WRITER_WITHOUT_SPACE, table.location], env=environment).returncode == 7
    assert list(Path(table.location).glob("*.parquet")) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    from dbx.pixels.errors import TableError

    with pytest.raises(TableError, match="cannot be made"):
        ObjectTable.create_if_missing(str(tmp_path / "file" / "objects"))
