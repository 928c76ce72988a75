"""A classic session: a cluster of two real executors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from spark_checks import SparkChecks
from spark_checks import mixed as mixed
from spark_sessions import session


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    with session("local-cluster[2,1,1024]") as spark:
        yield spark


class TestClassic(SparkChecks):
    """What holds for every session."""
