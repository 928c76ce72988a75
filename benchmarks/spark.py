"""Rows of Spark, on this machine's two cores: headers against the embedded engine, and against the recipe on Spark; and
a stream that finds nothing new, against Spark's own source of files.

Java and Python are warm: every way has run once before it counts.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import corpus, recipe
from benchmarks.measure import Row, Skipped, interleaved, per_file, wall_per_item

FILES = 100_000
RECIPE_FILES = 2_000
STREAM_FILES = 200_000
CORES = 2
THREADS = 32
ROUNDS = 3


def rows(data: Path) -> list[Row | Skipped]:
    """Measure with one session."""
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        return [Skipped("Spark", "PySpark is not installed")]
    from dbx.pixels.engine.spark.java import spark_java_home

    os.environ.update(JAVA_HOME=spark_java_home(), PYSPARK_PYTHON=sys.executable)
    builder = SparkSession.builder.master(f"local[{CORES}]").config("spark.driver.memory", "4g")
    for name in ("spark.ui.enabled", "spark.ui.showConsoleProgress"):
        builder = builder.config(name, "false")
    session = builder.config("spark.log.level", "ERROR").getOrCreate()
    try:
        return [*_headers(session, data), _stream(session, data)]
    finally:
        session.stop()


def _headers(session: Any, data: Path) -> list[Row]:
    folder = data / f"mixed-{FILES}"
    sample = corpus.mixed(folder, FILES)[:RECIPE_FILES]
    measured = interleaved(
        {
            "recipe": lambda: wall_per_item(lambda: _recipe_on(session, sample), RECIPE_FILES),
            "embedded": lambda: _ingest(None, folder, data),
            "ours": lambda: _ingest(session, folder, data),
        },
        rounds=ROUNDS,
    )
    ours = f"{per_file(measured['ours'])}, {measured['ours'] * FILES / 1e6:.2f} s"
    return [
        Row(
            f"{FILES:,} headers with Spark on {CORES} cores, against the embedded engine",
            f"embedded: {per_file(measured['embedded'])}",
            ours,
            100 * measured["embedded"] / measured["ours"],
            50,
            "%",
        ),
        Row(
            f"{FILES:,} headers with Spark on {CORES} cores, against the recipe in mapInPandas with {THREADS} threads",
            f"recipe on Spark: {per_file(measured['recipe'])}",
            ours,
            measured["recipe"] / measured["ours"],
            30,
        ),
    ]


def _ingest(session: Any, folder: Path, data: Path) -> float:
    from dbx.pixels import Catalog
    from dbx.pixels.catalog.ingest import ingest
    from dbx.pixels.catalog.selection import Archives

    home = tempfile.mkdtemp(prefix="home-", dir=data)
    try:
        catalog = Catalog(session, home=home)
        selection = catalog.selection(folder, pattern=None, recurse=True, archives=Archives.SKIP, extract_to=None)
        summary = ingest(catalog, selection)
    finally:
        shutil.rmtree(home)
    if summary.indexed != FILES:
        raise RuntimeError(f"{summary.indexed} of {FILES} files were indexed")
    return summary.seconds / FILES * 1e6


def _recipe_on(session: Any, paths: list[str]) -> None:
    """Read headers as published pipelines do on Spark."""

    def read(frames: Iterator[Any]) -> Iterator[Any]:
        with ThreadPoolExecutor(THREADS) as pool:
            for frame in frames:
                frame["meta"] = list(pool.map(recipe.header_to_json, frame["path"]))
                yield frame

    listed = session.createDataFrame([(path,) for path in paths], "path string").repartition(CORES)
    listed.mapInPandas(read, "path string, meta string").write.format("noop").mode("overwrite").save()


def _stream(session: Any, data: Path) -> Row:
    """Let both streams see all files first, and measure what they take to find that nothing is new."""
    folder, scratch = data / f"tiny-{STREAM_FILES}", Path(tempfile.mkdtemp(prefix="stream-", dir=data))
    corpus.tiny(folder, STREAM_FILES)
    try:
        ways = {"spark": _spark_source(session, folder, scratch), "ours": _our_source(session, folder, scratch)}
        measured = interleaved(ways, rounds=1)
    finally:
        shutil.rmtree(scratch)
    return Row(
        f"a stream over {STREAM_FILES:,} files, nothing new",
        f"Spark's source of files: {measured['spark']:.1f} s",
        f"{measured['ours']:.1f} s",
        measured["spark"] / measured["ours"],
        20,
    )


def _spark_source(session: Any, folder: Path, scratch: Path) -> Callable[[], float]:
    def run() -> float:
        source = session.readStream.format("binaryFile").option("recursiveFileLookup", "true")
        files = source.schema("path string, modificationTime timestamp, length long, content binary").load(str(folder))
        writer = files.select("path").writeStream.format("noop").option("checkpointLocation", str(scratch / "theirs"))
        begin = time.perf_counter()
        writer.trigger(availableNow=True).start().awaitTermination()
        return time.perf_counter() - begin

    return run


def _our_source(session: Any, folder: Path, scratch: Path) -> Callable[[], float]:
    from dbx.pixels import Catalog

    catalog = Catalog(session, home=str(scratch / "home"))

    def run() -> float:
        df = catalog.catalog(
            folder, streaming=True, streamCheckpointBasePath=str(scratch / "ours"), maxFilesPerTrigger=STREAM_FILES
        )
        begin = time.perf_counter()
        catalog.save(df)
        return time.perf_counter() - begin

    return run
