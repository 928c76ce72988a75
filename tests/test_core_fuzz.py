"""The native core survives broken files: built with sanitizers (`make fuzz` takes longer), and as it is used."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dbx.pixels.dicom.headers import read_headers
from dbx.pixels.dicom.schema import HEADER_SCHEMA
from headers import SAMPLES, strict_json
from missing import skip_without

RUN = Path(__file__).parent.parent / "fuzz" / "run.py"
NO_SANITIZERS = 77

SEEDS = [path.read_bytes() for path in SAMPLES if path.stat().st_size < 40_000]

#: Bytes that mean something: lengths, items, delimiters, VRs, separators, escapes.
TOKENS = [
    b"\xff\xff\xff\xff",
    b"\0\0\0\x80",
    b"\xfe\xff\0\xe0",
    b"\xfe\xff\r\xe0",
    b"SQ",
    b"UN",
    b"OB",
    b"\\",
    b"\x1b$B",
]

#: Places, as parts of the file's length, and what is put there.
PLACES = st.floats(0, 1, exclude_max=True)
CHANGES = st.lists(
    st.tuples(PLACES, st.binary(min_size=1, max_size=12) | st.sampled_from(TOKENS)), min_size=1, max_size=8
)


def test_broken_files_do_no_harm() -> None:
    command = [sys.executable, RUN, "--seconds", "5", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == NO_SANITIZERS:
        skip_without(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 0


def test_a_source_that_is_gone_and_another_flag_are_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler, calls = tmp_path / "compiler", tmp_path / "calls"
    compiler.write_text(f'#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho "$2" >> {calls}\ncp /bin/true "$2"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    module = runpy.run_path(str(RUN.with_name("build.py")))

    def builds() -> int:
        program = module["build"](tmp_path / "build")
        return calls.read_text().splitlines().count(str(program))

    assert [builds(), builds()] == [1, 1]
    module["_SOURCES"].pop()
    assert builds() == 2
    module["_FLAGS"].append("-O1")
    assert [builds(), builds()] == [3, 3]


@pytest.mark.filterwarnings("ignore")
@settings(
    max_examples=150, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(content=st.sampled_from(SEEDS), changes=CHANGES, threshold=st.sampled_from([None, 0, 1024]))
def test_broken_objects_are_rows_among_others(
    content: bytes, changes: list[tuple[float, bytes]], threshold: int | None
) -> None:
    """Any change leaves a row of valid JSON or none, and the rows around it alone."""
    broken = bytearray(content)
    for place, replacement in changes:
        at = int(place * len(broken))
        broken[at : at + len(replacement)] = replacement
    batch = read_headers([content, bytes(broken), content], bulk_threshold=threshold)
    batch.validate(full=True)
    assert batch.schema.equals(HEADER_SCHEMA)
    before, row, after = batch.to_pylist()
    assert before == after
    assert row["meta"] or row["error"] or row["file_type"]
    assert row["meta"] is None or strict_json(row["meta"])
