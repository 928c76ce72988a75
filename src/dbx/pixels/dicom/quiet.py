"""Keeping pydicom quiet: what it warns of may quote patients, and is told by issues instead; and its errors short."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pydicom.config

# Filters for warnings, pydicom's settings and its logger belong to the process, not to a thread.
_lock = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Run pydicom without validation, warnings or log entries, one thread at a time."""
    logger = logging.getLogger("pydicom")
    with _lock, warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        level = logger.level
        logger.setLevel(logging.CRITICAL + 1)  # which its child loggers inherit; being disabled they would not
        try:
            yield
        finally:
            logger.setLevel(level)


def reason(error: Exception) -> str:
    """Say why something failed: pydicom puts entire tracebacks into the messages of some errors."""
    message = str(error) or type(error).__name__
    return message.splitlines()[-1] if "Traceback (most recent call last)" in message else message
