"""Phantoms that are segmented, and small models that learn from them within seconds."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbx.pixels import Catalog
from dbx.pixels.ai.models import Models
from dbx.pixels.ai.segmentation import write_segmentation
from dbx.pixels.ai.segmented import Segmented
from dbx.pixels.ai.series import read_series
from dbx.pixels.ai.storing import store
from dbx.pixels.ai.task import Task
from dbx.pixels.ai.training import Trainings
from dbx.pixels.catalog.arrivals import LabelState
from dbx.pixels.catalog.uploads import Uploads
from dbx.pixels.dicom.phantom import FIELD_OF_VIEW_MM, LENGTH_MM, ORGANS, ct_phantom
from dbx.pixels.index import ServingIndex
from dbx.pixels.table import EVERYTHING
from volumes import ingested, phantom, write

#: Of the phantoms, and of the windows of the networks, which see all of one at once.
SLICES, SIZE = 32, 32
LABELS = ("liver", "spleen")

_PATIENCE = 120


@dataclass
class Ward:
    """A home folder with series of phantoms: the first patient's is number 0."""

    catalog: Catalog
    index: ServingIndex
    uploads: Uploads
    series: list[str]

    @property
    def models(self) -> Models:
        return Models(self.catalog.home.models)

    @property
    def trainings(self) -> Trainings:
        return Trainings(self.catalog)

    def segment(self, patient: int, labels: Iterable[str] = LABELS, label_state: LabelState = LabelState.FINAL) -> str:
        """Save what is true of a patient's organs as a segmentation, and return its SOP Instance UID."""
        series = read_series(self.index, self.series[patient], EVERYTHING)
        values = {name: value for value, name in enumerate(labels, 1)}
        dataset = write_segmentation(Segmented(series, truth(patient, values), values, "", "", seconds=0))
        store(dataset, self.uploads, label_state)
        return str(dataset.SOPInstanceUID)


def ward(catalog: Catalog, folder: Path, patients: int) -> Ward:
    """Make phantoms, and ingest them."""
    images = [phantom(SLICES, SIZE, seed) for seed in range(patients)]
    index = ingested(catalog, *(write(folder / f"patient-{number}", one) for number, one in enumerate(images)))
    return Ward(catalog, index, Uploads(catalog, index), [one[0].SeriesInstanceUID for one in images])


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


def wait(trainings: Trainings, task: Task, until: Callable[[Task], bool] = lambda task: task.status.has_ended) -> Task:
    """Wait until a training has ended, or is as far as wanted."""
    give_up = time.monotonic() + _PATIENCE
    while not until(task := trainings.find(task.id)):
        assert time.monotonic() < give_up, f"{task}\n{trainings.log_path(task.id).read_text()}"
        assert not task.status.has_ended, f"{task}\n{trainings.log_path(task.id).read_text()}"
        time.sleep(0.05)
    return task


def processes(folder: Path) -> list[int]:
    """The ids of processes that work on the trainings of a folder."""
    found = []
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = status.read_bytes().split(b"\0")
        except OSError:  # it has just ended
            continue
        if b"dbx.pixels.ai.train_process" in arguments and os.fsencode(folder) in arguments:
            found.append(int(status.parent.name))
    return found
