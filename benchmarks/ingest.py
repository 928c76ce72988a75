"""A folder to a table, from arguments parsed to the commit, against the recipe in 2 processes.

The recipe only makes JSON, which favours it: it writes no table. It reads a sample; its time for each file is taken for
all. Both get the files from the page cache.
"""

from __future__ import annotations

import shutil
import tempfile
from multiprocessing import get_context
from pathlib import Path

from benchmarks import corpus, recipe
from benchmarks.command import ingest
from benchmarks.measure import Row, Skipped, interleaved, per_file, wall_per_item

FILES = 10_000
RECIPE_FILES = 1_000
PROCESSES = 2


def rows(data: Path) -> list[Row | Skipped]:
    """Measure the whole ingest, each time into a new home."""
    folder = data / "mixed-10000"
    paths = corpus.mixed(folder, FILES)
    sample = paths[:RECIPE_FILES]

    def into_a_new_home() -> float:
        home = Path(tempfile.mkdtemp(prefix="home-", dir=data))
        try:
            summary = ingest(folder, home).summary
        finally:
            shutil.rmtree(home)
        if summary["indexed"] != FILES:
            raise RuntimeError(f"{summary['indexed']} of {FILES} files were indexed")
        return summary["seconds"] / FILES * 1e6

    with get_context("spawn").Pool(PROCESSES) as pool:
        measured = interleaved(
            {
                "recipe": lambda: wall_per_item(lambda: recipe.headers_to_json_in(pool, sample), len(sample)),
                "ours": into_a_new_home,
            },
            rounds=5,
        )
    return [
        Row(
            f"pixels ingest of {FILES:,} mixed files, wall clock",
            f"recipe in {PROCESSES} processes: {per_file(measured['recipe'])}",
            f"{per_file(measured['ours'])}, {measured['ours'] * FILES / 1e6:.2f} s",
            measured["recipe"] / measured["ours"],
            60,
        )
    ]
