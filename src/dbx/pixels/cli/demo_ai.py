"""`pixels demo --ai`: patients of whom some are labelled, and a model that has learned from these."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from dbx.pixels.ai.labels import final_labels
from dbx.pixels.ai.models import Models
from dbx.pixels.ai.segmentation import write_segmentation
from dbx.pixels.ai.segmented import Segmented
from dbx.pixels.ai.series import read_series
from dbx.pixels.ai.storing import store
from dbx.pixels.ai.task import Status
from dbx.pixels.ai.training import Trainings
from dbx.pixels.catalog import Catalog
from dbx.pixels.catalog.arrivals import LabelState
from dbx.pixels.catalog.ingest import ingest
from dbx.pixels.catalog.selection import Archives
from dbx.pixels.catalog.uploads import Uploads
from dbx.pixels.dicom.phantom import FIELD_OF_VIEW_MM, LENGTH_MM, ORGANS, ct_phantom, write_ct_series
from dbx.pixels.index import ServingIndex
from dbx.pixels.storage import volume_path
from dbx.pixels.table import ObjectTable

#: What the model is called, and what it looks for.
MODEL = "phantom_organs"
LABELS = ("liver", "spleen", "kidney_right", "kidney_left", "spine")
_VALUES = {name: value for value, name in enumerate(LABELS, 1)}

#: The phantoms' seeds: the demo's own phantom is 0. Those that are labelled, and those that wait for it.
_LABELLED, _WAITING = (1, 2, 3, 4, 5), (6, 7, 8)
_SLICES, _SIZE = 40, 128
#: Voxels that the network sees at once, which are all of a phantom, coarsely.
_WINDOW = (48, 48, 32)
_EPOCHS = 15
#: Seconds between two looks at how the training goes.
_INTERVAL = 0.5


def prepare(catalog: Catalog) -> None:
    """Ingest the patients, label some of them, and train the model, unless that was done before.

    Raises
    ------
    EngineError
        If what AI needs is not installed.
    TrainingError
        If the model cannot be trained.
    """
    folder = _write_patients(catalog)
    ingest(catalog, catalog.selection([folder], pattern=None, recurse=True, archives=Archives.SKIP, extract_to=None))
    with closing(ServingIndex.open(catalog)) as index:
        index.sync()
        _label(catalog, index)
    count = len(_LABELLED) + len(_WAITING)
    click.echo(f"Made {count} more phantoms, {len(_LABELLED)} of them with labels: {', '.join(LABELS)}")
    models = Models(catalog.home.models)
    if all(info.name != MODEL for info in models.list()):
        _make_model(models)
    if not models.info(MODEL).is_ready:
        _train(catalog)
    info = models.info(MODEL)
    click.echo(f"Model {info.name}, version {info.version}, is ready: open a phantom's study, then the tab AI\n")


def _write_patients(catalog: Catalog) -> str:
    """Write the phantoms' CT series into the volume, and return their folder."""
    folder = f"{volume_path(catalog.volume)}/phantom-patients"
    for seed in (*_LABELLED, *_WAITING):
        path = Path(catalog.home.local_path(f"{folder}/{seed}"))
        if not path.exists():
            write_ct_series(path, slices=_SLICES, size=_SIZE, seed=seed)
    return folder


def _label(catalog: Catalog, index: ServingIndex) -> None:
    """Save what is true of the phantoms' organs as segmentations."""
    done = final_labels(ObjectTable.find(catalog.location()), catalog.principal)
    uploads = Uploads(catalog, index)
    for seed, series_uid in _series(catalog):
        if seed in _LABELLED and series_uid not in done:
            series = read_series(index, series_uid, catalog.principal)
            truth = Segmented(series, _organs(seed), _VALUES, "phantom", str(seed), seconds=0)
            store(write_segmentation(truth, series_description="Organs"), uploads, LabelState.FINAL)


def _series(catalog: Catalog) -> Iterator[tuple[int, str]]:
    """Yield the seed and the Series Instance UID of each patient."""
    rows = catalog.sql(
        "SELECT DISTINCT PatientID, SeriesInstanceUID FROM instances"
        " WHERE Modality = 'CT' AND path LIKE '%/phantom-patients/%'"
    ).to_arrow()
    for row in rows.to_pylist():
        yield int(row["PatientID"].removeprefix("PHANTOM-")) - 1, row["SeriesInstanceUID"]


def _organs(seed: int) -> NDArray[np.uint8]:
    """Return the labelmap of a phantom, of shape (slices, rows, columns)."""
    return np.array([_VALUES.get(organ, 0) for organ in ORGANS], np.uint8)[ct_phantom(_SLICES, _SIZE, seed)[1]]


def _make_model(models: Models) -> None:
    # From the centre of the first voxel to that of the last, as MONAI counts: one more would need more windows.
    sizes = ((FIELD_OF_VIEW_MM, _SIZE), (FIELD_OF_VIEW_MM, _SIZE), (LENGTH_MM, _SLICES))
    extents = [length * (count - 1) / count for length, count in sizes]
    spacing = tuple(extent / (voxels - 1) for extent, voxels in zip(extents, _WINDOW, strict=True))
    models.new(MODEL, LABELS, "UNet", spacing=spacing, window=_WINDOW)
    path = models.folder / MODEL / "configs" / "train.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"epochs": _EPOCHS}, indent=4) + "\n")  # phantoms are alike


def _train(catalog: Catalog) -> None:
    started = time.perf_counter()
    trainings = Trainings(catalog)
    # One of a demo that was interrupted has gone on.
    task = next(iter(trainings.going_on(MODEL)), None) or trainings.start(MODEL, catalog.principal)
    with click.progressbar(length=_EPOCHS, label="Training a model on them", show_pos=True) as bar:
        bar.update(task.epoch)
        while not task.status.has_ended:
            time.sleep(_INTERVAL)
            epoch, task = task.epoch, trainings.find(task.id)
            bar.update(task.epoch - epoch)
    if task.status is not Status.DONE:
        raise trainings.failure(task)
    click.echo(f"Trained in {time.perf_counter() - started:.0f} s: {task.details[-1]}")
