"""Starting a session of Spark, for whoever comes without one."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from dbx.pixels.engine.spark.interrupts import interrupts_kept, interrupts_untold
from dbx.pixels.engine.spark.log import spark_log, stderr_into
from dbx.pixels.errors import EngineError

#: Where Spark Connect's servers listen, if their address does not say.
_CONNECT_PORT = 15002
_CONNECT_SECONDS = 20

#: What Databricks sets where its runtime is, which has a session and ends with it.
_RUNTIME = "DATABRICKS_RUNTIME_VERSION"

_MASTER = re.compile(r"local(\[.+\])?|local-cluster\[.+\]|(spark|k8s)://.+|yarn")

_SETTINGS = {
    "spark.app.name": "pixels",
    "spark.log.level": "ERROR",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


@contextmanager
def spark_session(*, master: str | None = None, remote: str | None = None) -> Iterator[Any]:
    """Start a session, and stop it afterwards; on Databricks, the session of the runtime is used and goes on.

    Parameters
    ----------
    master : str, optional
        Of a cluster, such as ``spark://host:7077`` or ``local[2]``; Spark's own settings decide without.
    remote : str, optional
        The address of a server of Spark Connect instead, ``sc://host:15002``.

    Yields
    ------
    pyspark.sql.SparkSession
        The session.

    Raises
    ------
    EngineError
        If PySpark or Java is missing, or the cluster cannot be reached.
    """
    if on_databricks() and not master and not remote:
        from pyspark.sql import SparkSession

        yield SparkSession.builder.getOrCreate()
        return
    with spark_log() as log, interrupts_untold():
        with stderr_into(log), interrupts_kept():
            session = _start(master, remote)
        try:
            yield session
        finally:
            session.stop()


def is_classic(session: Any) -> bool:
    """Tell whether a session has a Java of its own: those of Spark Connect have none."""
    return hasattr(session, "_jsparkSession")


def require_running(session: Any) -> Any:
    """Return a session if it was not stopped.

    Raises
    ------
    EngineError
        If it was: what Spark says then differs from call to call.
    """
    if _is_stopped(session):
        raise EngineError("spark", "the session was stopped", "Start another one, and make a catalog of it.")
    return session


def _is_stopped(session: Any) -> bool:
    from py4j.protocol import Py4JError

    if not is_classic(session):
        return session.is_stopped
    context = session.sparkContext._jsc
    try:
        return context is None or context.sc().isStopped()
    except (Py4JError, OSError):  # its Java has ended
        return True


def on_databricks() -> bool:
    """Tell whether this runs in a runtime of Databricks."""
    return _RUNTIME in os.environ


def has_catalog(session: Any, name: str) -> bool:
    """Tell whether a session knows tables whose names begin with this one; on Databricks it knows all."""
    # Spark lists a catalog that its settings name only after its first use.
    return (
        on_databricks()
        or any(catalog.name == name for catalog in session.catalog.listCatalogs())
        or session.conf.get(f"spark.sql.catalog.{name}", None) is not None
    )


def _start(master: str | None, remote: str | None) -> Any:
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise EngineError("Spark", f"is not installed: {error}", "pip install 'dbx-pixels[spark]'") from error
    builder = SparkSession.builder
    remote = remote or (None if master else _remote_of_settings())
    if remote:
        _reach(remote)
        builder = builder.remote(remote)
    else:
        _use_this_machine(master)
        builder = builder.master(master) if master else builder
        for name, value in _SETTINGS.items():
            builder = builder.config(name, value)
    try:
        return builder.getOrCreate()
    except Exception as error:  # before Spark runs, what goes wrong has no class in common
        lines = [line for line in str(error).splitlines() if line.strip()]
        reason = next((line for line in lines if "Exception: " in line), lines[0] if lines else type(error).__name__)
        raise EngineError(
            _named(remote) if remote else master or "Spark",
            f"no session could be started: {reason.rpartition('Exception: ')[2].strip().rstrip('.')}",
            "Check the address, and Spark's log.",
        ) from error


def _remote_of_settings() -> str | None:
    """Return the server that the environment names, if it is one: Spark can also start its own here, with a Java."""
    remote = os.environ.get("SPARK_REMOTE", "")
    return remote if remote.startswith("sc://") else None


def _use_this_machine(master: str | None) -> None:
    """Let Spark have our Java; and our Python, where its tasks run here, too."""
    if master and not _MASTER.fullmatch(master):
        raise EngineError(
            master, "is no address of a cluster", "Write spark://HOST:7077, k8s://https://HOST:6443, yarn or local[2]."
        )
    from dbx.pixels.engine.spark.java import spark_java_home

    os.environ["JAVA_HOME"] = spark_java_home()
    if master is None or master.startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)


def _reach(remote: str) -> None:
    """Find out whether somebody listens: Spark would try for minutes."""
    named = _named(remote)
    try:
        address = urlsplit(named)
        if address.scheme != "sc":
            raise ValueError("its address begins with sc://")
        with socket.create_connection((address.hostname or "", address.port or _CONNECT_PORT), _CONNECT_SECONDS):
            pass
    except (OSError, ValueError) as error:
        raise EngineError(
            named, f"there is no server of Spark Connect: {error}", "Check the address, and that the server runs."
        ) from error


def _named(remote: str) -> str:
    """Return an address as it can be told: a token may follow."""
    return remote.partition(";")[0].rstrip("/")
