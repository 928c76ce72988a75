"""Segmenting: one runner for all, batches whose results enter the table as proposals, and the command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from bundles import write_bundle
from dbx.pixels import Catalog
from dbx.pixels.ai.attempts import Segmenting
from dbx.pixels.ai.batch import segment
from dbx.pixels.ai.filtered import FilteredBy
from dbx.pixels.ai.models import Models
from dbx.pixels.ai.results import Result, Results
from dbx.pixels.ai.runner import Runner
from dbx.pixels.ai.segmentation import read_segmentation
from dbx.pixels.ai.series import read_series
from dbx.pixels.catalog.uploads import Uploads
from dbx.pixels.cli.main import pixels
from dbx.pixels.dicom.phantom import ct_phantom
from dbx.pixels.errors import (
    ArgumentError,
    ModelError,
    ModelNotFoundError,
    ModelNotReadyError,
    RunCancelledError,
    SeriesNotFoundError,
    UnsuitableSeriesError,
)
from dbx.pixels.index import ServingIndex
from dbx.pixels.table import EVERYTHING, ObjectTable, Principal, query
from volumes import enhanced, ingested, phantom, turned, write

Images = list[Dataset]

SLICES, SIZE = 16, 32
OBLIQUE = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])


@pytest.fixture
def models(catalog: Catalog) -> Models:
    """A model that finds what is brighter than 100 HU."""
    models = Models(catalog.home.models)
    write_bundle(models.folder, "bright")
    return models


@pytest.fixture
def open_runner(catalog: Catalog, tmp_path: Path, models: Models) -> Callable[[Images], Runner]:
    """Ingest images, and make a runner on what is in the table then."""

    def open_one(images: Images) -> Runner:
        return Runner(models, ingested(catalog, write(tmp_path / images[0].SeriesInstanceUID, images)))

    return open_one


def bright(seed: int = 0, threshold: float = 100) -> NDArray[np.uint8]:
    """What the model is to find in the phantom."""
    return (ct_phantom(SLICES, SIZE, seed)[0] > threshold).astype(np.uint8)


def images_of(seed: int) -> Images:
    return phantom(SLICES, SIZE, seed)


def uid_of(seed: int) -> str:
    return str(images_of(seed)[0].SeriesInstanceUID)


# --- The runner ---


@pytest.mark.parametrize(
    "change",
    [
        lambda images: images[::-1],
        lambda images: turned(images, OBLIQUE),
        lambda images: [enhanced(images[::-1])],
    ],
)
def test_every_voxel_that_a_model_finds_is_where_it_is_in_the_series(
    open_runner: Callable[[Images], Runner], change: Callable[[Images], Images]
) -> None:
    found = open_runner(change(images_of(0))).run("bright", uid_of(0), EVERYTHING)

    assert np.array_equal(found.labelmap, bright())
    assert (found.model, found.version, found.labels) == ("bright", "0.1.0", {"bright": 1})
    assert found.volumes_ml == pytest.approx({"bright": bright().sum() * np.prod(found.series.spacing) / 1000})
    assert found.seconds > 0


def test_a_run_tells_how_far_it_is(open_runner: Callable[[Images], Runner]) -> None:
    told: list[tuple[float, str]] = []
    open_runner(images_of(0)).run("bright", uid_of(0), EVERYTHING, on_progress=lambda *now: told.append(now))

    assert list(dict.fromkeys(what for _, what in told)) == ["loading", "reading", "segmenting"]
    parts = [part for part, _ in told]
    assert parts == sorted(parts)
    assert (parts[0], parts[-1]) == (0, 1)


def test_a_series_is_read_once_for_several_runs(open_runner: Callable[[Images], Runner], tmp_path: Path) -> None:
    runner = open_runner(images_of(0))
    first = runner.run("bright", uid_of(0), EVERYTHING)
    shutil.rmtree(tmp_path / uid_of(0))

    again = runner.run("bright", uid_of(0), EVERYTHING)

    assert np.array_equal(again.labelmap, first.labelmap)


def test_a_series_that_changed_is_read_again(
    catalog: Catalog, open_runner: Callable[[Images], Runner], tmp_path: Path
) -> None:
    runner = open_runner(images_of(0))
    runner.run("bright", uid_of(0), EVERYTHING)
    darker = images_of(0)
    for image in darker:
        image.RescaleIntercept -= 50
    ingested(catalog, write(tmp_path / uid_of(0), darker))
    runner._index.sync()

    assert np.array_equal(runner.run("bright", uid_of(0), EVERYTHING).labelmap, bright(threshold=150))


def test_the_last_two_models_stay_loaded(open_runner: Callable[[Images], Runner], models: Models) -> None:
    runner = open_runner(images_of(0))
    for name in ("brighter", "brightest"):
        write_bundle(models.folder, name)
    for name in ("bright", "brighter", "brightest"):
        runner.run(name, uid_of(0), EVERYTHING)
    for name in ("bright", "brighter", "brightest"):
        (models.folder / name / "scripts" / "network.py").write_text("raise RuntimeError")  # is it loaded again?

    for name in ("brighter", "brightest", "brighter"):
        runner.run(name, uid_of(0), EVERYTHING)
    with pytest.raises(ModelError, match="bright"):
        runner.run("bright", uid_of(0), EVERYTHING)


def test_a_model_that_was_replaced_is_loaded_anew(open_runner: Callable[[Images], Runner], models: Models) -> None:
    runner = open_runner(images_of(0))
    runner.run("bright", uid_of(0), EVERYTHING)
    models.remove("bright")
    write_bundle(models.folder, "bright", threshold=60)

    assert np.array_equal(runner.run("bright", uid_of(0), EVERYTHING).labelmap, bright(threshold=60))


def test_a_model_whose_configuration_was_edited_is_loaded_anew(
    open_runner: Callable[[Images], Runner], models: Models, tmp_path: Path
) -> None:
    runner = open_runner(images_of(0))
    runner.run("bright", uid_of(0), EVERYTHING)
    brighter = {"_target_": "ShiftIntensityd", "keys": "image", "offset": 50}
    edited = write_bundle(tmp_path / "edited", "bright", preprocessing=[brighter]) / "configs" / "inference.json"
    shutil.copy(edited, models.folder / "bright" / "configs")

    assert np.array_equal(runner.run("bright", uid_of(0), EVERYTHING).labelmap, bright(threshold=50))


def test_what_cannot_be_run_is_told(open_runner: Callable[[Images], Runner], models: Models) -> None:
    write_bundle(models.folder, "of_mr", image={"modality": "MRI"})
    models.new("untrained", ["liver"])
    runner = open_runner(images_of(0))

    with pytest.raises(SeriesNotFoundError):
        runner.run("bright", "1.2.3", EVERYTHING)
    with pytest.raises(UnsuitableSeriesError, match="is of modality CT, and of_mr takes MR"):
        runner.run("of_mr", uid_of(0), EVERYTHING)
    with pytest.raises(ModelNotFoundError):
        runner.run("nothing", uid_of(0), EVERYTHING)
    with pytest.raises(ModelNotReadyError):
        runner.run("untrained", uid_of(0), EVERYTHING)


@pytest.mark.parametrize("when", ["loading", "reading", "segmenting"])
def test_a_run_ends_when_its_caller_gives_up(open_runner: Callable[[Images], Runner], when: str) -> None:
    runner = open_runner(images_of(0))
    now = ""

    def on_progress(_part: float, what: str) -> None:
        nonlocal now
        now = what

    with pytest.raises(RunCancelledError):
        runner.run("bright", uid_of(0), EVERYTHING, on_progress=on_progress, is_cancelled=lambda: now == when)
    assert np.array_equal(runner.run("bright", uid_of(0), EVERYTHING).labelmap, bright())


def test_runs_wait_for_each_other(open_runner: Callable[[Images], Runner]) -> None:
    runner = open_runner(images_of(0))
    is_running, may_go_on = threading.Event(), threading.Event()
    first: list[Any] = []

    def hold(_part: float, what: str) -> None:
        if what == "segmenting":
            is_running.set()
            may_go_on.wait(60)

    thread = threading.Thread(
        target=lambda: first.append(runner.run("bright", uid_of(0), EVERYTHING, on_progress=hold))
    )
    thread.start()
    assert is_running.wait(60)
    told: list[str] = []
    with pytest.raises(RunCancelledError):
        runner.run(
            "bright",
            uid_of(0),
            EVERYTHING,
            on_progress=lambda _part, what: told.append(what),
            is_cancelled=lambda: len(told) > 1,
        )
    assert told == ["waiting", "waiting"]
    may_go_on.set()
    thread.join(60)
    assert np.array_equal(first[0].labelmap, bright())


# --- Batches ---


@pytest.fixture
def index(catalog: Catalog, tmp_path: Path) -> ServingIndex:
    """Two whole series, and one with a gap between them in order."""
    write(tmp_path / "data" / "0", images_of(0))
    write(tmp_path / "data" / "1", [*images_of(1)[:4], *images_of(1)[5:]])
    write(tmp_path / "data" / "2", images_of(2))
    return ingested(catalog, tmp_path / "data")


UIDS = [uid_of(seed) for seed in range(3)]


def run_batch(catalog: Catalog, index: ServingIndex) -> list[Result | None]:
    return list(segment(catalog, index, Runner(Models(catalog.home.models), index), "bright", UIDS))


@pytest.mark.usefixtures("models")
def test_results_are_proposals_that_can_be_found_at_once(catalog: Catalog, index: ServingIndex) -> None:
    results = run_batch(catalog, index)

    first, failed, second = results
    assert failed.result is None
    assert "has gaps" in failed.error
    for seed, result in ((0, first), (2, second)):
        instance = index.find(result.result, EVERYTHING)
        series = read_series(index, result.series_uid, EVERYTHING)
        assert result.series_uid == uid_of(seed)
        assert np.array_equal(read_segmentation(instance, series, labels={"bright": 1}).values, bright(seed))
        assert result.volumes_ml == pytest.approx({"bright": bright(seed).sum() * np.prod(series.spacing) / 1000})
    rows = catalog.sql("SELECT SOPInstanceUID, label_state, model, model_version FROM instances WHERE Modality = 'SEG'")
    assert sorted(rows.to_arrow().to_pylist(), key=lambda row: row["SOPInstanceUID"]) == [
        {"SOPInstanceUID": uid, "label_state": "proposal", "model": "bright", "model_version": "0.1.0"}
        for uid in sorted((first.result, second.result))
    ]


@pytest.mark.usefixtures("models")
def test_a_table_beside_the_table_tells_of_each_series(catalog: Catalog, index: ServingIndex) -> None:
    def told(principal: Principal) -> list[dict[str, Any]]:
        table = ObjectTable.find(catalog.location())
        return query(table, "FROM object_catalog_autoseg_result", principal=principal).read_all().to_pylist()

    assert told(EVERYTHING) == []
    results = run_batch(catalog, index)

    location = f"{catalog.location()}_autoseg_result"
    assert Results(catalog.location()).location == location
    assert DeltaTable(location).to_pyarrow_table().num_rows == len(results)
    rows = {row["series_uid"]: row for row in told(EVERYTHING)}
    for result in results:
        row = rows[result.series_uid]
        assert (row["result"], row["error"]) == (result.result, result.error)
        assert (row["model"], row["model_version"]) == ("bright", "0.1.0")
        assert dict(row["volumes_ml"]) == result.volumes_ml
        assert (row["seconds"], row["written"]) == (result.seconds, result.written)
    assert [row["series_uid"] for row in told(FilteredBy("PatientID = 'PHANTOM-3'"))] == [UIDS[2]]


def test_a_second_batch_does_only_what_is_new(
    catalog: Catalog, index: ServingIndex, models: Models, tmp_path: Path
) -> None:
    first = run_batch(catalog, index)
    assert [result is not None for result in first] == [True, True, True]

    again = run_batch(catalog, index)
    assert [result is not None for result in again] == [False, True, False]  # what failed is tried again

    write(tmp_path / "data" / "1", images_of(1))  # the slice that was missing has come
    os.utime(tmp_path / "data" / "2" / "003.dcm", (1_700_000_000, 1_700_000_000))
    ingested(catalog, tmp_path / "data")
    index.sync()
    changed = run_batch(catalog, index)
    assert [result is not None for result in changed] == [False, True, True]
    assert changed[1].error is None

    versions = models.versions("bright")
    versions.set_champion(versions.publish(models.folder / "bright" / "models" / "model.pt", dice=0.9))
    by_another_version = run_batch(catalog, index)
    assert [result.model_version for result in by_another_version] == ["1", "1", "1"]


@pytest.mark.usefixtures("models")
def test_of_two_batches_at_once_the_faster_one_stores(catalog: Catalog, index: ServingIndex) -> None:
    runner, results = Runner(Models(catalog.home.models), index), Results(catalog.location())
    fingerprint = read_series(index, UIDS[0], EVERYTHING).fingerprint

    def finish_first(_part: float, what: str) -> None:
        if what == "segmenting" and not results.has("bright", "0.1.0", UIDS[0], fingerprint):
            results.add(Result(UIDS[0], "bright", "0.1.0", result="1.2.3", fingerprint=fingerprint))

    begun = segment(catalog, index, runner, "bright", [UIDS[2], UIDS[0]])
    assert next(begun).result
    assert list(segment(catalog, index, runner, "bright", UIDS[:1], on_progress=finish_first)) == [None]
    assert list(begun) == [None]
    assert catalog.sql("SELECT path FROM instances WHERE Modality = 'SEG'").to_arrow().num_rows == 1
    incoming = Uploads(catalog, index).folder().parent
    assert {path.name for path in incoming.rglob("*") if path.is_file()} == {"lock"}


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta", ""])
def test_a_device_that_is_not_there_is_no_fault_of_a_series(
    catalog: Catalog, index: ServingIndex, models: Models, device: str
) -> None:
    runner = Runner(models, index, device)
    for check in (
        lambda: list(segment(catalog, index, runner, "bright", UIDS)),
        Segmenting(runner, "bright", "0.1.0", catalog.home.root).reach,  # on executors, before they begin
    ):
        with pytest.raises(ArgumentError, match=rf"device {device}: is none of this machine's\. Choose cpu"):
            check()
    assert not DeltaTable.is_deltatable(Results(catalog.location()).location)


# --- The command ---


@pytest.mark.usefixtures("models", "index")
def test_the_command_segments_what_a_query_finds(home: Path) -> None:
    runner = CliRunner(env={"PIXELS_HOME": str(home)})
    done = runner.invoke(pixels, ["segment", "--model", "bright", "--where", "PatientID LIKE 'PHANTOM-%'", "--json"])

    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert (told["model"], told["model_version"]) == ("bright", "0.1.0")
    assert [told[name] for name in ("series", "segmented", "failed", "left_out")] == [3, 2, 1, 0]
    errors = {result["series_uid"]: result["error"] for result in told["results"]}
    assert errors.keys() == set(UIDS)
    assert "has gaps" in errors[UIDS[1]]

    done = runner.invoke(pixels, ["segment", "--model", "bright", "--series", UIDS[0], "--series", UIDS[2]])
    assert "2 series: 0 segmented, 0 failed, 2 had a result of bright 0.1.0" in done.stdout


@pytest.mark.usefixtures("models", "index")
def test_the_command_tells_people(home: Path) -> None:
    """And nothing else: of all that it imports nobody warns."""
    command = [Path(sys.executable).with_name("pixels"), "segment", "--home", home, "--model", "bright"]
    done = subprocess.run(
        [*command, "--series", UIDS[0], "--series", UIDS[1]], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (1, "")
    assert f"{UIDS[0]}: bright " in done.stdout
    assert f"{UIDS[1]}: has gaps: of slices 12.5 mm apart, 1 is missing" in done.stdout
    assert "2 series: 1 segmented, 1 failed, 0 had a result" in done.stdout


@pytest.mark.usefixtures("models", "index")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "bright", "--series", "1.2", "--where", "true"], "--series: or --where is needed, and not both"),
        (["--model", "nothing", "--series", "1.2"], "nothing: "),
        (["--model", "bright", "--where", "Colour = 'red'"], "Colour"),
        (
            ["--model", "bright", "--series", UIDS[0], "--device", "gpu"],
            "device gpu: is none of this machine's. Choose cpu",
        ),
    ],
)
def test_the_command_refuses_in_one_line(home: Path, arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(pixels, ["segment", "--home", str(home), *arguments])

    assert (done.exit_code, done.stdout) == (1, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
