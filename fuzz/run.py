"""Throws broken files at the native core, built with sanitizers: no crash, no hang, no read beyond, valid JSON.

python fuzz/run.py [--seconds 60] [--seed NUMBER]

Exits with 1 if a file does harm, keeps it and says how to try it again;
with 77 if the compiler (`CXX`, else `c++`) has no sanitizers.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from build import ROOT, build, write_tables
from mutations import mutations, seeds

BUILD = ROOT / "build" / "fuzz"
CRASHES = BUILD / "crashes"
TABLES = BUILD / "tables.txt"
NO_SANITIZERS = 77  # as Automake's skipped tests
HANGS_AFTER = 20  # seconds, with sanitizers on a slow machine

#: The deepest JSON: an object, an array and an attribute for each of 100 sequences. Python's parser recurses.
_DEEPEST_JSON = 400


class HarmError(Exception):
    """A file that the core does not survive."""


class Driver:
    """The program, which answers for one file after the other."""

    def __init__(self, program: Path, tables: Path) -> None:
        self.command = f"{program} {tables}"
        environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0"}  # it is killed before it could tell of leaks
        self._process = subprocess.Popen(
            [program, tables], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )
        self._answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")  # it ended

    def read(self, path: Path) -> str:
        """Have a header read; raises `HarmError` if that crashes or hangs."""
        assert self._process.stdin
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        try:
            answer = self._answers.get(timeout=HANGS_AFTER)
        except queue.Empty:
            raise HarmError(f"no answer within {HANGS_AFTER} s") from None
        if not answer:
            raise HarmError(f"the core ended with {self._process.wait()}")
        return answer

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def fuzz(driver: Driver, files: Iterator[bytes], seconds: float, folder: Path) -> int:
    """Read files until the time is over, and count them."""
    path, count, end = folder / "file.dcm", 0, time.monotonic() + seconds
    while time.monotonic() < end:
        content = next(files)
        path.write_bytes(content)
        try:
            check(driver.read(path))
        except HarmError as error:
            raise HarmError(f"{error}. Try it again: echo {keep(content)} | {driver.command}") from None
        count += 1
    return count


def keep(content: bytes) -> Path:
    """Save a harmful file under a name of its own."""
    CRASHES.mkdir(exist_ok=True)
    path = CRASHES / f"{hashlib.sha1(content).hexdigest()[:12]}.dcm"
    path.write_bytes(content)
    return path


def check(answer: str) -> None:
    """Make sure that an answer is JSON, if the file was DICOM at all."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    if not answer.startswith("{"):
        return
    try:
        json.loads(answer, parse_constant=refuse)
    except ValueError as error:
        raise HarmError(f"no valid JSON: {error}") from None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    arguments = parser.parse_args()

    program = build(BUILD)
    if program is None:
        print("The compiler has no sanitizers: nothing fuzzed", file=sys.stderr)
        return NO_SANITIZERS
    sys.setrecursionlimit(10 * _DEEPEST_JSON)
    write_tables(TABLES)
    samples = seeds()
    files = chain(samples, mutations(samples, random.Random(arguments.seed)))
    driver = Driver(program, TABLES)
    try:
        with tempfile.TemporaryDirectory() as folder:
            count = fuzz(driver, files, arguments.seconds, Path(folder))
    except HarmError as harm:
        print(f"With --seed {arguments.seed}: {harm}", file=sys.stderr)
        return 1
    finally:
        driver.close()
    rate = count / arguments.seconds
    print(f"{count} files read ({rate:.0f}/s) with --seed {arguments.seed}: no crash, no hang, valid JSON")
    return 0


if __name__ == "__main__":
    sys.exit(main())
