"""Models in Unity Catalog: what MLflow's client is made to send, against a registry for tests and a real S3 server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import mlflow
import pytest
from click.testing import CliRunner, Result
from werkzeug.wrappers import Request, Response

from bundles import write_bundle
from dbx.pixels import Catalog
from dbx.pixels.ai.models import Models
from dbx.pixels.cli.main import pixels
from servers import S3Bucket, serve

pytest_plugins = ["servers"]

NAME = "main.pixels.bright"
API = "/api/2.0/mlflow/unity-catalog"


@dataclass
class Workspace:
    """The registry of a workspace of Databricks, as far as MLflow's client uses it."""

    bucket: str
    url: str = ""
    models: dict[str, str] = field(default_factory=dict)
    versions: dict[str, list[dict]] = field(default_factory=dict)
    aliases: dict[tuple[str, str], str] = field(default_factory=dict)

    @Request.application
    def __call__(self, request: Request) -> Response:
        if request.headers.get("Authorization") != "Bearer reader":
            return _answer({"error_code": "UNAUTHENTICATED", "message": "Invalid token"}, 401)
        asked = request.get_json(silent=True) or request.args.to_dict()
        name = request.path.removeprefix(API).replace("/", "_").replace("-", "_")
        handle = getattr(self, name, None)
        return handle(asked) if handle else _answer({"error_code": "ENDPOINT_NOT_FOUND", "message": name}, 404)

    def _registered_models_create(self, asked: dict) -> Response:
        if asked["name"] in self.models:
            return _answer({"error_code": "RESOURCE_ALREADY_EXISTS", "message": "exists"}, 400)
        self.models[asked["name"]] = asked["description"]
        return _answer({"registered_model": {"name": asked["name"]}})

    def _registered_models_get(self, asked: dict) -> Response:
        return _answer({"registered_model": {"name": asked["name"]}})

    def _model_versions_create(self, asked: dict) -> Response:
        versions = self.versions.setdefault(asked["name"], [])
        number = str(len(versions) + 1)
        location = f"s3://{self.bucket}/models/{asked['name']}/{number}"
        versions.append({"name": asked["name"], "version": number, "storage_location": location})
        return _answer({"model_version": versions[-1] | {"status": "PENDING_REGISTRATION"}})

    def _model_versions_generate_temporary_credentials(self, _asked: dict) -> Response:
        keys = {"access_key_id": "key", "secret_access_key": "secret", "session_token": "token"}
        return _answer({"credentials": {"aws_temp_credentials": keys}})

    def _model_versions_finalize(self, asked: dict) -> Response:
        return self._model_versions_get(asked)

    def _model_versions_get(self, asked: dict) -> Response:
        version = self.versions[asked["name"]][int(asked["version"]) - 1]
        return _answer({"model_version": version | {"status": "READY"}})

    def _registered_models_alias(self, asked: dict) -> Response:
        self.aliases[asked["name"], asked["alias"]] = asked["version"]
        return _answer({})


def _answer(answer: dict, status: int = 200) -> Response:
    return Response(json.dumps(answer), status, content_type="application/json")


@pytest.fixture
def workspace(bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    workspace = Workspace(bucket.name)
    with serve(workspace) as workspace.url:
        monkeypatch.setenv("DATABRICKS_HOST", workspace.url)
        monkeypatch.setenv("DATABRICKS_TOKEN", "reader")
        yield workspace


@pytest.fixture
def bright(catalog: Catalog) -> Catalog:
    """A home folder with a model."""
    write_bundle(catalog.home.models, "bright")
    return catalog


def register(catalog: Catalog, name: str) -> Result:
    arguments = ["models", "register", "bright", "--home", catalog.home.root, "--unity-catalog", name]
    return CliRunner().invoke(pixels, [str(argument) for argument in arguments])


def test_the_version_that_is_used_is_registered_whole_with_its_alias(
    bright: Catalog, workspace: Workspace, tmp_path: Path
) -> None:
    for number in ("1", "2"):
        done = register(bright, NAME)
        assert done.exit_code == 0, done.output
        assert done.stdout == f"bright 0.1.0 is version {number} of {NAME}\n"
    assert workspace.models == {NAME: Models(bright.home.models).info("bright").description}
    assert workspace.aliases == {(NAME, "champion"): "2"}
    assert not bright.home.mlflow.joinpath("artifacts").exists()
    sent = mlflow.artifacts.download_artifacts(workspace.versions[NAME][1]["storage_location"], dst_path=str(tmp_path))
    model = mlflow.pyfunc.load_model(sent)
    assert model.predict({"series_uid": "", "output": "info"})["name"] == "bright"
    assert model.metadata.signature.outputs is not None


@pytest.mark.parametrize("name", ["bright", "pixels.bright", "main..bright", "a.b.c.d"])
def test_a_name_has_three_levels(bright: Catalog, name: str) -> None:
    done = register(bright, name)
    assert done.exit_code == 1
    assert done.output == f"pixels: {name}: is no name of a model in Unity Catalog. Write catalog.schema.model.\n"


def test_who_is_not_let_in_is_told_in_one_message(
    bright: Catalog, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", "stranger")
    done = register(bright, NAME)
    assert done.exit_code == 1
    assert f"\npixels: {NAME}: cannot be registered: " in done.stderr
    assert done.stderr.endswith("Check DATABRICKS_HOST, your login, and your rights in the schema.\n")
    assert workspace.models == {}
