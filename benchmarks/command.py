"""Runs `pixels` as a user does, and tells what it said and what it took."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PIXELS = str(Path(sys.executable).with_name("pixels"))
_SECONDS_TO_START = 600  # it brings its index up to date first


@dataclass(frozen=True)
class Run:
    """One run: its output, its seconds on the clock and its peak memory in bytes."""

    output: str
    seconds: float
    peak_memory: int


@dataclass(frozen=True)
class Ingest:
    """One run: its summary as `pixels ingest --json` prints it, seconds on the clock and peak memory in bytes."""

    summary: dict[str, float]
    seconds: float
    peak_memory: int


@dataclass
class Serving:
    """A running `pixels serve`.

    Attributes
    ----------
    url : str
        Its origin.
    start : float
        Seconds that it took to start.
    log : pathlib.Path
        What it says: its address, and a line of JSON for each request.
    peak_memory : int
        In bytes; 0 until it has ended.
    """

    url: str
    start: float
    log: Path
    peak_memory: int = 0


def pixels(*arguments: str | Path) -> Run:
    """Run a command to its end.

    Raises
    ------
    RuntimeError
        If it fails.
    """
    begin = time.perf_counter()
    process = subprocess.Popen([_PIXELS, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    output = process.stdout.read().decode()
    peak_memory = _peak_memory(process)
    if process.returncode:
        raise RuntimeError(f"pixels {' '.join(map(str, arguments))} ended with {process.returncode}")
    return Run(output, time.perf_counter() - begin, peak_memory)


def ingest(folder: Path, home: Path) -> Ingest:
    """Ingest a folder into the table of this home."""
    run = pixels("ingest", folder, "--home", home, "--json")
    return Ingest(json.loads(run.output), run.seconds, run.peak_memory)


@contextmanager
def serving(home: Path) -> Iterator[Serving]:
    """Serve a home on a free port until the context ends."""
    log = home.with_name(f"{home.name}.log")
    begin = time.perf_counter()
    with log.open("wb") as stderr:
        process = subprocess.Popen([_PIXELS, "serve", "--home", str(home), "--port", "0"], stderr=stderr)
    try:
        served = Serving(_address(process, log), time.perf_counter() - begin, log)
        yield served
        process.terminate()
        served.peak_memory = _peak_memory(process)
    finally:
        if process.returncode is None:
            process.terminate()
            process.wait()
        log.unlink()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        if address := re.search(r"http://[^/\s]+", log.read_text()):
            try:
                urllib.request.urlopen(f"{address[0]}/healthz", timeout=_SECONDS_TO_START).close()
                return address[0]
            except urllib.error.URLError:
                pass
        time.sleep(0.02)
    raise RuntimeError(f"pixels serve does not start: {log.read_text()}")


def _peak_memory(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process; the kernel keeps the peak of each that ends, and ours are one process each."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
