"""A first, small job: finds out at the start what would otherwise fail after an hour."""

from __future__ import annotations

import logging
import platform
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from threading import Event, Thread
from typing import Any

import pyarrow as pa
from pyspark.sql import functions

from dbx.pixels.engine.spark.failures import telling
from dbx.pixels.engine.spark.session import is_classic
from dbx.pixels.engine.spark.types import spark_schema
from dbx.pixels.errors import EngineError, PixelsError

_log = logging.getLogger(__name__)

#: Seconds after which whoever waits is told what for, and after which again.
_PATIENCE = 60.0

#: More than any cluster runs tasks at once: of fewer numbers, some tasks would have none.
_NUMBERS = 1 << 20

_FOUND = pa.schema([pa.field(name, pa.string()) for name in ("host", "version", "problem", "remedy")])


@dataclass(frozen=True)
class _Look:
    """What every task of the job does."""

    reach: Callable[[], None]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            pass
        found = {"host": socket.gethostname(), "version": version("dbx-pixels")}
        try:
            self.reach()
        except PixelsError as error:
            found |= {"problem": f"{error.subject} {error.problem}", "remedy": error.remedy}
        yield pa.RecordBatch.from_pylist([found], schema=_FOUND)


def check_executors(session: Any, reach: Callable[[], None]) -> int:
    """Find out whether executors can do what will be asked of them.

    Parameters
    ----------
    session : pyspark.sql.SparkSession
        Classic or of Spark Connect.
    reach : callable
        Called on executors; raises an error of Pixels if something that is needed cannot be reached there.

    Returns
    -------
    int
        How many tasks the cluster runs at once.

    Raises
    ------
    EngineError
        If they have another Python, no or another version of this package, or cannot reach something.
    """
    with telling(), _waiting(session):
        found = session.range(_NUMBERS).mapInArrow(_Look(reach), spark_schema(_FOUND)).collect()
    ours = version("dbx-pixels")
    for row in found:
        if row.version != ours:
            raise EngineError(
                f"Spark's executor on {row.host}",
                f"has dbx-pixels {row.version}, and {platform.node()} has {ours}",
                "Install the same version everywhere.",
            )
        if row.problem:
            raise EngineError(f"Spark's executor on {row.host}", row.problem.rstrip("."), row.remedy)
    return len(found)


@contextmanager
def _waiting(session: Any) -> Iterator[None]:
    """Tell now and then while no core is free: Spark waits for one without a word, and without an end."""
    ended = Event()

    def watch() -> None:
        while not ended.wait(_PATIENCE):
            tracker = session.sparkContext.statusTracker()
            stages = map(tracker.getStageInfo, tracker.getActiveStageIds())
            if any(stage.numActiveTasks + stage.numCompletedTasks == 0 for stage in stages if stage):
                _log.warning("Spark has run nothing yet: are there workers with free cores and memory?")

    if is_classic(session):
        Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def tasks_at_once(session: Any) -> int:
    """Tell how many tasks the cluster runs at once by now: some executors come late, some not before there is work.

    Raises
    ------
    EngineError
        If the cluster works no more.
    """
    with telling():
        return session.range(_NUMBERS).select(functions.spark_partition_id()).distinct().count()
