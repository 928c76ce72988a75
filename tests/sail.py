"""A server of Spark Connect that has the data source `delta` without a jar: Sail, in a Python of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import SparkSession

from missing import skip_without
from spark_sessions import free_port, remote_session, wait_until_it_listens

#: Made by `make setup-test`.
SAIL = Path(sys.prefix) / "sail" / "bin" / "sail"

#: The catalog whose tables the server knows by name.
LAKE = "lake"


@contextmanager
def sail_session(warehouse: Path) -> Iterator[SparkSession]:
    """Start a server and connect to it; tables lie in the warehouse. Without Sail tests are skipped, except in CI."""
    if not SAIL.exists():
        skip_without("Sail is missing: make setup-test installs it")
    port = free_port()
    settings = {
        "SAIL_CATALOG__LIST": f'[{{type="memory", name="{LAKE}", initial_database=["default"]}}]',
        "SAIL_CATALOG__DEFAULT_CATALOG": LAKE,
    }
    server = subprocess.Popen(
        [SAIL, "spark", "server", "--port", str(port)],
        env=os.environ | settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_it_listens(server, port)
        with remote_session(f"sc://127.0.0.1:{port}") as spark:
            spark.conf.set("spark.sql.warehouse.dir", str(warehouse))
            # Sail's own value has a unit, which the newer PySpark does not understand.
            spark.conf.set("spark.sql.session.localRelationSizeLimit", str(1 << 30))
            yield spark
    finally:
        server.terminate()
        server.wait(60)
