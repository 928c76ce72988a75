"""Where Spark's Java writes: into a file, so that people are told what they can use."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dbx.pixels.errors import EngineError


@contextmanager
def spark_log() -> Iterator[Path]:
    """Give a file for what Java writes; it is gone afterwards, unless Spark failed.

    Raises
    ------
    EngineError
        Like one that is raised within, and with the address of the file.
    """
    descriptor, name = tempfile.mkstemp(prefix="pixels-spark-", suffix=".log")
    os.close(descriptor)
    log = Path(name)
    try:
        yield log
    except EngineError as error:
        if not log.stat().st_size:
            raise
        remedy, log = f"{error.remedy} Spark's log: {log}", Path()
        raise EngineError(error.subject, error.problem, remedy) from error
    finally:
        if log.name:
            log.unlink()


@contextmanager
def stderr_into(file: Path) -> Iterator[None]:
    """Let processes that are started within write their errors into a file, as long as they live."""
    sys.stderr.flush()
    ours = os.dup(2)
    try:
        with file.open("ab") as opened:
            os.dup2(opened.fileno(), 2)
        yield
    finally:
        os.dup2(ours, 2)
        os.close(ours)
