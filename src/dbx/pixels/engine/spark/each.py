"""Work that takes long for each item: a job of one task each, so that none waits for others, or fails with them."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import pyarrow as pa

from dbx.pixels.engine.spark.failures import telling
from dbx.pixels.engine.spark.types import spark_schema
from dbx.pixels.errors import EngineError

_Item = TypeVar("_Item")
_Outcome = TypeVar("_Outcome")

_RETURNED = pa.schema([pa.field("returned", pa.binary())])


@dataclass(frozen=True)
class _Call:
    """What the task of one job does."""

    function: Callable[[Any], Any]
    item: Any

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            pass
        yield pa.RecordBatch.from_pydict({"returned": [pickle.dumps(self.function(self.item))]}, schema=_RETURNED)


def call_each(
    session: Any, function: Callable[[_Item], _Outcome], items: Iterable[_Item], *, at_once: int
) -> Iterator[tuple[_Item, _Outcome | EngineError]]:
    """Call a function on executors, with each of some items.

    Parameters
    ----------
    session : pyspark.sql.SparkSession
        Classic or of Spark Connect.
    function : callable
        Pickled with its item, as is what it returns.
    items : iterable
        Taken when there is a place for them.
    at_once : int
        Jobs that the cluster has at most, those included which wait for a core.

    Yields
    ------
    item
        In the order in which they are done.
    outcome
        What the function returned, or why a job failed while the cluster works.

    Raises
    ------
    EngineError
        If the cluster works no more.
    """

    def run(item: _Item) -> _Outcome:
        with telling():
            one = session.range(0, 1, 1, 1)
            (row,) = one.mapInArrow(_Call(function, item), spark_schema(_RETURNED)).collect()
        return pickle.loads(row.returned)

    def outcome(done: Future[_Outcome]) -> _Outcome | EngineError:
        try:
            return done.result()
        except EngineError as error:
            with telling():
                session.range(1).collect()
            return error

    pool = ThreadPoolExecutor(at_once, thread_name_prefix="pixels-spark")
    running: dict[Future[_Outcome], _Item] = {}
    try:
        left = iter(items)
        while True:
            for item in islice(left, at_once - len(running)):
                running[pool.submit(run, item)] = item
            if not running:
                return
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(done), outcome(done)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
