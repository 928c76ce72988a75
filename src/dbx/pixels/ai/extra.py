"""What only the extra `ai` brings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dbx.pixels.errors import EngineError


@contextmanager
def extra_ai() -> Iterator[None]:
    """Say how to install what cannot be imported within.

    Raises
    ------
    EngineError
        If a module is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise EngineError(
            "AI", f"needs {error.name}, which is not installed", "pip install 'dbx-pixels[ai]'"
        ) from error
