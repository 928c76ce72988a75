"""A session of Spark Connect: its server is a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from spark_checks import SparkChecks
from spark_checks import mixed as mixed
from spark_segmenting import UIDS, SegmentingChecks, prepared
from spark_segmenting import series as series
from spark_sessions import connect_server, remote_session

#: Starting Java and the first jobs takes its time where all cores are busy.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with connect_server("local[2]") as address:
        yield address


@pytest.fixture(scope="module")
def spark(address: str) -> Iterator[SparkSession]:
    with remote_session(address) as spark:
        yield spark


class TestConnect(SparkChecks):
    """What holds for every session."""


class TestSegmenting(SegmentingChecks):
    """Likewise."""


def test_the_command_line_segments_with_a_server(address: str, series: Path, home: Path) -> None:
    prepared(None, home, series)
    command = [Path(sys.executable).with_name("pixels"), "segment", "--model", "bright", "--where", "Rows = 32"]
    done = subprocess.run(
        [*command, "--home", home, "--engine", "spark", "--remote", address, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")  # one has a gap
    told = json.loads(done.stdout)
    assert [told[name] for name in ("series", "segmented", "failed", "left_out")] == [3, 2, 1, 0]
    assert {result["series_uid"] for result in told["results"] if result["result"]} == {UIDS[0], UIDS[2]}
