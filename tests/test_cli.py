"""The command line, as a user calls it: in processes of its own."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from dbx.pixels.cli.main import pixels as verbs

from conftest import TEST_FILES

PIXELS = Path(sys.executable).with_name("pixels")


@pytest.fixture
def pixels(home: Path):
    """Run a command with its home folder set, and return what it did."""

    def run(*arguments: object, code: int = 0, text: bool = True) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [PIXELS, *map(str, arguments)],
            capture_output=True,
            text=text,
            check=False,
            env={**os.environ, "PIXELS_HOME": str(home)},
        )
        assert done.returncode == code, done.stderr
        return done

    return run


def test_ingest_counts_as_json(pixels, folder: Path) -> None:
    done = pixels("ingest", folder, "--json")
    counts = json.loads(done.stdout)
    assert list(counts) == [
        "listed", "new", "changed", "removed", "unchanged", "indexed", "other", "failed", "issues", "seconds",
        "table_version",
    ]  # fmt: skip
    assert (counts["listed"], counts["new"], counts["indexed"], counts["other"]) == (3, 3, 2, 1)
    assert json.loads(pixels("ingest", folder, "--json").stdout)["new"] == 0


def test_ingest_tells_people(pixels, folder: Path) -> None:
    with zipfile.ZipFile(folder / "study.zip", "w") as archive:
        archive.write(TEST_FILES / "CT_small.dcm", "ct.dcm")
    done = pixels("ingest", folder, "--thumbnails", "--deep")
    assert "4 objects: 3 new, 0 changed, 0 removed, 0 unchanged" in done.stdout
    assert "2 DICOM rows written, 1 other object, 0 failed" in done.stdout
    assert "1 zip archive was left out" in done.stderr
    assert "--zip in-place" in done.stderr
    query = "SELECT count(thumbnail) AS t, count(content_hash) AS h, min(pixel_statistics.max) > 0 AS s FROM instances"
    assert json.loads(pixels("sql", query, "--format", "json").stdout) == [{"t": 2, "h": 2, "s": True}]


def test_sql_answers_as_json_csv_parquet_and_text(pixels, folder: Path) -> None:
    pixels("ingest", folder)
    query = "SELECT Modality, count(*) AS n, min(StudyDate) AS d FROM instances GROUP BY 1 ORDER BY 1"
    assert json.loads(pixels("sql", query, "--format", "json").stdout) == [
        {"Modality": "CT", "n": 1, "d": "2004-01-19"},
        {"Modality": "MR", "n": 1, "d": "2004-08-26"},
    ]
    rows = list(csv.reader(io.StringIO(pixels("sql", query, "--format", "csv").stdout)))
    assert rows == [["Modality", "n", "d"], ["CT", "1", "2004-01-19"], ["MR", "1", "2004-08-26"]]
    parquet = pixels("sql", query, "--format", "parquet", text=False).stdout
    assert pq.read_table(io.BytesIO(parquet)).num_rows == 2
    assert "CT" in pixels("sql", query).stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["sql", "SELEC 1"], "syntax error"),
        (["sql", "DROP VIEW object_catalog"], "only reading"),
        (["sql", "SELECT nothing FROM object_catalog"], "nothing"),
        (["ingest", "/nowhere/at/all"], "does not exist"),
        (["ingest", ".", "--extract-to", "/tmp/x"], "--zip extract"),
        (["ingest", "http://example.org/x"], "scheme"),
        (["optimize"], "there is no table"),
        (["info", "--table", "two.parts"], "catalog.schema.table"),
    ],
)
def test_errors_are_one_line(home: Path, arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(verbs, arguments, env={"PIXELS_HOME": str(home)})
    assert done.exit_code == 1
    assert done.stderr.startswith("pixels: ")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr


def test_errors_are_one_line_without_a_traceback(pixels) -> None:
    stderr = pixels("remove", "/nowhere", code=1).stderr
    assert stderr.startswith("pixels: ")
    assert stderr.count("\n") == 1
    assert "there is no table" in stderr


def test_an_empty_home_works_everywhere(pixels) -> None:
    assert json.loads(pixels("sql", "SELECT * FROM studies", "--format", "json").stdout) == []
    assert "pixels ingest PATH" in pixels("info").stdout
    assert "No issues" in pixels("issues").stdout
    assert "native core" in pixels("doctor").stdout


def test_info_and_issues(pixels, folder: Path) -> None:
    (folder / "empty.dcm").touch()
    pixels("ingest", folder)
    information = pixels("info").stdout
    for text in ("main.pixels_solacc.object_catalog", "native", "application/dicom", "text/plain", "CT"):
        assert text in information
    (issue,) = json.loads(pixels("issues", "--format", "json").stdout)
    assert issue["kind"] == "object"
    assert issue["path"] == str(folder / "empty.dcm")


def test_remove_and_optimize(pixels, folder: Path) -> None:
    pixels("ingest", folder)
    assert "1 row" in pixels("remove", folder / "head mr").stdout
    pixels("optimize")
    count = "SELECT count(*) AS n FROM object_catalog"
    assert json.loads(pixels("sql", count, "--format", "json").stdout) == [{"n": 2}]
    assert json.loads(pixels("ingest", folder, "--json").stdout)["new"] == 1


def test_watch_keeps_going(home: Path, folder: Path) -> None:
    process = subprocess.Popen(
        [PIXELS, "ingest", folder, "--watch", "0.2", "--json", "--home", home], stdout=subprocess.PIPE, text=True
    )
    try:
        assert json.loads(process.stdout.readline())["new"] == 3
        shutil.copy(TEST_FILES / "JPEG2000.dcm", folder)
        deadline = time.monotonic() + 30
        while json.loads(process.stdout.readline())["new"] != 1:
            assert time.monotonic() < deadline
    finally:
        process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130


def test_the_demo_makes_a_phantom_and_a_contact_sheet(pixels, home: Path) -> None:
    output = pixels("demo", "--no-serve").stdout
    assert "phantom CT of 40 slices" in output
    assert "contact sheet" in output
    assert (home / "contact-sheet.png").stat().st_size > 10_000
