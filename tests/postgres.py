"""A real PostgreSQL for tests, on a socket in a folder of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from missing import skip_without


class Postgres:
    """A server with an empty database.

    Attributes
    ----------
    url : str
        Of the database.
    """

    def __init__(self, programs: Path, folder: Path) -> None:
        self.url = f"postgresql://pixels@/postgres?host={folder}"
        self._programs = programs
        self._folder = folder
        self._user = None  # PostgreSQL refuses to run as root
        if os.geteuid() == 0:
            self._user = "nobody"
            os.chown(folder, pwd.getpwnam(self._user).pw_uid, -1)
        self._run("initdb", "--username=pixels", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")

    def start(self) -> None:
        """Start it, as often as a test likes."""
        self._run("pg_ctl", "start", "-w", "-l", str(self._folder / "log"), "-o", f"-k {self._folder} -h '' -F")

    def stop(self) -> None:
        """Stop it if it runs, whoever is connected."""
        if (self._folder / "data" / "postmaster.pid").exists():
            self._run("pg_ctl", "stop", "-m", "immediate")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), "-D", str(self._folder / "data"), *arguments]
        subprocess.run(command, user=self._user, cwd=self._folder, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of an empty database; without PostgreSQL the tests that need it are skipped, except in CI."""
    with _started() as server:
        yield server.url


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server of the test's own, which it may stop."""
    with _started() as server:
        yield server


@contextmanager
def _started() -> Iterator[Postgres]:
    programs = _programs()
    if programs is None:
        skip_without("PostgreSQL is missing: install it (Debian, Ubuntu: apt-get install postgresql)")
    # A socket's path must be short, which pytest's folders are not.
    folder = Path(tempfile.mkdtemp(prefix="pixels-pg-"))
    try:
        server = Postgres(programs, folder)
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder)


def _programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`: on the path, or where Debian puts the newest version."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: -int(folder.parent.name))
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)
