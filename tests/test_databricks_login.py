"""The server in a Databricks App: whom Unity Catalog lets read the table is let in, for reading.

The workspace is one for tests: its SQL warehouse is Spark, which runs the statements that the server sends.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from pyspark.sql import SparkSession
from werkzeug.wrappers import Request, Response

from dbx.pixels import Catalog
from dbx.pixels.web import databricks
from dbx.pixels.web.databricks import UnityCatalog
from served import PIXELS, serving
from servers import serve
from spark_sessions import session
from web_server import RunningServer, running

from conftest import TEST_FILES

#: The only catalog that Spark has without a plug-in.
NAME = "spark_catalog.pixels.object_catalog"


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    folder = tmp_path_factory.mktemp("warehouse")
    with session("local[1]", **{"spark.sql.warehouse.dir": str(folder)}) as spark:
        spark.sql("CREATE SCHEMA information_schema")
        spark.sql("CREATE SCHEMA pixels")
        for relation in ("row_filters", "column_masks"):
            columns = "catalog_name string, schema_name string, table_name string"
            spark.sql(f"CREATE TABLE information_schema.{relation} ({columns}) USING parquet")
        spark.sql("CREATE TABLE pixels.object_catalog (path string) USING parquet")
        yield spark


@dataclass
class Workspace:
    """The API of a workspace of Databricks, as far as it is used."""

    spark: SparkSession
    url: str = ""
    readers: set[str] = field(default_factory=lambda: {"reader"})
    strangers: set[str] = field(default_factory=lambda: {"stranger"})
    is_starting: bool = False
    asked: list[dict] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @Request.application
    def __call__(self, request: Request) -> Response:
        assert (request.method, request.path) == ("POST", "/api/2.0/sql/statements")
        token = request.headers["Authorization"].removeprefix("Bearer ")
        asked = request.get_json()
        with self.lock:
            self.asked.append(asked)
        if token not in self.readers | self.strangers:
            return Response(json.dumps({"error_code": 401, "message": "Invalid token"}), 401)
        if self.is_starting:
            return self._answer({"status": {"state": "CANCELED"}})
        if token in self.strangers:
            message = "[INSUFFICIENT_PERMISSIONS] User does not have SELECT on Table"
            return self._answer({"status": {"state": "FAILED", "error": {"message": message}}})
        values = {parameter["name"]: parameter["value"] for parameter in asked["parameters"]}
        rows = [[str(value) for value in row] for row in self.spark.sql(asked["statement"], args=values).collect()]
        return self._answer({"status": {"state": "SUCCEEDED"}, "result": {"data_array": rows}})

    @staticmethod
    def _answer(answer: dict) -> Response:
        return Response(json.dumps(answer), content_type="application/json")


@pytest.fixture
def workspace(spark: SparkSession) -> Iterator[Workspace]:
    workspace = Workspace(spark)
    with serve(workspace) as workspace.url:
        yield workspace


@pytest.fixture
def app(workspace: Workspace, catalog: Catalog) -> Iterator[RunningServer]:
    """A server of one CT, as the proxy of Databricks Apps sees it."""
    with running(catalog, unity_catalog=UnityCatalog(NAME, workspace.url, "w1")) as server:
        server.ingest(TEST_FILES / "CT_small.dcm")
        yield server


def ask(server: RunningServer, path: str, token: str | None = "reader", method: str = "GET") -> httpx.Response:
    """Ask as a browser does through the proxy."""
    headers = {"X-Forwarded-Host": "pixels-1.databricksapps.com", "X-Forwarded-Proto": "https"}
    if token is not None:
        headers["X-Forwarded-Access-Token"] = token
    return httpx.request(method, f"{server.url}{path}", headers=headers, timeout=60)


def test_who_may_read_the_table_reads_it_under_the_address_that_was_called(app: RunningServer) -> None:
    while ask(app, "/dicom-web/studies").status_code == 204:  # until it is indexed
        pass
    (study,) = ask(app, "/dicom-web/studies").json()
    assert study["00081190"]["Value"][0].startswith("https://pixels-1.databricksapps.com/dicom-web/studies/")
    assert ask(app, "/").status_code == 200


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("", 401), ("forged", 403), ("stranger", 403)])
@pytest.mark.parametrize("path", ["/", "/dicom-web/studies", "/metrics", "/api/ai/models", "/monai/info/"])
def test_nobody_else_sees_anything(app: RunningServer, path: str, token: str | None, status: int) -> None:
    answer = ask(app, path, token)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]


def test_whether_it_lives_is_no_secret(app: RunningServer, workspace: Workspace) -> None:
    assert ask(app, "/healthz", None).status_code == 200
    assert workspace.asked == []


@pytest.mark.parametrize("relation", ["row_filters", "column_masks"])
def test_a_table_with_rules_of_its_own_is_not_shown(app: RunningServer, spark: SparkSession, relation: str) -> None:
    spark.sql(f"INSERT INTO information_schema.{relation} VALUES ('spark_catalog', 'pixels', 'object_catalog')")
    try:
        assert ask(app, "/dicom-web/studies").status_code == 403
    finally:
        spark.sql(f"TRUNCATE TABLE information_schema.{relation}")


@pytest.mark.parametrize("path", ["/dicom-web/studies", "/api/ai/segment", "/monai/train/"])
def test_nobody_writes(app: RunningServer, path: str) -> None:
    answer = ask(app, path, method="POST")
    assert (answer.status_code, answer.json()["error"]) == (403, "this server is for reading only")


def test_a_user_is_asked_for_once_in_a_while(
    app: RunningServer, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        ask(app, "/dicom-web/studies")
        ask(app, "/dicom-web/studies", "stranger")
    assert len(workspace.asked) == 2
    monkeypatch.setattr(databricks, "_GRANTED", 0.0)
    workspace.strangers.add("reader")
    workspace.readers.clear()
    assert ask(app, "/dicom-web/studies").status_code == 403


def test_while_the_warehouse_starts_it_says_so_and_asks_again(app: RunningServer, workspace: Workspace) -> None:
    workspace.is_starting = True
    assert ask(app, "/dicom-web/studies").status_code == 503
    workspace.is_starting = False
    assert ask(app, "/dicom-web/studies").is_success


def test_without_a_workspace_it_answers_nobody(catalog: Catalog) -> None:
    with running(catalog, unity_catalog=UnityCatalog(NAME, "http://127.0.0.1:1", "w1")) as server:
        assert ask(server, "/dicom-web/studies").status_code == 503


def test_no_other_server_gets_the_token(workspace: Workspace, catalog: Catalog) -> None:
    got: list[Request] = []

    @Request.application
    def monai_label(request: Request) -> Response:
        got.append(request)
        return Response("{}", content_type="application/json")

    unity_catalog = UnityCatalog(NAME, workspace.url, "w1")
    with serve(monai_label) as url, running(catalog, monai_label_url=url, unity_catalog=unity_catalog) as server:
        assert ask(server, "/monai/info/").status_code == 200
    (request,) = got
    assert "reader" not in str(request.headers)


def test_serve_listens_on_all_addresses_with_this_login_only(
    home: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(databricks.HOST, workspace.url)
    monkeypatch.setenv(databricks.WAREHOUSE, "w1")
    with serving(home, "--host", "0.0.0.0", "--unity-catalog", NAME) as served:
        url = served.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{url}/dicom-web/studies").status_code == 401
        reader = {"X-Forwarded-Access-Token": "reader"}
        assert httpx.get(f"{url}/dicom-web/studies", headers=reader, timeout=60).status_code == 204
        assert "reader" not in served.told()


@pytest.mark.parametrize("missing", [databricks.HOST, databricks.WAREHOUSE])
def test_serve_tells_what_an_app_lacks(home: Path, missing: str) -> None:
    environment = {**os.environ, databricks.HOST: "https://x", databricks.WAREHOUSE: "w1"}
    del environment[missing]
    command = [PIXELS, "serve", "--home", home, "--port", "0", "--unity-catalog", NAME]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith(f"pixels: {missing}: is not set.")
