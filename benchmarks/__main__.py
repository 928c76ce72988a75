"""Measures the rows of the table of speed and memory, prints them and, if it measures all, keeps them in results.json.

python -m benchmarks [--data DIR] [headers] [ingest] [second_run] [thumbnails] [memory] [serving]
    [index] [storing] [ai] [spark]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from dataclasses import asdict
from datetime import date
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from benchmarks.measure import Row, Skipped

MODULES = ("headers", "ingest", "second_run", "thumbnails", "memory", "serving", "index", "storing", "ai", "spark")
RESULTS = Path(__file__).with_name("results.json")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Pixels against its baselines.")
    parser.add_argument("modules", nargs="*", metavar="ROWS", help=f"any of {', '.join(MODULES)}; all if none is named")
    parser.add_argument("--data", type=Path, default=Path("build/benchmarks"), help="where the files are made and kept")
    arguments = parser.parse_args()
    if unknown := set(arguments.modules) - set(MODULES):
        parser.error(f"{', '.join(sorted(unknown))}: no such rows; there are {', '.join(MODULES)}")
    data = arguments.data.resolve()
    rows: list[Row | Skipped] = []
    for name in arguments.modules or MODULES:
        print(f"measuring {name}", flush=True)
        rows += import_module(f"benchmarks.{name}").rows(data)
    print("\n" + table(rows))
    if not arguments.modules:
        RESULTS.write_text(json.dumps(report(rows), indent=2) + "\n")


def table(rows: list[Row | Skipped]) -> str:
    """The rows in Markdown."""
    lines = ["| what | baseline | Pixels | figure | target | |", "|---|---|---|---|---|---|"]
    for row in rows:
        if isinstance(row, Skipped):
            lines.append(f"| {row.what} | - | - | - | - | skipped: {row.reason} |")
            continue
        figure, target = (f"{_short(value)} {row.unit}" for value in (row.figure, row.target))
        bound = "at least" if row.at_least else "at most"
        verdict = "met" if row.met else "**missed**"
        lines.append(f"| {row.what} | {row.baseline} | {row.ours} | {figure} | {bound} {target} | {verdict} |")
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def report(rows: list[Row | Skipped]) -> dict[str, object]:
    """The rows with what they were measured on."""
    measured = [asdict(row) | {"met": row.met} for row in rows if isinstance(row, Row)]
    return {
        "date": date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("dbx-pixels", "pydicom", "matplotlib")},
        "rows": measured,
        "skipped": [asdict(row) for row in rows if isinstance(row, Skipped)],
    }


if __name__ == "__main__":
    main()
