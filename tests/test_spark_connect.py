"""A session of Spark Connect: its server is a process of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from spark_checks import SparkChecks
from spark_checks import mixed as mixed
from spark_segmenting import SegmentingChecks
from spark_segmenting import series as series
from spark_sessions import connect_server, remote_session

#: Starting Java and the first jobs takes its time where all cores are busy.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    with connect_server("local[2]") as address, remote_session(address) as spark:
        yield spark


class TestConnect(SparkChecks):
    """What holds for every session."""


class TestSegmenting(SegmentingChecks):
    """Likewise."""
