"""What goes wrong on a cluster, told in one line with the remedy."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from dbx.pixels.engine.spark.interrupts import is_of_interrupt
from dbx.pixels.errors import EngineError

_CLUSTER = "Spark's executors"

#: What Spark's messages hold, what it means, and what helps.
_KNOWN = (
    (
        re.compile(r"No module named '(dbx\.?[\w.]*|_editable\w*)'"),
        "do not have the package dbx.pixels",
        f"Install it on every machine of the cluster: pip install 'dbx-pixels[spark]=={version('dbx-pixels')}'.",
    ),
    (
        re.compile(r"No module named '([\w.]+)'"),
        "lack the Python package {0}",
        f"Install what dbx.pixels needs on every machine: pip install 'dbx-pixels[spark]=={version('dbx-pixels')}'.",
    ),
    (
        re.compile(r"PYTHON_VERSION_MISMATCH|pyspark\.daemon"),
        f"run another Python than {platform.python_version()}, which runs here",
        "Set PYSPARK_PYTHON, or spark.pyspark.python, to the same version on every machine.",
    ),
    (
        re.compile(r'Cannot run program "([^"]+)"'),
        "have no program {0} to run Python with",
        "Set PYSPARK_PYTHON, or spark.pyspark.python, to the Python of every machine.",
    ),
    (
        re.compile(r'No FileSystem for scheme "(\w+)"|Class (org\.apache\.hadoop\.fs\.\S+) not found'),
        "lack the jar that reads {0}",
        "Start Spark with it, such as --packages org.apache.hadoop:hadoop-aws for s3a://.",
    ),
)
_LAST_OF_TRACEBACK = re.compile(r"^(?:[\w.]+\.)?(\w*(?:Error|Exception|Interrupt)): (.+)$", re.MULTILINE)


@contextmanager
def telling() -> Iterator[None]:
    """Tell failures of Spark as errors of Pixels.

    Raises
    ------
    EngineError
        If a job fails, or the cluster cannot be reached.
    KeyboardInterrupt
        If that is what it failed of.
    """
    try:
        yield
    except (PySparkException, Py4JError) as error:
        if is_of_interrupt(error):
            raise KeyboardInterrupt from error
        raise _told(str(error)) from error


def _told(text: str) -> EngineError:
    for pattern, problem, remedy in _KNOWN:
        match = pattern.search(text)
        if match:
            return EngineError(_CLUSTER, problem.format(*(group for group in match.groups() if group)), remedy)
    raised = _LAST_OF_TRACEBACK.findall(text)
    reason = raised[-1][1] if raised else text.strip().partition("\n")[0]
    return EngineError("Spark", f"a job failed: {reason.rstrip('. ')}", "Its log has the details.")
