"""Serving: a registered model answers, from a table or a DICOMweb server, what the runner finds here."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
import uvicorn
from click.testing import CliRunner
from mlflow.pyfunc import load_model
from mlflow.pyfunc.scoring_server import init

from bundles import write_bundle
from dbx.pixels import Catalog
from dbx.pixels.ai.info import ModelInfo
from dbx.pixels.ai.models import Models
from dbx.pixels.ai.registry import Registry
from dbx.pixels.ai.remote import RemoteRunner
from dbx.pixels.ai.runner import Runner
from dbx.pixels.ai.segmentation import read_segmentation
from dbx.pixels.ai.segmented import Segmented
from dbx.pixels.ai.series import read_series
from dbx.pixels.ai.sources import dicom_web_config, table_config
from dbx.pixels.ai.tracking import mlflow_client
from dbx.pixels.cli.main import pixels
from dbx.pixels.errors import (
    ArgumentError,
    ModelError,
    ModelNotFoundError,
    ModelNotReadyError,
    RunCancelledError,
    SeriesNotFoundError,
    ServingError,
    UnsuitableSeriesError,
)
from dbx.pixels.index import ServingIndex
from dbx.pixels.table import EVERYTHING
from volumes import ingested, phantom, write
from web_server import running

PIXELS = Path(sys.executable).with_name("pixels")
SLICES, SIZE = 16, 32


class Nobody:
    """A principal who may see nothing."""

    def row_filter(self, table: str) -> str | None:  # noqa: ARG002
        return "false"


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """That of all tests here: MLflow takes seconds to make, and a model to register."""
    return Catalog(home=str(tmp_path_factory.mktemp("serving") / "home"))


@pytest.fixture(scope="module")
def index(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> ServingIndex:
    """A phantom, and a model that finds what is brighter than 100 HU."""
    write_bundle(catalog.home.models, "bright")
    return ingested(catalog, write(tmp_path_factory.mktemp("ct"), phantom(SLICES, SIZE)))


@pytest.fixture(scope="module")
def series_uid(index: ServingIndex) -> str:  # noqa: ARG001
    return str(phantom(SLICES, SIZE)[0].SeriesInstanceUID)


@pytest.fixture(scope="module")
def local(catalog: Catalog, index: ServingIndex, series_uid: str) -> Segmented:
    """What the runner finds here."""
    found = Runner(Models(catalog.home.models), index).run("bright", series_uid, EVERYTHING)
    assert 0 < found.labelmap.sum() < found.labelmap.size
    return found


@pytest.fixture(scope="module")
def serve(catalog: Catalog, index: ServingIndex) -> Iterator[Callable[..., str]]:  # noqa: ARG001
    """Register a model, and serve it as MLflow does, on a free port; returns the endpoint's URL."""
    with ExitStack() as servers:

        def serve_one(source: dict[str, Any] | None = None, model: str = "bright") -> str:
            Registry(catalog.home).register(model, "0.1.0", source or table_config(catalog))
            registered = mlflow_client(catalog.home).get_model_version_by_alias(model, "champion")
            return servers.enter_context(_served(init(load_model(registered.source))))

        servers.enter_context(pytest.MonkeyPatch.context()).setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
        yield serve_one  # MLflow sets that variable for good


@contextmanager
def _served(app: Any) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def endpoint(serve: Callable[..., str]) -> str:
    """The URL of the model, served with series from the table."""
    return serve()


def ask(url: str, **inputs: Any) -> httpx.Response:
    return httpx.post(f"{url}/invocations", json={"inputs": inputs}, timeout=60)


def segmentations(catalog: Catalog) -> list[dict[str, Any]]:
    columns = "path, label_state, model, model_version"
    return catalog.sql(f"SELECT {columns} FROM object_catalog WHERE Modality = 'SEG'").to_arrow().to_pylist()


# --- What an endpoint answers ---


def test_it_answers_with_the_path_of_a_proposal_in_the_table(
    endpoint: str, catalog: Catalog, index: ServingIndex, series_uid: str, local: Segmented
) -> None:
    before = segmentations(catalog)
    answer = ask(endpoint, series_uid=series_uid, params={}).json()["predictions"]
    assert (answer["model"], answer["version"], answer["labels"]) == ("bright", "0.1.0", {"bright": 1})
    assert answer["metrics"]["volumes_ml"] == pytest.approx(local.volumes_ml)
    expected = {"path": answer["seg_path"], "label_state": "proposal", "model": "bright", "model_version": "0.1.0"}
    assert [row for row in segmentations(catalog) if row not in before] == [expected]
    stored = pydicom.dcmread(catalog.home.local_path(answer["seg_path"]))
    series = read_series(index, series_uid, EVERYTHING)
    assert np.array_equal(read_segmentation(stored, series, labels=answer["labels"]).values, local.labelmap)


def test_it_answers_with_bytes_and_leaves_the_table_alone(
    endpoint: str, catalog: Catalog, index: ServingIndex, series_uid: str, local: Segmented
) -> None:
    before = segmentations(catalog)
    answer = ask(endpoint, series_uid=series_uid, output="bytes").json()["predictions"]
    segmentation = pydicom.dcmread(BytesIO(base64.b64decode(answer["seg"])))
    series = read_series(index, series_uid, EVERYTHING)
    assert np.array_equal(read_segmentation(segmentation, series, labels=answer["labels"]).values, local.labelmap)
    assert "seg_path" not in answer
    assert segmentations(catalog) == before


def test_what_it_cannot_answer_has_a_status_and_a_reason(endpoint: str, series_uid: str) -> None:
    for inputs, status, reason in (
        ({"series_uid": "1.2.3"}, 404, "1.2.3: there is no such series"),
        ({"series_uid": series_uid, "params": {"points": [[1, 2, 3]]}}, 400, "points: is no parameter of bright"),
        ({"series_uid": series_uid, "params": {"network": "$1/0"}}, 400, "Invalid properties"),
        ({"series_uid": series_uid, "output": "picture"}, 400, "Ask for path, bytes or info."),
        ({"params": {}}, 400, "Model is missing inputs ['series_uid']"),
    ):
        answer = ask(endpoint, **inputs)
        assert (answer.status_code, reason in answer.json()["message"]) == (status, True), answer.text


def test_prompts_reach_the_model(
    serve: Callable[..., str], catalog: Catalog, index: ServingIndex, series_uid: str
) -> None:
    write_bundle(
        catalog.home.models, "interactive", inference={"input_dict": "$[{'image': '', 'points': [[0, 0, 0]]}]"}
    )
    prompts = {"points": [[1, 2, 3], [4.5, 5, 6]], "point_labels": [0, 1], "label_prompt": [1]}
    remote = RemoteRunner(serve(model="interactive"), index)
    assert remote.info().prompts == ("label_prompt", "points", "point_labels")
    assert remote.run("interactive", series_uid, EVERYTHING, params=prompts).labelmap.any()
    with pytest.raises(ArgumentError, match="is no number or list of numbers"):
        remote.run("interactive", series_uid, EVERYTHING, params={"points": "$1/0", "label_prompt": [1]})


def test_series_come_from_a_dicomweb_server_and_segmentations_go_back(
    serve: Callable[..., str], index: ServingIndex, catalog: Catalog, series_uid: str, local: Segmented
) -> None:
    before = segmentations(catalog)
    with running(catalog) as server:
        url = serve(dicom_web_config(server.dicomweb))
        for _ in range(2):  # the second time it is fetched anew
            found = RemoteRunner(url, index).run("bright", series_uid, EVERYTHING)
            assert np.array_equal(found.labelmap, local.labelmap)
        with ThreadPoolExecutor() as clients:
            answers = [clients.submit(ask, url, series_uid=series_uid) for _ in range(3)]
        assert [answer.result().status_code for answer in answers] == [200, 200, 200]
        assert "seg_path" not in answers[0].result().json()["predictions"]
        assert [ask(url, series_uid=uid).status_code for uid in ("1.2.3", "", "*")] == [404, 400, 400]
    assert segmentations(catalog) == before
    answer = ask(url, series_uid=series_uid)
    assert answer.status_code == 500
    assert "cannot be read from" in answer.json()["message"]


# --- The runner that asks it ---


def test_a_remote_runner_finds_what_a_local_one_does(
    endpoint: str, catalog: Catalog, index: ServingIndex, series_uid: str, local: Segmented
) -> None:
    remote = RemoteRunner(endpoint + "/invocations", index)
    assert remote.info() == remote.ready("bright") == Models(catalog.home.models).info("bright")

    async def in_a_notebook() -> ModelInfo:
        return remote.info()

    assert asyncio.run(in_a_notebook()) == remote.info()
    told: list[tuple[float, str]] = []
    found = remote.run("bright", series_uid, EVERYTHING, on_progress=lambda *progress: told.append(progress))
    assert np.array_equal(found.labelmap, local.labelmap)
    assert found.volumes_ml == local.volumes_ml
    assert (found.model, found.version, dict(found.labels)) == ("bright", "0.1.0", {"bright": 1})
    assert told[0] == (0.0, "segmenting")
    assert told[-1] == (1.0, "segmenting")


def test_a_remote_runner_refuses_as_a_local_one_does(
    endpoint: str, catalog: Catalog, index: ServingIndex, series_uid: str, tmp_path: Path
) -> None:
    remote = RemoteRunner(endpoint, index)
    with pytest.raises(SeriesNotFoundError):
        remote.run("bright", series_uid, Nobody())
    with pytest.raises(ModelNotFoundError, match="It serves bright"):
        remote.run("dark", series_uid, EVERYTHING)
    with pytest.raises(ModelNotFoundError, match=r"It serves 0\.1\.0"):
        remote.run("bright", series_uid, EVERYTHING, version="2")
    with pytest.raises(ArgumentError, match="points: is no parameter of bright"):
        remote.run("bright", series_uid, EVERYTHING, params={"points": [[1, 2, 3]]})
    with pytest.raises(RunCancelledError):
        remote.run("bright", series_uid, EVERYTHING, is_cancelled=lambda: True)
    magnetic = phantom(SLICES, SIZE, seed=1)
    for image in magnetic:
        image.Modality = "MR"
    ingested(catalog, write(tmp_path / "mr", magnetic))
    index.sync()
    with pytest.raises(UnsuitableSeriesError, match="is of modality MR, and bright takes CT"):
        remote.run("bright", magnetic[0].SeriesInstanceUID, EVERYTHING)


def test_a_server_runs_what_the_endpoint_serves_and_none_of_its_own(
    endpoint: str, catalog: Catalog, series_uid: str, local: Segmented
) -> None:
    write_bundle(catalog.home.models, "dark")
    with running(catalog, serving_endpoint=endpoint) as server:
        url = f"{server.url}/monai"
        assert list(httpx.get(f"{url}/info/").json()["models"]) == ["bright"]
        answer = httpx.post(f"{url}/infer/bright?image={series_uid}&output=dicom_seg", timeout=120)
        segmentation = pydicom.dcmread(BytesIO(answer.content))
        found = read_segmentation(segmentation, local.series, labels=local.labels).values
        assert np.array_equal(found, local.labelmap)
        assert httpx.post(f"{url}/infer/dark?image={series_uid}", timeout=60).status_code == 404
        sent = {"file": ("volume.nrrd", b"NRRD")}
        assert httpx.post(f"{url}/infer/bright", files=sent, timeout=60).status_code == 400
        assert httpx.post(f"{url}/activelearning/uncertainty", timeout=60).json()["id"] == series_uid
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with running(catalog, serving_endpoint=f"http://127.0.0.1:{port}") as server:
        answer = httpx.get(f"{server.url}/monai/info/")
        assert (answer.status_code, "pixels models serve" in answer.json()["error"]) == (502, True)
        assert httpx.get(f"{server.dicomweb}/studies").status_code == 200


def test_an_endpoint_that_is_none_is_told(index: ServingIndex, catalog: Catalog, series_uid: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with pytest.raises(ServingError, match=r"cannot be reached.*pixels models serve"):
        RemoteRunner(f"http://127.0.0.1:{port}", index).run("bright", series_uid, EVERYTHING)
    with pytest.raises(ServingError, match="cannot be reached"):
        RemoteRunner("no address", index).info()
    with running(catalog) as server, pytest.raises(ServingError, match="answers 405"):
        RemoteRunner(server.url, index).info()


def test_a_model_that_is_not_ready_or_not_registered_is_not_served(catalog: Catalog, index: ServingIndex) -> None:  # noqa: ARG001
    write_bundle(catalog.home.models, "empty", threshold=None)
    home = ["--home", str(catalog.home.root)]
    with pytest.raises(ModelNotReadyError, match="has no weights"):
        Registry(catalog.home).register("empty", "0.1.0", table_config(catalog))
    answer = CliRunner().invoke(pixels, ["models", "serve", "empty", *home])
    assert (answer.exit_code, "pixels models register empty" in answer.output) == (1, True)
    with pytest.raises(ModelError):
        Registry(catalog.home).register("none", "1", {})
    write_bundle(catalog.home.models, "moved")
    Registry(catalog.home).register("moved", "0.1.0", table_config(catalog))
    registered = catalog.home.mlflow / "artifacts" / "moved"
    registered.rename(registered.with_name("elsewhere"))
    answer = CliRunner().invoke(pixels, ["models", "serve", "moved", "--port", "0", *home])
    assert re.fullmatch(
        r"pixels: moved: cannot be loaded from where it .*\. pixels models register moved\n", answer.stderr
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        answer = CliRunner().invoke(pixels, ["models", "serve", "moved", "--port", port, *home])
    assert answer.stderr.startswith(f"pixels: port {port}: cannot be listened on: Address already in use")


# --- The real thing ---


@pytest.mark.timeout(900)
def test_the_command_line_registers_and_serves(
    catalog: Catalog, index: ServingIndex, series_uid: str, local: Segmented, tmp_path: Path
) -> None:
    home = ["--home", str(catalog.home.root)]
    told = CliRunner().invoke(pixels, ["models", "register", "bright", *home])
    assert re.fullmatch(r"bright 0\.1\.0 is version \d+ in MLflow: pixels models serve bright\n", told.stdout)
    with _serving(catalog.home.root, tmp_path) as url:
        assert np.array_equal(RemoteRunner(url, index).run("bright", series_uid, EVERYTHING).labelmap, local.labelmap)
        answer = ask(url, series_uid=series_uid, params={})
        assert answer.json()["predictions"]["seg_path"].startswith("/Volumes/")
    with pytest.raises(httpx.ConnectError):  # MLflow's server ended with the command
        httpx.get(url)
    assert list((tmp_path / "here").iterdir()) == []


@contextmanager
def _serving(home: Path, folder: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    (folder / "here").mkdir()
    log = folder / "log"
    with log.open("wb") as output:
        command = [PIXELS, "models", "serve", "bright", "--home", home, "--port", port]
        process = subprocess.Popen(command, cwd=folder / "here", stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    try:
        while not _answers(url):
            assert process.poll() is None, log.read_text()
            time.sleep(0.5)
        yield url
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait(60)
        while _answers(url):
            time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ping").is_success
    except httpx.ConnectError:
        return False
