"""What only the extra `ai` brings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from dbx.pixels.errors import EngineError

# MLflow, which MONAI imports, tells its makers that it is used unless this is there before.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


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


def require(*modules: str) -> None:
    """Make sure that modules are installed; they are not imported yet.

    Raises
    ------
    EngineError
        If one is missing.
    """
    with extra_ai():
        for module in modules:
            if find_spec(module) is None:
                raise ModuleNotFoundError(name=module)
