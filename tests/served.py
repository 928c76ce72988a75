"""`pixels serve` for tests: a process of its own, and what it writes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PIXELS = Path(sys.executable).with_name("pixels")
_LAST_OF_ITS_WORDS = "Stop with Ctrl+C."


class Served:
    """A running `pixels serve`.

    Attributes
    ----------
    process : subprocess.Popen
    url : str
        Its origin.
    dicomweb : str
        The root of its DICOMweb services.
    words : list of str
        The lines that it wrote when it had started.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log
        deadline = time.monotonic() + 60
        while _LAST_OF_ITS_WORDS not in self.told():
            assert process.poll() is None, self.told()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        self.words = self.told().splitlines()
        viewer, self.dicomweb = (line.split()[-1] for line in self.words[:2])
        self.url = viewer.rstrip("/")

    def told(self) -> str:
        """What it has written to standard error."""
        return self._log.read_text()

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Stop it, as a shell would with all its processes, and return its exit code."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, by)
        return self.process.wait(30)


@contextmanager
def serving(home: Path, *options: str, temporary: Path | None = None) -> Iterator[Served]:
    """Run `pixels serve` on a free port until the context ends."""
    command = [PIXELS, "serve", "--home", home, "--port", "0", *options]
    environment = os.environ | ({"TMPDIR": str(temporary)} if temporary else {})
    log = home.with_name("log")
    with log.open("w") as stderr:
        process = subprocess.Popen(command, stderr=stderr, env=environment, start_new_session=True)
    try:
        served = Served(process, log)
        yield served
        served.stop()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
