"""Phantoms that are segmented, and small models that learn from them within seconds."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbx.pixels import Catalog
from dbx.pixels.ai.models import Models
from dbx.pixels.ai.runner import Runner
from dbx.pixels.ai.segmentation import write_segmentation
from dbx.pixels.ai.segmented import Segmented
from dbx.pixels.ai.series import read_series
from dbx.pixels.ai.storing import store
from dbx.pixels.ai.task import Task
from dbx.pixels.ai.train_process import work
from dbx.pixels.ai.training import Queue, Trainings
from dbx.pixels.catalog.arrivals import LabelState
from dbx.pixels.catalog.uploads import Uploads
from dbx.pixels.dicom.phantom import FIELD_OF_VIEW_MM, LENGTH_MM, ORGANS, ct_phantom
from dbx.pixels.index import ServingIndex
from dbx.pixels.table import EVERYTHING, Principal
from volumes import ingested, phantom, write

#: Of the phantoms, and of the windows of the networks, which see all of one at once.
SLICES, SIZE = 32, 32
LABELS = ("liver", "spleen")

#: Seconds that a busy machine may need to begin a training and to do some epochs.
_PATIENCE = 400


@dataclass
class Ward:
    """A home folder with series of phantoms: the first patient's is number 0."""

    catalog: Catalog
    series: list[str]

    def __post_init__(self) -> None:
        self.index = ServingIndex.open(self.catalog)
        self.index.sync()
        self.models = Models(self.catalog.home.models)
        self.trainings = Trainings(self.catalog)

    def segment(self, patient: int, labels: Iterable[str] = LABELS, label_state: LabelState = LabelState.FINAL) -> str:
        """Save what is true of a patient's organs as a segmentation, and return its SOP Instance UID."""
        series = read_series(self.index, self.series[patient], EVERYTHING)
        values = {name: value for value, name in enumerate(labels, 1)}
        dataset = write_segmentation(Segmented(series, truth(patient, values), values, "", "", seconds=0))
        store(dataset, Uploads(self.catalog, self.index), label_state)
        return str(dataset.SOPInstanceUID)

    def train(self, model: str, epochs: int | None = None, principal: Principal = EVERYTHING) -> Task:
        """Train in this process, to the end."""
        queue = Queue(self.catalog.home.trainings)
        with queue.working() as is_mine:
            assert is_mine
            task = self.trainings.start(model, principal, epochs=epochs)
            folder = queue.next()
            assert folder
            assert folder.id == task.id
            work(folder)
        return self.trainings.find(task.id)

    def dice(self, model: str, patient: int) -> float:
        """Run a model on a patient, and return the mean Dice over its labels."""
        found = Runner(self.models, self.index).run(model, self.series[patient], EVERYTHING)
        true = truth(patient, dict(found.labels))
        overlap = [2 * np.sum((found.labelmap == value) & (true == value)) for value in found.labels.values()]
        sizes = [np.sum(found.labelmap == value) + np.sum(true == value) for value in found.labels.values()]
        return float(np.mean(np.divide(overlap, sizes)))


@contextmanager
def working(catalog: Catalog) -> Iterator[None]:
    """Do the next training that anyone asks for on a thread of this process, which has imported what it needs."""
    queue = Queue(catalog.home.trainings)
    is_over = threading.Event()

    def work_on_next() -> None:
        while not is_over.wait(0.05):
            if folder := queue.next():
                work(folder)
                return

    thread = threading.Thread(target=work_on_next)
    with queue.working() as is_mine:
        assert is_mine
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            Trainings(catalog).stop()
            thread.join()


def admit(catalog: Catalog, folder: Path, patients: int) -> Ward:
    """Make phantoms, and ingest them."""
    images = [phantom(SLICES, SIZE, seed) for seed in range(patients)]
    ingested(catalog, *(write(folder / f"patient-{number}", one) for number, one in enumerate(images)))
    return Ward(catalog, [one[0].SeriesInstanceUID for one in images])


def truth(patient: int, values: dict[str, int]) -> NDArray[np.uint8]:
    """The labelmap of a phantom's organs, of shape (slices, rows, columns)."""
    organs = ct_phantom(SLICES, SIZE, patient)[1]
    return np.array([values.get(organ, 0) for organ in ORGANS], np.uint8)[organs]


def new_model(models: Models, name: str, labels: Iterable[str] = LABELS, **train: Any) -> None:
    """Make a model with a network of some thousand weights; `train` replaces parts of its configs/train.json."""
    voxel = FIELD_OF_VIEW_MM / SIZE, FIELD_OF_VIEW_MM / SIZE, LENGTH_MM / SLICES
    models.new(name, list(labels), "UNet", spacing=voxel, window=(SIZE, SIZE, SLICES))
    small = {"channels": [8, 16], "strides": [2], "num_res_units": 1}
    for config in ("train", "inference"):
        edit(models.folder / name / "configs" / f"{config}.json", lambda it: it["network_def"].update(small))
    edit(models.folder / name / "configs" / "train.json", lambda it: it.update({"learning_rate": 0.01} | train))


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a JSON file."""
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def wait(trainings: Trainings, task_id: str, until: Callable[[Task], bool]) -> Task:
    """Wait until a training is as far as wanted."""
    give_up = time.monotonic() + _PATIENCE
    while not until(task := trainings.find(task_id)):
        assert time.monotonic() < give_up, f"{task}\n{trainings.log_path(task_id).read_text()}"
        time.sleep(0.1)
    return task


def workers(catalog: Catalog) -> list[int]:
    """Return the ids of the processes that work on the trainings of a home folder."""
    folder = os.fsencode(catalog.home.trainings)
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = command.read_bytes().split(b"\0")
        except OSError:  # it has just ended
            continue
        if b"dbx.pixels.ai.train_process" in arguments and folder in arguments:
            found.append(int(command.parent.name))
    return found
