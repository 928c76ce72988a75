"""Sessions of Spark for tests: of the classic kind, with real executors, and of Spark Connect."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from pyspark import SparkContext
from pyspark.sql import SparkSession

from dbx.pixels.engine.spark.java import spark_java_home

#: Not UTC, so that times which are taken for local ones are found out.
_ZONE = "America/New_York"

#: Java that starts fast rather than runs fast.
_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"

SETTINGS = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.extraJavaOptions": _JAVA,
    "spark.driver.host": "127.0.0.1",
    "spark.executor.extraJavaOptions": _JAVA,
    "spark.log.level": "ERROR",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.session.timeZone": _ZONE,
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}

#: Lets the Java of a session serve Spark Connect, too.
CONNECT = {"spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin"}


@contextmanager
def session(master: str, **settings: str) -> Iterator[SparkSession]:
    """Start a session, and stop its Java afterwards."""
    with environment(), TemporaryDirectory() as warehouse:
        builder = SparkSession.builder.master(master).appName("test")
        for name, value in {**SETTINGS, "spark.sql.warehouse.dir": warehouse, **settings}.items():
            builder = builder.config(name, value)
        spark = builder.getOrCreate()
        try:
            yield spark
        finally:
            gateway = SparkContext._gateway
            spark.stop()
            gateway.shutdown()
            gateway.proc.stdin.close()  # Java ends when its standard input does
            gateway.proc.wait(60)
            SparkContext._gateway = SparkContext._jvm = None


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set what Spark finds in the environment; what it leaves there would decide about later sessions."""
    before = dict(os.environ)
    os.environ.update({"PYSPARK_PYTHON": sys.executable, "JAVA_HOME": spark_java_home(), **variables})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def settings_folder(folder: Path) -> Path:
    """Make a folder with such settings as a user's SPARK_CONF_DIR."""
    folder.mkdir()
    lines = [f"{name} {value}\n" for name, value in SETTINGS.items()]
    (folder / "spark-defaults.conf").write_text("".join(lines))
    return folder


def free_port() -> int:
    """Return a port of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_it_listens(server: subprocess.Popen, port: int) -> None:
    """Wait until a server takes connections."""
    for _ in range(1200):
        assert server.poll() is None, "the server of Spark Connect has ended"
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError("the server of Spark Connect does not listen")


@contextmanager
def remote_session(address: str) -> Iterator[SparkSession]:
    """Connect to a server of Spark Connect."""
    with environment():
        spark = SparkSession.builder.remote(address).config("spark.sql.session.timeZone", _ZONE).create()
        try:
            yield spark
        finally:
            spark.stop()
