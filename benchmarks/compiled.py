"""The baselines in C and C++, compiled when they are needed; None where that is impossible."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.measure import cpu_per_item

_SOURCES = Path(__file__).parent


def floor(build: Path, paths: Sequence[str]) -> Callable[[], float] | None:
    """The measurement of open, fstat, pread of 16 KB and close over these paths."""
    library = _compile(build / "floor.so", ["cc", "-O2", "-shared", "-fPIC", str(_SOURCES / "floor.c")])
    if library is None:
        return None
    read_prefixes = ctypes.CDLL(str(library)).read_prefixes
    read_prefixes.restype = ctypes.c_long
    names = (ctypes.c_char_p * len(paths))(*(path.encode() for path in paths))
    return lambda: cpu_per_item(lambda: read_prefixes(names, ctypes.c_long(len(paths))), len(paths))


def dcmtk(build: Path, paths: Sequence[str]) -> Callable[[], float] | None:
    """The measurement of DCMTK's load and writeJson over these paths, in one process of its own."""
    source = str(_SOURCES / "dcmtk.cpp")
    program = _compile(build / "dcmtk", ["c++", "-O2", source, "-ldcmdata", "-loflog", "-lofstd"])
    if program is None:
        return None

    def measure() -> float:
        done = subprocess.run([program], input="\n".join(paths), capture_output=True, text=True, check=True)
        return float(done.stdout)

    return measure


def _compile(target: Path, command: list[str]) -> Path | None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run([*command, "-o", str(target)], capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return target if done.returncode == 0 else None
