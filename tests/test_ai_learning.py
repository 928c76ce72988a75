"""Active learning: what is offered next, and how uncertain models are of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from bundles import weights, write_bundle
from dbx.pixels import Catalog
from dbx.pixels.ai.active_learning import STRATEGIES, ActiveLearning
from dbx.pixels.ai.filtered import FilteredBy
from dbx.pixels.ai.foreground import Foreground
from dbx.pixels.ai.info import ModelInfo
from dbx.pixels.ai.models import Models
from dbx.pixels.ai.scores import Score, Scores
from dbx.pixels.ai.scoring import LEFT, Scorer, score
from dbx.pixels.ai.segmentation import write_segmentation
from dbx.pixels.ai.segmented import Segmented
from dbx.pixels.ai.series import read_series
from dbx.pixels.ai.storing import store
from dbx.pixels.ai.task_folder import TaskFolder
from dbx.pixels.ai.uncertainty import uncertainty
from dbx.pixels.catalog.arrivals import LabelState
from dbx.pixels.catalog.uploads import Uploads
from dbx.pixels.errors import ArgumentError, StorageError
from dbx.pixels.index import ServingIndex
from dbx.pixels.table import EVERYTHING
from volumes import ingested, phantom, write

SLICES, SIZE = 16, 32

#: Seconds that a busy machine may need to start a nice process that imports torch.
_PATIENCE = 240
#: Seconds in which a scorer, or its process, looks whether somebody waits.
_SOME_LOOKS = 2.5


@pytest.fixture
def models(catalog: Catalog) -> Models:
    """A model that finds what is brighter than -500 HU: the body."""
    models = Models(catalog.home.models)
    write_bundle(models.folder, "bright", threshold=-500)
    return models


@pytest.fixture
def bright(models: Models) -> ModelInfo:
    return models.info("bright")


def series(number: int) -> list[Dataset]:
    """The images of a patient, whose study is the newer the higher the number."""
    images = phantom(SLICES, SIZE, number)
    for image in images:
        image.StudyDate = f"202401{number + 1:02}"
    return images


def uid_of(images: list[Dataset]) -> str:
    return str(images[0].SeriesInstanceUID)


def doubtful(number: int) -> list[Dataset]:
    """A patient in whom the model is at a loss: there is noise about -500 HU, where others have organs."""
    images = series(number)
    random = np.random.default_rng(number)
    inside = slice(SIZE // 4, -SIZE // 4)
    for image in images:
        pixels = np.frombuffer(image.PixelData, np.uint16).reshape(SIZE, SIZE).copy()
        pixels[inside, inside] = random.normal(-500, 20, (SIZE // 2, SIZE // 2)) - float(image.RescaleIntercept)
        image.PixelData = pixels.tobytes()
    return images


def label(catalog: Catalog, index: ServingIndex, uid: str, state: LabelState = LabelState.FINAL) -> None:
    """Save a segmentation of a series, as a person does, or a model."""
    one = read_series(index, uid, EVERYTHING)
    labelmap = np.zeros(one.shape, np.uint8)
    labelmap[4:8, 4:8, 4:8] = 1
    dataset = write_segmentation(Segmented(one, labelmap, {"anything": 1}, "", "", seconds=0))
    store(dataset, Uploads(catalog, index), state)


# --- What is offered ---


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_series_is_offered_until_it_has_a_final_label(
    catalog: Catalog, tmp_path: Path, bright: ModelInfo, strategy: str
) -> None:
    patients = [series(number) for number in range(3)]
    index = ingested(catalog, *(write(tmp_path / str(number), one) for number, one in enumerate(patients)))
    learning = ActiveLearning(catalog, index)
    offered = []
    while sample := learning.next(strategy, bright, EVERYTHING):
        uid = sample.series.SeriesInstanceUID
        label(catalog, index, uid, LabelState.PROPOSAL)  # a model's, which changes nothing
        assert uid not in learning.labelling(["CT"], EVERYTHING).labelled
        label(catalog, index, uid)
        offered.append(uid)
    assert sorted(offered) == sorted(map(uid_of, patients))
    assert learning.labelling(["CT"], EVERYTHING).left == []
    assert len(learning.labelling([""], EVERYTHING).series) == 3  # of any modality, but segmentations are no images


def test_first_is_the_newest_study(catalog: Catalog, tmp_path: Path, bright: ModelInfo) -> None:
    patients = [series(number) for number in range(3)]
    index = ingested(catalog, *(write(tmp_path / str(number), one) for number, one in enumerate(patients)))
    learning = ActiveLearning(catalog, index)
    newest, older, _ = (uid_of(one) for one in reversed(patients))
    for _ in range(3):
        sample = learning.next("first", bright, EVERYTHING)
        assert sample
        assert (sample.series.SeriesInstanceUID, sample.score) == (newest, None)
    another = learning.next("first", bright, EVERYTHING, besides=newest)
    assert another
    assert another.series.SeriesInstanceUID == older


def test_random_offers_all_of_them(catalog: Catalog, tmp_path: Path, bright: ModelInfo) -> None:
    patients = [series(number) for number in range(3)]
    index = ingested(catalog, *(write(tmp_path / str(number), one) for number, one in enumerate(patients)))
    learning = ActiveLearning(catalog, index)
    samples = [learning.next("random", bright, EVERYTHING) for _ in range(60)]
    assert {sample.series.SeriesInstanceUID for sample in samples if sample} == set(map(uid_of, patients))


def test_a_label_that_is_deleted_makes_its_series_a_sample_again(
    catalog: Catalog, tmp_path: Path, bright: ModelInfo
) -> None:
    index = ingested(catalog, write(tmp_path / "ct", series(0)))
    learning = ActiveLearning(catalog, index)
    uid = uid_of(series(0))
    label(catalog, index, uid)
    assert learning.next("first", bright, EVERYTHING) is None
    saved = learning.labelling(["CT"], EVERYTHING).labelled[uid]
    stored = index.find(saved.SOPInstanceUID, EVERYTHING)
    assert stored
    Uploads(catalog, index).delete(lambda: [stored])
    assert learning.next("first", bright, EVERYTHING)


def test_what_does_not_suit_the_model_is_not_offered(catalog: Catalog, tmp_path: Path, bright: ModelInfo) -> None:
    magnetic, with_gap, scout = series(1), series(2), series(3)
    for image in magnetic:
        image.Modality = "MR"
    del with_gap[5]
    index = ingested(
        catalog, write(tmp_path / "mr", magnetic), write(tmp_path / "gap", with_gap), write(tmp_path / "1", scout[:1])
    )
    learning = ActiveLearning(catalog, index)
    for strategy in STRATEGIES:
        assert learning.next(strategy, bright, EVERYTHING) is None
    ingested(catalog, write(tmp_path / "ct", series(0)))
    index.sync()
    for strategy in STRATEGIES:
        sample = learning.next(strategy, bright, EVERYTHING)
        assert sample
        assert sample.series.SeriesInstanceUID == uid_of(series(0))


def test_nobody_is_offered_what_they_may_not_see(catalog: Catalog, tmp_path: Path, bright: ModelInfo) -> None:
    patients = [series(number) for number in range(3)]
    index = ingested(catalog, *(write(tmp_path / str(number), one) for number, one in enumerate(patients)))
    learning = ActiveLearning(catalog, index)
    one = FilteredBy(f"PatientID = '{patients[1][0].PatientID}'")
    for strategy in STRATEGIES:
        sample = learning.next(strategy, bright, one)
        assert sample
        assert sample.series.SeriesInstanceUID == uid_of(patients[1])
    assert learning.next("first", bright, FilteredBy("false")) is None
    assert learning.labelling(["CT"], one).series == (uid_of(patients[1]),)
    label(catalog, index, uid_of(patients[1]))
    assert set(learning.labelling(["CT"], EVERYTHING).labelled) == {uid_of(patients[1])}
    assert learning.labelling(["CT"], FilteredBy("Modality = 'CT'")).labelled == {}  # they may not see segmentations


def test_an_unknown_strategy_is_refused_and_an_empty_home_has_nothing(catalog: Catalog, bright: ModelInfo) -> None:
    learning = ActiveLearning(catalog, ServingIndex.open(catalog))
    assert learning.next("random", bright, EVERYTHING) is None
    with pytest.raises(ArgumentError, match=r"luck: is no strategy\. There are: first, random, uncertainty"):
        learning.next("luck", bright, EVERYTHING)


# --- How uncertain a model is ---


class _Fixed:
    """Finds one labelmap after the other."""

    def __init__(self, *labelmaps: Any) -> None:
        self._labelmaps = iter(labelmaps)

    def segment(self, volume: Any, affine: Any) -> Any:  # noqa: ARG002
        return next(self._labelmaps)


def test_uncertainty_is_the_mean_entropy_of_what_is_found() -> None:
    volume, affine = np.zeros((1, 1, 4), np.float32), np.eye(4)
    surely = np.array([[[0, 1, 1, 2]]], np.uint8)
    perhaps = np.array([[[0, 0, 1, 2]]], np.uint8)
    labels = {"liver": 1, "spleen": 2}
    assert uncertainty(_Fixed(*[surely] * 5), volume, affine, labels) == 0
    share = np.array([2, 3]) / 5
    expected = -np.sum(share * np.log(share)) / np.log(3) / 3  # one of three voxels that have a label in any
    found = uncertainty(_Fixed(surely, surely, perhaps, perhaps, perhaps), volume, affine, labels)
    assert found == pytest.approx(expected)
    assert uncertainty(_Fixed(*[np.zeros_like(surely)] * 5), volume, affine, labels) == 0


def test_what_the_model_is_uncertain_of_comes_first(
    catalog: Catalog, tmp_path: Path, models: Models, bright: ModelInfo
) -> None:
    patients = [series(0), doubtful(1), series(2)]
    index = ingested(catalog, *(write(tmp_path / str(number), one) for number, one in enumerate(patients)))
    scores = Scores(catalog.home.scores)
    scorer = Scorer(catalog, index)
    scorer.close()  # this test scores itself
    learning = ActiveLearning(catalog, index, scorer)
    score(models, "bright", index, map(uid_of, patients), EVERYTHING, scores)
    known = scores.of("bright", models.versions("bright").find("0.1.0").identity)
    clear, unclear, other = (known[uid_of(one)].value for one in patients)
    assert clear is not None
    assert unclear is not None
    assert other is not None
    assert 0 <= max(clear, other) < unclear <= 1
    sample = learning.next("uncertainty", bright, EVERYTHING)
    assert sample
    assert (sample.series.SeriesInstanceUID, sample.score) == (uid_of(patients[1]), unclear)
    label(catalog, index, uid_of(patients[1]))
    sample = learning.next("uncertainty", bright, EVERYTHING)
    assert sample
    assert sample.score == max(clear, other)


def test_scores_are_those_of_the_version_and_of_the_series_as_it_is(
    catalog: Catalog, tmp_path: Path, models: Models, bright: ModelInfo
) -> None:
    images = doubtful(0)
    index = ingested(catalog, write(tmp_path / "ct", images))
    scores = Scores(catalog.home.scores)
    scorer = Scorer(catalog, index)
    scorer.close()
    learning = ActiveLearning(catalog, index, scorer)

    def offered(model: ModelInfo) -> float | None:
        sample = learning.next("uncertainty", model, EVERYTHING)
        assert sample
        return sample.score

    score(models, "bright", index, [uid_of(images)], EVERYTHING, scores)
    before = offered(bright)
    assert before

    changed = deepcopy(images)
    for image in changed:
        image.PixelData = np.full((SIZE, SIZE), 3000, np.uint16).tobytes()
    write(tmp_path / "ct", changed)
    ingested(catalog, tmp_path / "ct")
    index.sync()
    assert offered(bright) is None
    score(models, "bright", index, [uid_of(images)], EVERYTHING, scores)
    assert offered(bright) == 0

    versions = models.versions("bright")
    versions.set_champion(versions.publish(weights(50), dice=0.9))
    assert offered(models.info("bright")) is None


def test_a_series_on_which_the_model_fails_is_not_tried_again(catalog: Catalog, tmp_path: Path, models: Models) -> None:
    write_bundle(models.folder, "broken", forward="image.no_such_attribute")
    index = ingested(catalog, write(tmp_path / "ct", series(0)))
    scores = Scores(catalog.home.scores)
    identity = models.versions("broken").find("0.1.0").identity
    score(models, "broken", index, [uid_of(series(0)), "1.2.3"], EVERYTHING, scores)
    assert [one.value for one in scores.of("broken", identity).values()] == [None]
    sample = ActiveLearning(catalog, index, Scorer(catalog, index)).next("first", models.info("broken"), EVERYTHING)
    assert sample
    assert sample.score is None


def test_a_file_of_scores_that_is_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    path.write_text("no database")
    with pytest.raises(StorageError, match="Delete it: it is made anew"):
        Scores(path).of("bright", "")
    with pytest.raises(StorageError, match="Delete it: it is made anew"):
        Scores(path).add("bright", "", "1.2.3", Score("", 0.5))


# --- In the background ---


@pytest.fixture
def scorer(catalog: Catalog, tmp_path: Path) -> Iterator[Scorer]:
    """That of a server, on one series that is doubtful and one that is not."""
    index = ingested(catalog, write(tmp_path / "0", series(0)), write(tmp_path / "1", doubtful(1)))
    scorer = Scorer(catalog, index)
    yield scorer
    scorer.close()


def until(condition: Callable[[], Any]) -> None:
    give_up = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.2)


def processes() -> list[int]:
    """Processes of this one's that score."""
    children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    found = {int(pid) for path in children for pid in path.read_text().split()}
    return [pid for pid in found if b"dbx.pixels.ai.score_process" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.timeout(2 * _PATIENCE)
def test_series_are_scored_as_soon_as_nobody_waits(
    catalog: Catalog, scorer: Scorer, models: Models, bright: ModelInfo, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = TaskFolder.create(catalog.home.trainings, {"model": "bright", "epochs": 1})  # nobody works on it
    with Foreground(catalog.home).running():
        assert scorer.scores(bright, EVERYTHING) == {}
        time.sleep(_SOME_LOOKS)
        assert not processes()
    time.sleep(_SOME_LOOKS)
    assert not processes()  # since a training is wanted
    lock = catalog.home.ai / "scoring.lock"
    lock.mkdir()  # which nobody foresaw
    waiting.stop()
    until(lambda: "IsADirectoryError" in caplog.text)
    time.sleep(_SOME_LOOKS)
    assert caplog.text.count("series cannot be scored") == 1
    caplog.clear()
    lock.rmdir()
    until(lambda: len(scorer.scores(bright, EVERYTHING)) == 2)
    until(lambda: not processes())
    time.sleep(_SOME_LOOKS)
    assert not processes()  # since all is scored

    write_bundle(models.folder, "removed", threshold=-500)
    versions = models.versions("bright")
    versions.set_champion(versions.publish(weights(50), dice=0.9))
    newer = models.info("bright")
    with Foreground(catalog.home).running():
        assert scorer.scores(models.info("removed"), EVERYTHING) == {}
        models.remove("removed")
        assert scorer.scores(newer, EVERYTHING) == {}
        time.sleep(_SOME_LOOKS)
    until(lambda: len(scorer.scores(newer, EVERYTHING)) == 2)
    assert caplog.text == ""  # what was removed is forgotten


@pytest.mark.timeout(2 * _PATIENCE)
def test_scoring_leaves_when_a_run_is_wanted_and_ends_with_its_server(
    catalog: Catalog, scorer: Scorer, models: Models
) -> None:
    write_bundle(models.folder, "slow", forward=f"(__import__('time').sleep(600), {_ZERO})[1]")
    slow = models.info("slow")
    scorer.scores(slow, EVERYTHING)
    until(lambda: processes())
    (pid,) = processes()
    until(lambda: os.getpriority(os.PRIO_PROCESS, pid) == 19)
    with Foreground(catalog.home).running():
        until(lambda: not processes())
    until(lambda: processes())
    scorer.close()
    assert not processes()
    assert scorer.scores(slow, EVERYTHING) == {}


#: What a network answers that finds nothing.
_ZERO = "torch.cat([image * 0 + 1, image * 0], 1)"


@pytest.mark.timeout(2 * _PATIENCE)
def test_a_process_whose_server_is_gone_leaves(catalog: Catalog, scorer: Scorer, models: Models) -> None:  # noqa: ARG001
    write_bundle(models.folder, "slow", forward=f"(__import__('time').sleep(600), {_ZERO})[1]")
    command = [sys.executable, "-m", "dbx.pixels.ai.score_process"]
    request = {"table": catalog.table, "volume": catalog.volume, "home": str(catalog.home.root), "index_url": None}
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin
        process.stdin.write(json.dumps({**request, "row_filters": {"slow": None}}).encode() + b"\n")
        process.stdin.flush()
        until(lambda: os.getpriority(os.PRIO_PROCESS, process.pid) == 19)
        time.sleep(_SOME_LOOKS)
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(_PATIENCE) == LEFT
