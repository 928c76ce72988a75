"""Runs `pixels` as a user does, and tells what it said and what it took."""

from __future__ import annotations

import json
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
from tempfile import TemporaryDirectory
from typing import Any

_PIXELS = str(Path(sys.executable).with_name("pixels"))
_LAUNCHER = str(Path(__file__).with_name("launcher.py"))
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
    with _launched(*map(str, arguments), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as (process, told):
        output = process.communicate()[0].decode()
    if process.returncode:
        raise RuntimeError(f"pixels {' '.join(map(str, arguments))} ended with {process.returncode}")
    return Run(output, told["seconds"], told["peak_memory"])


def ingest(folder: Path, home: Path) -> Ingest:
    """Ingest a folder into the table of this home."""
    run = pixels("ingest", folder, "--home", home, "--json")
    return Ingest(json.loads(run.output), run.seconds, run.peak_memory)


@contextmanager
def serving(home: Path) -> Iterator[Serving]:
    """Serve a home on a free port until the context ends."""
    log = home.with_name(f"{home.name}.log")
    begin = time.perf_counter()
    with (
        log.open("wb") as stderr,
        _launched("serve", "--home", str(home), "--port", "0", stderr=stderr) as (server, told),
    ):
        try:
            served = Serving(_address(server, log), time.perf_counter() - begin, log)
            yield served
        finally:
            server.terminate()
            log.unlink()
    served.peak_memory = told["peak_memory"]


@contextmanager
def _launched(*arguments: str, **files: Any) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """Start `pixels`, and wait until it has ended; then the dictionary tells its seconds and its peak memory."""
    told: dict[str, Any] = {}
    with TemporaryDirectory() as folder:
        file = Path(folder) / "told.json"
        command = [sys.executable, "-ISE", _LAUNCHER, str(file), _PIXELS, *arguments]
        with subprocess.Popen(command, **files) as process:
            yield process, told
        told |= json.loads(file.read_text())


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
