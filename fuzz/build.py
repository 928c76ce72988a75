"""Building the native core as a program with sanitizers, and the dictionaries that it wants as a file."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from dbx.pixels.dicom import dictionary

ROOT = Path(__file__).parent.parent
_NATIVE = ROOT / "native"

#: All but those that speak to Python, which the driver stands in for.
_BINDINGS = ("folder", "header_reader", "module", "packing", "thumbnail")
_SOURCES = [
    Path(__file__).parent / "driver.cpp",
    *(path for path in sorted(_NATIVE.glob("*.cpp")) if path.stem not in _BINDINGS),
]
_COMPILER = os.environ.get("CXX", "c++").split()
_SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
_FLAGS = ["-std=c++20", "-O0", "-g1", f"-I{_NATIVE}", *_SANITIZE]


def build(folder: Path) -> Path | None:
    """Compile, if something has changed since the last time.

    All sources are one translation unit, which takes half the time: the headers of the standard are read once.

    Returns
    -------
    pathlib.Path or None
        The program; None if the compiler has no sanitizers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not _has_sanitizers(folder):
        return None
    whole, program = folder / "whole.cpp", folder / "driver"
    command = [*_COMPILER, *_FLAGS, str(whole), "-o", str(program)]
    text = "".join([f"// {shlex.join(command)}\n", *(f'#include "{path}"\n' for path in _SOURCES)])
    # Neither a source that is gone nor a flag has a time.
    if not whole.exists() or whole.read_text() != text:
        program.unlink(missing_ok=True)
        whole.write_text(text)
    newest = max(path.stat().st_mtime for path in [*_SOURCES, *_NATIVE.glob("*.hpp")])
    if not program.exists() or program.stat().st_mtime < newest:
        subprocess.run(command, check=True)
    return program


def write_tables(path: Path) -> None:
    """Write the dictionaries as the driver reads them: an entry a line, its fields separated by tabs."""
    lines = [
        *(("public", tag, _short(vr)) for tag, vr in dictionary.public_attributes()),
        *(("repeater", mask, tag, _short(vr)) for mask, tag, vr in dictionary.repeating_attributes()),
        *(("private", creator, key, tag, _short(vr)) for creator, key, tag, vr in dictionary.private_attributes()),
        *(("column", *column) for column in dictionary.typed_columns()),
    ]
    path.write_text("".join("\t".join(map(str, line)) + "\n" for line in lines), encoding="utf-8")


def _short(vr: str) -> str:
    return {"US or SS": "us", "US or OW": "uw", "OB or OW": "ow"}.get(vr, vr)


def _has_sanitizers(folder: Path) -> bool:
    source, program = folder / "probe.cpp", folder / "probe"
    source.write_text("int main() {}\n")
    try:
        subprocess.run([*_COMPILER, *_SANITIZE, str(source), "-o", str(program)], check=True, capture_output=True)
        subprocess.run([program], check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return False
    return True
