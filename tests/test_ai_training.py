"""Training: what is learned from, what comes of it, and what happens when it goes wrong or is interrupted."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from dbx.pixels import Catalog
from dbx.pixels.ai.examples import Example, split
from dbx.pixels.ai.labels import final_labels
from dbx.pixels.ai.learning import Learning
from dbx.pixels.ai.registry import Registry
from dbx.pixels.ai.task import Status
from dbx.pixels.ai.task_folder import TaskFolder
from dbx.pixels.ai.tracking import mlflow_client
from dbx.pixels.ai.train_process import work
from dbx.pixels.ai.training import Queue
from dbx.pixels.catalog.arrivals import LabelState
from dbx.pixels.cli.main import pixels
from dbx.pixels.errors import ArgumentError, ModelError, ModelNotFoundError, TrainingError
from dbx.pixels.storage import Home
from dbx.pixels.table import EVERYTHING, ObjectTable
from trainings import Ward, admit, edit, new_model, wait, workers, working

PIXELS = Path(sys.executable).with_name("pixels")
EPOCHS = 20


class OnlyPatient:
    """A principal who may see one patient."""

    def __init__(self, patient: str) -> None:
        self._patient = patient

    def row_filter(self, table: str) -> str | None:  # noqa: ARG002
        return f"PatientID = '{self._patient}'"


@pytest.fixture(scope="module")
def admitted(tmp_path_factory: pytest.TempPathFactory) -> Ward:
    """Four patients, and an empty MLflow, which takes seconds to make."""
    folder = tmp_path_factory.mktemp("admitted")
    mlflow_client(Home(folder / "home")).search_experiments()
    return admit(Catalog(home=str(folder / "home")), folder / "data", 4)


@pytest.fixture(scope="module")
def trained(admitted: Ward, tmp_path_factory: pytest.TempPathFactory) -> Ward:
    """The first three are segmented, and a model has learned from them."""
    ward = _copy(admitted, tmp_path_factory.mktemp("trained") / "home")
    for patient in range(3):
        ward.segment(patient)
    new_model(ward.models, "organs")
    assert ward.train("organs", EPOCHS).status is Status.DONE
    return ward


@pytest.fixture
def ward(admitted: Ward, home: Path) -> Iterator[Ward]:
    """A home folder of the test's own with these patients, and a model that has learned nothing."""
    ward = _copy(admitted, home)
    new_model(ward.models, "organs")
    yield ward
    for process in workers(ward.catalog):
        os.kill(process, signal.SIGKILL)


@pytest.fixture
def experienced(trained: Ward, home: Path) -> Ward:
    """The same with segmentations, and a model that has learned."""
    return _copy(trained, home)


def _copy(ward: Ward, home: Path) -> Ward:
    shutil.copytree(ward.catalog.home.root, home)
    return Ward(Catalog(home=str(home)), ward.series)


# --- What is learned from ---


def test_the_latest_final_segmentation_is_the_label(ward: Ward) -> None:
    ward.segment(0, label_state=LabelState.PROPOSAL)
    ward.segment(1)
    corrected = ward.segment(1)
    ward.segment(1, label_state=LabelState.PROPOSAL)
    other_model = ward.segment(1, labels=["spine"])
    table = ObjectTable.find(ward.catalog.location())
    assert final_labels(table, EVERYTHING, ["liver"])[ward.series[1]].SOPInstanceUID == corrected
    labels = final_labels(table, EVERYTHING)
    assert {series: label.SOPInstanceUID for series, label in labels.items()} == {ward.series[1]: other_model}
    assert final_labels(table, OnlyPatient("PHANTOM-1")) == {}
    assert final_labels(None, EVERYTHING) == {}


def test_a_patient_is_learned_from_or_measured_by_and_stays_there() -> None:
    def groups(patients: int) -> dict[Example, tuple[str, ...]]:
        return {
            Example(f"1.{patient}.{series}", "2"): (f"P{patient}", f"1.{patient}", f"1.{patient}.{series}")
            for patient in range(patients)
            for series in range(2)
        }

    train, validate = split(groups(50))
    learned, measured = ({example.image.split(".")[1] for example in side} for side in (train, validate))
    assert learned | measured == {str(patient) for patient in range(50)}
    assert learned & measured == set()
    assert 5 <= len(measured) <= 15
    later_train, later_validate = split(groups(80))
    assert set(train) <= set(later_train)
    assert set(validate) <= set(later_validate)
    for few in (2, 3):
        assert all(split(groups(few)))


def test_of_one_patient_studies_and_then_series_are_parted() -> None:
    anonymous = {Example(f"1.{study}", "2"): ("", f"1.{study}", f"1.{study}.1") for study in range(4)}
    one_study = {Example(f"1.1.{series}", "2"): ("", "1.1", f"1.1.{series}") for series in range(2)}
    for groups in (anonymous, one_study):
        train, validate = split(groups)
        assert train
        assert validate
        assert {*train, *validate} == set(groups)
    (alone,) = split({Example("1", "2"): ("", "1", "1")})[0]
    assert alone == Example("1", "2")


def test_only_series_that_the_principal_may_see_are_learned_from(ward: Ward) -> None:
    for patient in range(3):
        ward.segment(patient)
    task = ward.train("organs", 1, OnlyPatient("PHANTOM-2"))
    assert task.status is Status.DONE
    examples = json.loads((ward.catalog.home.trainings / task.id / "examples.json").read_text())
    assert [example["image"] for example in examples["train"]] == [ward.series[1]]


def test_what_cannot_be_learned_from_is_left_out_and_told(ward: Ward) -> None:
    ward.segment(0)
    ward.segment(1, labels=["spleen"])
    ward.segment(2)
    table = ObjectTable.open(ward.catalog.location())
    rows = ward.catalog.sql(f"SELECT path FROM instances WHERE SeriesInstanceUID = '{ward.series[2]}'").to_arrow()
    table.remove_under(rows["path"][5].as_py())
    task = ward.train("organs", 1)
    assert task.status is Status.DONE
    notes = "\n".join(task.details)
    assert f"Left out: {ward.series[2]}: has gaps" in notes
    assert f"{ward.series[1]}: liver not segmented: learned as not there." in notes


# --- What is refused ---


def test_without_labels_nothing_is_learned(ward: Ward) -> None:
    ward.segment(0, label_state=LabelState.PROPOSAL)
    ward.segment(1, labels=["spine"])
    with pytest.raises(TrainingError, match=r"saved segmentation of liver, spleen\. Segment a series in the viewer"):
        ward.trainings.start("organs", EVERYTHING)
    assert ward.trainings.list() == []


def test_what_cannot_be_trained_is_told_at_once(ward: Ward) -> None:
    ward.segment(0)
    with pytest.raises(ModelNotFoundError, match="There are: organs"):
        ward.trainings.start("bones", EVERYTHING)
    with pytest.raises(ArgumentError, match="0 is less than 1"):
        ward.trainings.start("organs", EVERYTHING, epochs=0)
    (ward.models.folder / "organs" / "configs" / "train.json").unlink()
    with pytest.raises(TrainingError, match=r"cannot be trained.*pixels models new"):
        ward.trainings.start("organs", EVERYTHING)
    with pytest.raises(TrainingError, match="is no training"):
        ward.trainings.find("../organs")


def test_one_labelled_series_teaches_a_new_model_but_measures_none(ward: Ward) -> None:
    ward.segment(0)
    task = ward.train("organs", 1)
    assert task.status is Status.DONE
    assert "There is one labelled series: Dice is that of what was learned" in task.details[0]
    task = ward.train("organs", 1)
    assert task.status is Status.ERROR
    assert "none to measure by whether it gets better. Label a series of another patient." in task.details[-1]
    assert ward.models.info("organs").version == "1"


# --- What comes of it ---


def test_a_model_gets_better_on_patients_that_it_has_not_seen(ward: Ward) -> None:
    for patient in range(3):
        ward.segment(patient)
    first = ward.train("organs", 1)
    assert (first.status, first.version, first.epoch, first.total_epochs) == (Status.DONE, "1", 1, 1)
    before = ward.dice("organs", 3)
    second = ward.train("organs", EPOCHS)
    assert second.version == ward.models.info("organs").version == "2"
    told = f"has Dice {second.best_metric:.3f}, version 1 had {first.dice:.3f}: it is used from now on."
    assert second.details[-1].endswith(told)
    assert ward.dice("organs", 3) > before + 0.3


def test_the_champion_stays_when_dice_falls(experienced: Ward) -> None:
    bundle = experienced.models.folder / "organs"
    edit(bundle / "configs" / "train.json", lambda it: it.update({"learning_rate": 1.0}))
    task = experienced.train("organs", 1)
    assert (task.status, task.version) == (Status.DONE, "2")
    assert task.details[-1].endswith("and stays in use.")
    assert experienced.models.info("organs").version == "1"
    assert [version.name for version in experienced.models.versions("organs").list()] == ["1", "2"]


def test_a_champion_that_was_chosen_meanwhile_stays(experienced: Ward) -> None:
    versions = experienced.models.versions("organs")
    queue = Queue(experienced.catalog.home.trainings)
    with queue.working() as is_mine:
        assert is_mine
        task = experienced.trainings.start("organs", EVERYTHING, epochs=1)
        folder = queue.next()
        assert folder
        learning = Learning(folder)
        chosen = versions.publish(versions.find("1").weights, 1.0)
        versions.set_champion(chosen)
        learning.run()
    ended = experienced.trainings.find(task.id)
    assert (ended.status, ended.version) == (Status.DONE, "3")
    assert "was not compared with version 2, which was chosen meanwhile and stays in use" in ended.details[-1]
    assert versions.champion() == "2"


def test_of_equal_epochs_the_last_one_is_kept_and_that_nothing_was_found_is_told(ward: Ward) -> None:
    ward.segment(0)
    blank = "$[torch.nn.init.zeros_(one) for one in @network_def.parameters()] and @network_def.to(@device)"
    train = ward.models.folder / "organs" / "configs" / "train.json"
    edit(train, lambda it: it.update({"learning_rate": 0.0, "network": blank}))
    task = ward.train("organs", 2)
    assert task.details[-1] == (
        "Version 1, of epoch 2, has Dice 0.000: it is used from now on, but found nothing that is labelled."
        " Train it for more epochs."
    )


def test_a_champion_can_be_rolled_back_here_and_in_mlflow(experienced: Ward) -> None:
    versions = experienced.models.versions("organs")
    again = versions.publish(versions.find("1").weights, 0.9)
    versions.set_champion(again)
    registry = Registry(experienced.catalog.home)
    assert registry.follow_champion("organs") is None  # version 2 is not registered, so none is served
    number = registry.register("organs", again, registry.source("organs") or {})
    assert registry.follow_champion("organs") == number == "2"
    home = ["--home", str(experienced.catalog.home.root)]
    answer = CliRunner().invoke(pixels, ["models", "rollback", "organs", *home])
    assert answer.output == "organs: version 1 is used from now on\n"
    assert experienced.models.info("organs").version == "1"
    assert registry.follow_champion("organs") == "1"
    answer = CliRunner().invoke(pixels, ["models", "rollback", "organs", *home])
    assert (answer.exit_code, "has no earlier champion" in answer.output) == (1, True)
    answer = CliRunner().invoke(pixels, ["models", "rollback", "organs", "--to", again, *home])
    assert answer.output == "organs: version 2 is used from now on\n"
    assert (experienced.models.info("organs").version, registry.follow_champion("organs")) == ("2", "2")
    answer = CliRunner().invoke(pixels, ["models", "rollback", "organs", "--to", "7", *home])
    assert (answer.exit_code, "has no version 7" in answer.output) == (1, True)


def test_mlflow_has_parameters_curves_pictures_data_and_the_version(trained: Ward) -> None:
    (task,) = trained.trainings.list()
    client = mlflow_client(trained.catalog.home)
    experiment = client.get_experiment_by_name("organs")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.status, run.info.run_name) == ("FINISHED", task.id)
    expected = {"learning_rate": "0.01", "epochs": str(EPOCHS), "network": "UNet", "version": "0.1.0"}
    assert run.data.params.items() >= expected.items()
    assert (run.data.params["series_train"], run.data.params["series_validate"]) == ("2", "1")
    curves = {name: client.get_metric_history(run.info.run_id, name) for name in ("loss", "dice")}
    for points in curves.values():
        assert [point.step for point in points] == list(range(1, EPOCHS + 1))
    assert max(point.value for point in curves["dice"]) == task.best_metric
    assert curves["loss"][-1].value == task.loss < curves["loss"][0].value

    (data,) = run.inputs.dataset_inputs
    source = json.loads(data.dataset.source)
    assert source["path"] == trained.catalog.location()
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    examples = json.loads((artifacts / "examples.json").read_text())
    series = {example["image"] for side in ("train", "validate") for example in examples[side]}
    assert series == set(trained.series[:3])
    assert examples["table_version"] == source["delta_table_version"]
    pictures = sorted((artifacts / "samples").glob("*.png"))
    with Image.open(pictures[-1]) as picture:
        colours = {colour for _, colour in picture.getcolors(1 << 20)}
    assert {(0, 200, 80), (255, 60, 60)} & colours

    (registered,) = client.search_model_versions("name = 'organs'")
    assert (registered.run_id, registered.tags["pixels.version"]) == (run.info.run_id, "1")
    assert client.get_model_version_by_alias("organs", "champion").version == registered.version


def test_mlflow_writes_nothing_elsewhere(ward: Ward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    ward.segment(0)
    assert ward.train("organs", 1).status is Status.DONE
    assert list((tmp_path / "here").iterdir()) == []
    from mlflow.telemetry import get_telemetry_client

    assert get_telemetry_client() is None


# --- What goes wrong ---


def test_a_loss_that_is_no_number_ends_it_and_keeps_the_champion(experienced: Ward) -> None:
    edit(experienced.models.folder / "organs" / "configs" / "train.json", lambda it: it.update({"learning_rate": 1e30}))
    task = experienced.train("organs", 3)
    assert task.status is Status.ERROR
    assert "organs: has a loss that is no number (nan) in epoch 1. Lower the learning rate" in task.details[-1]
    assert (task.version, experienced.models.info("organs").version) == (None, "1")
    assert len(experienced.models.versions("organs").list()) == 1


def test_a_full_disk_is_told(experienced: Ward) -> None:
    limit, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, most))
    try:
        task = experienced.train("organs", 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    assert task.status is Status.ERROR
    assert task.details[-1].endswith("Make space on its disk, or check its rights.")
    assert "cannot be written" in task.details[-1]
    assert experienced.models.info("organs").version == "1"


def test_out_of_memory_is_told(ward: Ward) -> None:
    ward.segment(0)
    edit(
        ward.models.folder / "organs" / "configs" / "train.json",
        lambda it: it.update({"learning_rate": "$float(torch.ones(2**50).sum())"}),
    )
    task = ward.train("organs", 1)
    assert task.status is Status.ERROR
    assert task.details == (
        task.details[0],
        "organs: cannot be trained: out of memory. Close other programs, make the windows smaller, or choose another"
        " device.",
    )


@pytest.mark.parametrize(
    ("raising", "told"), [("1 / 0", "ZeroDivisionError: division by zero"), ("exit(3)", "SystemExit: 3")]
)
def test_what_a_bundle_raises_is_told_in_a_line(ward: Ward, raising: str, told: str) -> None:
    """Its loader wants processes of its own, which would tell of errors in tracebacks."""
    ward.segment(0)

    def spoil(train: dict[str, Any]) -> None:
        failing = {"_target_": "Lambdad", "keys": "image", "func": f"$lambda image: {raising}"}
        train["train"]["random_transforms"].append(failing)
        train["train"]["dataloader"].update({"num_workers": 2, "persistent_workers": True, "prefetch_factor": 2})

    edit(ward.models.folder / "organs" / "configs" / "train.json", spoil)
    task = ward.train("organs", 1)
    assert task.status is Status.ERROR
    assert task.details[-1] == f"organs: cannot be trained: {told}. Its configuration says more."


def test_a_model_whose_versions_cannot_be_read_is_not_trained(experienced: Ward) -> None:
    (experienced.models.folder / "organs" / "versions" / "champion").write_bytes(b"\xff")
    with pytest.raises(ModelError, match="versions/champion cannot be read"):
        experienced.trainings.start("organs", EVERYTHING)


def test_a_model_with_weights_that_cannot_be_run_is_not_trained_without_them(experienced: Ward) -> None:
    edit(experienced.models.folder / "organs" / "configs" / "inference.json", lambda it: it.pop("preprocessing"))
    with pytest.raises(TrainingError, match=r"is not trained without them.*has no preprocessing"):
        experienced.trainings.start("organs", EVERYTHING)
    assert experienced.models.versions("organs").champion() == "1"


def test_one_that_is_killed_again_and_again_is_given_up(ward: Ward) -> None:
    ward.segment(0)
    folder = _asked_for(ward)
    for _ in range(3):
        folder.count_start()
    work(folder)
    task = folder.task()
    assert task.status is Status.ERROR
    assert "was killed 3 times in epoch 1, most likely for want of memory" in task.details[-1]
    assert not folder.checkpoint.exists()


def test_one_whose_files_are_damaged_has_failed_and_keeps_nobody_from_others(ward: Ward) -> None:
    ward.segment(0)
    damaged = _asked_for(ward)
    for file, content in (("request.json", "[]"), ("status.json", ""), ("status.json", '{"epoch": 1}')):
        (damaged.path / file).write_text(content)
        (task,) = ward.trainings.list()
        assert task.status is Status.ERROR
        assert re.search(rf"{file} cannot be read.*Delete the training's folder: .*{damaged.id}", task.details[-1])
    with pytest.raises(TrainingError, match=r"status\.json cannot be read"):
        damaged.note("still there")
    (damaged.path / "curve.json").write_text("")
    with pytest.raises(TrainingError, match=r"curve\.json cannot be read"):
        ward.trainings.curve(damaged.id)

    assert _asked_for(ward).id == ward.trainings.current().id != damaged.id


def _asked_for(ward: Ward) -> TaskFolder:
    """A training that waits, and on which nobody works."""
    queue = Queue(ward.catalog.home.trainings)
    with queue.working():
        ward.trainings.start("organs", EVERYTHING, epochs=2)
    folder = queue.next()
    assert folder
    return folder


# --- Stopping, interruptions, and the queue ---


def test_one_that_is_stopped_keeps_what_it_has_learned(ward: Ward) -> None:
    for patient in range(2):
        ward.segment(patient)
    answers = []

    def stop_after_an_epoch() -> None:
        while not any(task.epoch for task in ward.trainings.list()):
            time.sleep(0.05)
        answers.append(_stop(ward))

    thread = threading.Thread(target=stop_after_an_epoch)
    thread.start()
    task = ward.train("organs", 10_000)
    thread.join()
    assert task.status is Status.STOPPED
    assert 1 <= task.epoch < 10_000
    assert [point["epoch"] for point in ward.trainings.curve(task.id)] == list(range(1, task.epoch + 1))
    assert task.version == ward.models.info("organs").version == "1"
    assert "Stopped.\nVersion 1, of epoch " in answers[0]
    assert _stop(ward) == "No training of organs goes on.\n"


def _stop(ward: Ward) -> str:
    return CliRunner().invoke(pixels, ["train", "organs", "--stop", "--home", str(ward.catalog.home.root)]).output


def test_the_command_line_tells_why_a_training_failed(ward: Ward) -> None:
    ward.segment(0)
    edit(ward.models.folder / "organs" / "configs" / "train.json", lambda it: it.update({"learning_rate": "$1/0"}))
    with working(ward.catalog):
        answer = CliRunner().invoke(pixels, ["train", "organs", "--home", str(ward.catalog.home.root)])
    assert answer.exit_code == 1
    assert "organs: cannot be trained: ZeroDivisionError: division by zero" in answer.output
    assert "log.txt" in answer.output


def test_one_that_is_killed_after_its_last_epoch_does_none_anew(ward: Ward) -> None:
    for patient in range(2):
        ward.segment(patient)
    folder = _asked_for(ward)
    Learning(folder)._train()  # as if it was killed before it published what it has

    work(folder)

    task = folder.task()
    assert (task.status, task.version, task.epoch) == (Status.DONE, "1", 2)
    client = mlflow_client(ward.catalog.home)
    (run,) = client.search_runs([client.get_experiment_by_name("organs").experiment_id])
    assert [point.step for point in client.get_metric_history(run.info.run_id, "loss")] == [1, 2]


@pytest.mark.timeout(900)  # processes of trainings are nice: on a busy machine they take long to import what they need
def test_one_that_is_killed_goes_on_from_its_last_epoch_and_the_next_one_follows_by_itself(ward: Ward) -> None:
    for patient in range(2):
        ward.segment(patient)
    command = [PIXELS, "train", "organs", "--epochs", "500", "--home", str(ward.catalog.home.root)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as follower:
        assert follower.stderr
        told = [line for line, _ in zip(follower.stderr, range(2), strict=False)]
        assert told[0] == "reading the series\n"
        assert re.fullmatch(r"epoch \d+ of 500, loss \d\.\d{3}, Dice \d\.\d{3}\n", told[-1])
        follower.send_signal(signal.SIGINT)
        assert follower.stderr.read().endswith("The training goes on. pixels train organs --stop ends it.\n")
    assert follower.returncode == 130

    (first,) = ward.trainings.list()
    second, third = (ward.trainings.start("organs", EVERYTHING, epochs=number) for number in (1, 3))
    wait(ward.trainings, first.id, lambda task: task.epoch >= 2)
    (worker,) = workers(ward.catalog)
    assert os.getsid(worker) == worker  # neither the terminal nor the server takes it along
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, worker) > own
    os.kill(worker, signal.SIGKILL)
    untell_last_epoch(ward.catalog.home.trainings / first.id)
    before = ward.trainings.find(first.id)
    assert before.status is Status.RUNNING
    after = wait(ward.trainings, first.id, lambda task: task.epoch > before.epoch)
    assert (after.status, after.total_epochs, after.start_ts) == (Status.RUNNING, 500, before.start_ts)

    assert ward.trainings.current().id == first.id
    assert ward.trainings.stop(third.id).status is Status.STOPPED
    ward.trainings.stop(first.id)
    folders = TaskFolder.list(ward.catalog.home.trainings)  # who looks there wakes nobody
    while not (done := [folder.task() for folder in folders])[1].status.has_ended:
        processes = workers(ward.catalog)
        assert len(processes) <= 2  # one ends, and one begins
        with suppress(ProcessLookupError):
            assert {os.getpriority(os.PRIO_PROCESS, process) for process in processes} <= {own, max(own, 10)}
        time.sleep(0.2)
    assert [task.id for task in done] == [first.id, second.id, third.id]
    assert [task.status for task in done] == [Status.STOPPED, Status.DONE, Status.STOPPED]
    assert [task.version for task in done] == ["1", "2", None]
    assert done[0].end_ts <= done[1].start_ts

    client = mlflow_client(ward.catalog.home)
    experiment = client.get_experiment_by_name("organs").experiment_id
    runs = {run.info.run_name: run for run in client.search_runs([experiment])}
    run = runs[first.id]
    steps = {point.step for point in client.get_metric_history(run.info.run_id, "loss")}
    assert steps == set(range(1, done[0].epoch + 1))
    assert [point["epoch"] for point in ward.trainings.curve(first.id)] == sorted(steps)
    assert run.info.status == "KILLED"
    assert runs.keys() == {first.id, second.id}


def untell_last_epoch(training: Path) -> None:
    """Make it as if the process had been killed when the epoch's state was written, and nothing told of it."""
    folder = TaskFolder(training)
    epoch = torch.load(folder.checkpoint, weights_only=True)["epoch"]
    told = [point for point in folder.curve() if point["epoch"] < epoch]
    (training / "curve.json").write_text(json.dumps(told))
