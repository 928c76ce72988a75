"""`pixels ingest` again over 200,000 files with nothing new, which is listing and comparing."""

from __future__ import annotations

import shutil
import statistics
from pathlib import Path

from benchmarks import corpus
from benchmarks.command import ingest
from benchmarks.measure import Row, Skipped, per_file

FILES = 200_000
RUNS = 3


def rows(data: Path) -> list[Row | Skipped]:
    """Ingest once, then measure the runs after it."""
    folder, home = data / "tiny-200000", data / "home-second-run"
    corpus.tiny(folder, FILES)
    shutil.rmtree(home, ignore_errors=True)
    ingest(folder, home)
    again = [ingest(folder, home).summary for _ in range(RUNS)]
    shutil.rmtree(home)
    if any(summary["unchanged"] != FILES for summary in again):
        raise RuntimeError("the second run found something new")
    figure = statistics.median(summary["seconds"] for summary in again) / FILES * 1e6
    return [
        Row(f"second run over {FILES:,} files, nothing new", "none", per_file(figure), figure, 10, "us", at_least=False)
    ]
