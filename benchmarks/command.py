"""Runs `pixels ingest` as a user does, and tells what it said and what it took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ingest:
    """One run: its summary as `pixels ingest --json` prints it, and its peak memory in bytes."""

    summary: dict[str, float]
    peak_memory: int


def ingest(folder: Path, home: Path) -> Ingest:
    """Ingest a folder into the table of this home.

    The kernel keeps the peak of each process that ends: it is that of the ingest, which is one process.
    """
    command = [str(Path(sys.executable).with_name("pixels")), "ingest", str(folder), "--home", str(home), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Ingest(json.loads(output), usage.ru_maxrss * unit)
