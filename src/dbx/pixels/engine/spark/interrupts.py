"""Ctrl-C while Spark works: KeyboardInterrupt, and no tracebacks besides."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """Keep what an interrupt does while a session is started.

    Spark's own handler asks Java to cancel all jobs while an answer of Java's is read, and fails.
    Whoever stops the session ends its jobs.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if handler is not None and current_thread() is main_thread():
            signal.signal(signal.SIGINT, handler)


@contextmanager
def interrupts_untold() -> Iterator[None]:
    """Leave out of the log that there was an interrupt: py4j tells of it with a traceback, and raises it, too."""

    def is_wanted(record: logging.LogRecord) -> bool:
        return not (record.exc_info and is_of_interrupt(record.exc_info[1]))

    logs = [logging.getLogger(), logging.getLogger("py4j.clientserver")]  # py4j uses both
    for log in logs:
        log.addFilter(is_wanted)
    try:
        yield
    finally:
        for log in logs:
            log.removeFilter(is_wanted)


def is_of_interrupt(error: BaseException | None) -> bool:
    """Tell whether an error is an interrupt, or was raised on its way: the connection to Java is closed then."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None
