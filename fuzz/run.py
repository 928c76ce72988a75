"""Throws broken files at the native core, built with sanitizers: no crash, no hang, no read beyond, valid JSON.

python fuzz/run.py [--seconds 60] [--seed 0]

Exits with 1 and keeps the file if one of them does harm, with 77 if the compiler (`CXX`, else `c++`) has no sanitizers.
"""

from __future__ import annotations

import argparse
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
from mutations import mutations, seeds, truncations

BUILD = ROOT / "build" / "fuzz"
HARMFUL = BUILD / "harmful.dcm"
NO_SANITIZERS = 77  # as Automake's skipped tests
HANGS_AFTER = 20  # seconds, with sanitizers on a slow machine

#: The deepest JSON: an object, an array and an attribute for each of 100 sequences. Python's parser recurses.
_DEEPEST_JSON = 400


class HarmError(Exception):
    """A file that the core does not survive."""


class Driver:
    """The program, which answers for one file after the other."""

    def __init__(self, program: Path, tables: Path) -> None:
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
        except HarmError:
            HARMFUL.write_bytes(content)
            raise
        count += 1
    return count


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
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    program = build(BUILD)
    if program is None:
        print("The compiler has no sanitizers: nothing fuzzed", file=sys.stderr)
        return NO_SANITIZERS
    sys.setrecursionlimit(10 * _DEEPEST_JSON)
    tables = BUILD / "tables.txt"
    write_tables(tables)
    samples = seeds()
    files = chain(samples, truncations(samples), mutations(samples, random.Random(arguments.seed)))
    driver = Driver(program, tables)
    try:
        with tempfile.TemporaryDirectory() as folder:
            count = fuzz(driver, files, arguments.seconds, Path(folder))
    except HarmError as harm:
        print(f"{harm}; the file is {HARMFUL}", file=sys.stderr)
        return 1
    finally:
        driver.close()
    print(f"{count} files read")
    return 0


if __name__ == "__main__":
    sys.exit(main())
