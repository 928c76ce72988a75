"""The baseline of the server: Debian's `orthanc` with its DICOMweb plug-in, as it comes, on a free port of loopback.

Compression of its answers is switched off, which favours it: over loopback it only costs time. It does not wait for the
disk when it stores.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MISSING = "install orthanc and orthanc-dicomweb (Debian, Ubuntu)"

_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_SECONDS_TO_START = 60


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc: its origin, and the seconds that it took to start."""

    url: str
    start: float


def is_installed() -> bool:
    """Tell whether Orthanc and the plug-in are there."""
    return bool(_program()) and _PLUGIN.exists()


@contextmanager
def running(data: Path) -> Iterator[Orthanc]:
    """Run an empty Orthanc, whose files lie below `data` and are deleted in the end."""
    folder = Path(tempfile.mkdtemp(prefix="orthanc-", dir=data))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    configuration = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(_PLUGIN)],
        "HttpPort": port,
        "HttpCompressionEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": False,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    command = [str(_program()), str(folder / "orthanc.json")]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(process, f"{url}/system")
        yield Orthanc(url, time.perf_counter() - begin)
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


def _program() -> str | None:
    return shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url).close()
        except urllib.error.URLError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("Orthanc does not start")
