"""Running one function over many batches on this machine's cores, in order and with bounded look-ahead."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux only; knows of containers' CPU sets
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_ordered(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int | None = None
) -> Generator[Result, None, None]:
    """Yield ``function(item)`` for every item, in order, computed ahead on threads.

    At most two results a worker exist at a time beyond the one being consumed, so that a slow consumer bounds memory.

    Parameters
    ----------
    function : callable
        Should spend its time outside the GIL.
    items : iterable
        Consumed lazily, from the consumer's thread.
    workers : int, optional
        Threads; as many as there are cores by default.

    Yields
    ------
    object
        The results. An exception that `function` raised is raised here.
    """
    workers = workers or cores()
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="pixels") as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:  # the consumer stopped early, or a batch failed
                future.cancel()
