"""What the viewer's panel of models asks for: models, runs, trainings, what is labelled next and what is done."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from bundles import write_bundle
from dbx.pixels import Catalog
from dbx.pixels.ai.extra import extra_ai
from dbx.pixels.ai.models import Models
from dbx.pixels.ai.runner import Runner
from dbx.pixels.table import EVERYTHING
from dbx.pixels.web.assistant import Assistant
from trainings import SIZE, SLICES, Ward, admit, new_model
from volumes import magnetic, phantom, write
from web_server import RunningServer, running

#: A network that takes its time, in windows that are many.
_SLOW = "(__import__('time').sleep(0.2), torch.cat([self.threshold - image, image - self.threshold], 1))[1]"
#: The weights of another network.
_FOREIGN = "PK\x03\x04 these are no weights"
_SMALL_WINDOWS = {"inferer": {"_target_": "SlidingWindowInferer", "roi_size": [8, 8, 8], "overlap": 0}}


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Ward:
    """Three patients, of whom none is labelled, and an MR; a model that is ready, and others that are not."""
    folder = tmp_path_factory.mktemp("ward")
    ward = admit(Catalog(home=str(folder / "home")), folder / "data", 3)
    write_bundle(ward.models.folder, "bright")
    write_bundle(ward.models.folder, "empty", threshold=None)
    write_bundle(ward.models.folder, "prompted", inference={"input_dict": {"points": [[1, 2, 3]]}})
    write_bundle(ward.models.folder, "slow", forward=_SLOW, inference=_SMALL_WINDOWS)
    broken = write_bundle(ward.models.folder, "broken")
    (broken / "models" / "model.pt").write_text(_FOREIGN)
    new_model(ward.models, "organs")
    return ward


@pytest.fixture(scope="module")
def server(ward: Ward, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of the ward."""
    with running(ward.catalog) as server:
        server.ingest(write(tmp_path_factory.mktemp("mr"), magnetic(phantom(SLICES, SIZE, seed=9))))
        server.wait_until_served(ModalitiesInStudy="MR")
        yield server


@pytest.fixture
def ai(server: RunningServer) -> Iterator[httpx.Client]:
    """A client of the routes."""
    with httpx.Client(base_url=f"{server.url}/api/ai", timeout=60) as client:
        yield client


def run(ai: httpx.Client, model: str, series: str, **params: Any) -> tuple[list[dict[str, Any]], bytes]:
    """Run a model, and return the lines that are answered, and what comes after them."""
    answer = ai.post("/segment", json={"model": model, "series": series, "params": params})
    lines, rest = [], answer.content
    while rest and "result" not in (lines[-1] if lines else {}):
        line, _, rest = rest.partition(b"\n")
        lines.append(json.loads(line))
    return lines, rest


def labelmap(lines: list[dict[str, Any]], content: bytes) -> NDArray[np.uint8]:
    result = lines[-1]["result"]
    assert len(content) == result["bytes"]
    return np.frombuffer(zlib.decompress(content), np.uint8).reshape(result["shape"])


# --- Models ---


def test_models_are_offered_with_their_labels(ai: httpx.Client) -> None:
    models = {model["name"]: model for model in ai.get("/models").json()["models"]}

    assert list(models) == [
        "bright",
        "broken",
        "organs",
        "prompted",
        "slow",
    ]  # what can neither run nor learn is of no use
    (label,) = models["bright"]["labels"]
    assert (label["name"], label["value"], len(label["color"])) == ("bright", 1, 3)
    liver, spleen = models["organs"]["labels"]
    assert spleen["codes"]["SegmentedPropertyTypeCodeSequence"]["CodeMeaning"] == "Spleen"
    assert liver["color"] != spleen["color"]
    assert (models["bright"]["is_ready"], models["bright"]["is_trainable"]) == (True, False)
    assert (models["organs"]["is_ready"], models["organs"]["is_trainable"]) == (False, True)
    assert models["organs"]["reason"] == "It has no weights yet: pixels train organs."


def test_without_what_ai_needs_the_remedy_is_told(ai: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(_assistant: Assistant) -> None:
        with extra_ai():
            raise ModuleNotFoundError(name="torch")

    monkeypatch.setattr(Assistant, "check", check)

    answer = ai.get("/models")

    assert answer.status_code == 501
    assert answer.json() == {"error": "AI: needs torch, which is not installed. pip install 'dbx-pixels[ai]'"}


# --- Runs ---


def test_a_run_answers_what_the_runner_finds(ai: httpx.Client, ward: Ward) -> None:
    found = Runner(Models(ward.catalog.home.models), ward.index).run("bright", ward.series[0], EVERYTHING)

    lines, content = run(ai, "bright", ward.series[0])

    result = lines[-1]["result"]
    assert np.array_equal(labelmap(lines, content), found.labelmap)
    assert (result["model"], result["version"]) == ("bright", "0.1.0")
    assert result["volumes_ml"] == pytest.approx(found.volumes_ml)
    assert [one["SOPInstanceUID"] for one in result["slices"]] == [
        one.instance.SOPInstanceUID for one in found.series.slices
    ]
    assert {one["frame"] for one in result["slices"]} == {1}


def test_a_run_tells_how_far_it_is(ai: httpx.Client, ward: Ward) -> None:
    lines, _ = run(ai, "slow", ward.series[0])

    parts = [line["progress"] for line in lines[:-1]]
    assert len(parts) > 3
    assert parts == sorted(parts)
    assert lines[-2]["message"] == "segmenting"


def test_a_client_that_goes_away_ends_the_run(ai: httpx.Client, ward: Ward, server: RunningServer) -> None:
    with httpx.stream(
        "POST", f"{server.url}/api/ai/segment", json={"model": "slow", "series": ward.series[1]}, timeout=60
    ) as answer:
        lines = answer.iter_lines()
        while json.loads(next(lines))["message"] != "segmenting":
            pass

    lines, _ = run(ai, "bright", ward.series[1])
    assert "result" in lines[-1]
    waited = [line for line in lines[:-1] if line["message"] == "waiting"]
    assert len(waited) < 10  # the run that nobody waits for would need half a minute


@pytest.mark.parametrize(
    ("asked", "status", "error"),
    [
        ({"model": "nothing"}, 404, "nothing is no model of this home folder"),
        ({"model": "empty"}, 409, "empty is not ready"),
        ({"series": "1.2.3"}, 404, "There is no such series"),
        ({"params": [1]}, 400, '"params" is not what it has to be'),
        ({"model": None}, 400, '"model" is missing'),
    ],
)
def test_what_cannot_be_run_is_told_with_a_status(
    ai: httpx.Client, ward: Ward, asked: dict[str, Any], status: int, error: str
) -> None:
    answer = ai.post("/segment", json={"model": "bright", "series": ward.series[0], **asked})

    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_a_series_of_another_modality_is_refused(ai: httpx.Client, server: RunningServer) -> None:
    image = server.stored("MR")[0]

    answer = ai.post("/segment", json={"model": "bright", "series": image.SeriesInstanceUID})

    assert answer.status_code == 400
    assert answer.json()["error"] == "The series is of modality MR, and bright takes CT"


def test_a_wrong_checkpoint_is_told_and_the_server_lives_on(ai: httpx.Client, ward: Ward) -> None:
    lines, _ = run(ai, "broken", ward.series[0])

    assert lines[-1]["error"].startswith("broken has weights that cannot be loaded as such")
    assert lines[-1]["remedy"].startswith("Save the network's state alone")
    assert "result" in run(ai, "bright", ward.series[0])[0][-1]


@pytest.mark.parametrize("points", ["$import('os').abort()", "@network", [["%train"]], {"_target_": "os.abort"}])
def test_expressions_are_no_parameters(ai: httpx.Client, ward: Ward, points: Any) -> None:
    lines, _ = run(ai, "prompted", ward.series[0], points=points)

    assert lines[-1] == {
        "error": "points is no number or list of numbers",
        "remedy": "Points are [[column, row, slice], ...].",
    }


# --- What is labelled ---


def test_what_is_labelled_is_done_and_not_offered_again(ai: httpx.Client, ward: Ward) -> None:
    def following(**besides: str) -> str | None:
        sample = ai.get("/next", params={"strategy": "first", "model": "organs", **besides}).json()["sample"]
        return sample and sample["SeriesInstanceUID"]

    def done(patient: int) -> dict[str, Any]:
        return ai.get("/progress", params={"model": "organs", "series": ward.series[patient]}).json()

    nothing = {"liver": 0, "spleen": 0}
    assert done(0) == {"total": 3, "labelled": 0, "labels": nothing, "series": []}

    seen = []
    while uid := following():
        assert following(besides=uid) != uid
        seen.append(uid)
        ward.segment(ward.series.index(uid), labels=["liver"] if seen[1:] else ["liver", "spleen"])

    assert sorted(seen) == sorted(ward.series)
    assert done(ward.series.index(seen[0])) == {
        "total": 3,
        "labelled": 3,
        "labels": {"liver": 3, "spleen": 1},
        "series": ["liver", "spleen"],
    }


def test_an_unknown_strategy_is_told(ai: httpx.Client) -> None:
    answer = ai.get("/next", params={"strategy": "best", "model": "organs"})

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("best: is no strategy. There are: ")


# --- Trainings ---


def test_a_training_is_started_looked_at_and_stopped(ai: httpx.Client, ward: Ward) -> None:
    ward.segment(0)
    assert ai.get("/training").json() == {"training": None, "waiting": 0}

    answer = ai.post("/training", json={"model": "organs", "epochs": 500})

    assert answer.status_code == 202
    started = answer.json()["training"]
    assert ai.get("/training").json()["training"]["id"] == started["id"]

    assert ai.delete("/training").json()["training"]["id"] == started["id"]
    while (task := ai.get("/training").json()["training"])["status"] in ("SUBMITTED", "RUNNING"):
        time.sleep(0.1)
    assert task["status"] == "STOPPED"


def test_what_cannot_be_trained_is_told(ai: httpx.Client) -> None:
    answer = ai.post("/training", json={"model": "bright"})

    assert answer.status_code == 409
    assert "cannot be trained" in answer.json()["error"]
    assert ai.post("/training", json={"model": "bright", "epochs": True}).status_code == 400
