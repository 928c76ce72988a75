"""Peak memory of an ingest, of ten times as many files against the memory of a tenth."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks import corpus
from benchmarks.command import ingest
from benchmarks.measure import Row, Skipped

FEW, MANY = 10_000, 100_000


def rows(data: Path) -> list[Row | Skipped]:
    """Measure both with the same mix of files."""
    few, many = (_peak_megabytes(data, count) for count in (FEW, MANY))
    return [
        Row(
            f"peak memory of an ingest, {MANY:,} files against {FEW:,}",
            f"{few:,.0f} MB",
            f"{many:,.0f} MB",
            many / few,
            1.3,
            at_least=False,
        )
    ]


def _peak_megabytes(data: Path, count: int) -> float:
    folder, home = data / f"mixed-{count}", data / "home-memory"
    corpus.mixed(folder, count)
    shutil.rmtree(home, ignore_errors=True)
    peak = ingest(folder, home).peak_memory
    shutil.rmtree(home)
    return peak / 1e6
