"""The server in a Databricks App: whom Unity Catalog lets read the table is let in, for reading.

The workspace is one for tests: its SQL warehouse is Sail, which has catalogs and Spark's SQL, and starts at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from pyspark.sql import SparkSession
from werkzeug.wrappers import Request, Response

from dbx.pixels import Catalog
from dbx.pixels.cli.main import pixels
from dbx.pixels.web import databricks
from dbx.pixels.web.databricks import UnityCatalog
from sail import LAKE, sail_session
from served import serving
from servers import serve
from warehouse import Workspace
from web_server import RunningServer, running

from conftest import TEST_FILES

NAME = f"{LAKE}.pixels.object_catalog"
RULES = f"{LAKE}.information_schema"


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    with sail_session(tmp_path_factory.mktemp("warehouse")) as spark:
        columns = "catalog_name string, schema_name string, table_name string"
        for statement in (
            f"CREATE SCHEMA {RULES}",
            f"CREATE SCHEMA {LAKE}.pixels",
            f"CREATE TABLE {RULES}.row_filters ({columns}) USING delta",
            f"CREATE TABLE {RULES}.column_masks ({columns}) USING delta",
            f"CREATE TABLE {NAME} (path string) USING delta",
        ):
            spark.sql(statement).collect()
        yield spark


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
def test_nobody_else_sees_anything(app: RunningServer, token: str | None, status: int) -> None:
    for path in ("/", "/dicom-web/studies", "/metrics", "/api/ai/models", "/monai/info/"):
        answer = ask(app, path, token)
        assert (path, answer.status_code) == (path, status)
        assert list(answer.json()) == ["error"]


def test_whether_it_lives_is_no_secret(app: RunningServer, workspace: Workspace) -> None:
    assert ask(app, "/healthz", None).status_code == 200
    assert workspace.asked == []


@pytest.mark.parametrize("relation", ["row_filters", "column_masks"])
def test_a_table_with_rules_of_its_own_is_not_shown(app: RunningServer, spark: SparkSession, relation: str) -> None:
    spark.sql(f"INSERT INTO {RULES}.{relation} VALUES ('{LAKE}', 'pixels', 'object_catalog')").collect()
    try:
        assert ask(app, "/dicom-web/studies").status_code == 403
    finally:
        spark.sql(f"DELETE FROM {RULES}.{relation}").collect()


def test_nobody_writes(app: RunningServer) -> None:
    for path in ("/dicom-web/studies", "/api/ai/segment", "/monai/train/"):
        answer = ask(app, path, method="POST")
        assert (path, answer.status_code, answer.json()["error"]) == (path, 403, "this server is for reading only")


def test_a_user_is_asked_for_once_in_a_while(
    app: RunningServer, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databricks, "_REFUSED", 300.0)  # longer than a busy machine takes for this
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
        assert httpx.get(f"{url}/dicom-web/studies", timeout=60).status_code == 401
        reader = {"X-Forwarded-Access-Token": "reader"}
        assert httpx.get(f"{url}/dicom-web/studies", headers=reader, timeout=60).status_code == 204
        assert "reader" not in served.told()


@pytest.mark.parametrize("missing", [databricks.HOST, databricks.WAREHOUSE])
def test_serve_tells_what_an_app_lacks(home: Path, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(databricks.HOST, "https://x")
    monkeypatch.setenv(databricks.WAREHOUSE, "w1")
    monkeypatch.delenv(missing)
    done = CliRunner().invoke(pixels, ["serve", "--home", str(home), "--port", "0", "--unity-catalog", NAME])
    assert done.exit_code == 1
    assert done.output.startswith(f"pixels: {missing}: is not set.")
