"""What a machine may lack, and the tests that need it."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def skip_without(message: str) -> NoReturn:
    """Skip a test that lacks something on this machine; in CI, where nothing is to be missing, it fails."""
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
