"""The runner on a CT of 512 x 512 x 200 voxels, and the server while a model is trained.

The model is a SegResNet with about as many weights as the network of MONAI's spleen bundle, 4.7 million, at the
spacing of that bundle; they are random, as what it finds does not matter. The CT is a phantom. Model and libraries are
loaded before.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pydicom

from benchmarks.client import FRAME, Connection, Request
from benchmarks.command import ingest, serving
from benchmarks.measure import Row, Skipped
from dbx.pixels import Catalog
from dbx.pixels.ai.models import Models
from dbx.pixels.dicom.phantom import ORGANS, ct_phantom, write_ct_series
from dbx.pixels.errors import RunCancelledError
from dbx.pixels.index import ServingIndex
from dbx.pixels.table import EVERYTHING

SLICES, SIZE = 200, 512
SPACING, WINDOW = (1.5, 1.5, 2.0), (96, 96, 96)
#: Of the phantoms that are learned from.
SMALL_SLICES, SMALL_SIZE = 64, 128
PATIENTS = 3
QUERIES = 100
EPOCHS = 1000  # it is stopped long before


def rows(data: Path) -> list[Row | Skipped]:
    """Segment the CT twice, then serve it while a training goes on."""
    if find_spec("monai") is None:
        return [Skipped("segmenting and training", "the extra ai is not installed")]
    folder, home = data / f"phantoms-{SLICES}", data / "home-ai"
    shutil.rmtree(home, ignore_errors=True)
    small = [
        write_ct_series(folder / f"{seed}", slices=SMALL_SLICES, size=SMALL_SIZE, seed=seed) for seed in range(PATIENTS)
    ]
    large = write_ct_series(folder / "large", slices=SLICES, size=SIZE, seed=PATIENTS)
    ingest(folder, home)
    catalog = Catalog(home=str(home))
    models = Models(catalog.home.models)
    _make_models(models)
    index = ServingIndex.open(catalog)
    index.sync()
    result = _segmenting(catalog, index, models, _uids(small[0])[1], _uids(large)[1])
    for seed, paths in enumerate(small):
        _label(catalog, index, _uids(paths)[1], seed)
    index.close()
    result += _training(home, catalog, large)
    shutil.rmtree(home)
    return result


def _make_models(models: Models) -> None:
    import torch
    from monai.bundle import ConfigParser

    for name in ("segmenting", "learning"):
        info = models.new(name, ["spleen"], "SegResNet", spacing=SPACING, window=WINDOW)
        config = ConfigParser.load_config_file(models.folder / name / "configs" / "inference.json")
        network = ConfigParser(config).get_parsed_content("network")
        weights = models.folder / info.name / "models" / "model.pt"
        weights.parent.mkdir(exist_ok=True)
        torch.save(network.state_dict(), weights)


def _uids(paths: Sequence[Path]) -> tuple[str, str, list[str]]:
    """Return the UIDs of the study, the series and the instances of files."""
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    return headers[0].StudyInstanceUID, headers[0].SeriesInstanceUID, [header.SOPInstanceUID for header in headers]


def _segmenting(catalog: Catalog, index: ServingIndex, models: Models, small: str, large: str) -> list[Row | Skipped]:
    """Measure what a run takes besides the network: reading, transforms, writing the segmentation, storing it."""
    from dbx.pixels.ai.runner import Runner
    from dbx.pixels.ai.segmentation import write_segmentation
    from dbx.pixels.ai.storing import store
    from dbx.pixels.catalog.arrivals import LabelState
    from dbx.pixels.catalog.uploads import Uploads

    runner, uploads = Runner(models, index), Uploads(catalog, index)
    runner.run("segmenting", small, EVERYTHING)
    told: list[str] = []
    with _network_seconds() as network:
        begin = time.perf_counter()
        segmented = runner.run("segmenting", large, EVERYTHING, on_progress=lambda _part, what: told.append(what))
        store(write_segmentation(segmented), uploads, LabelState.PROPOSAL)
        seconds = time.perf_counter() - begin
    read = told.count("reading")
    told.clear()
    with suppress(RunCancelledError):
        runner.run(
            "segmenting",
            large,
            EVERYTHING,
            on_progress=lambda _part, what: told.append(what),
            is_cancelled=lambda: "segmenting" in told,
        )
    what = f"a CT of {SIZE} x {SIZE} x {SLICES}"
    return [
        Row(
            f"segmenting {what} and storing the result, all besides the network",
            f"the network: {sum(network):.1f} s",
            f"in all: {seconds:.1f} s",
            (seconds / sum(network) - 1) * 100,
            25,
            "%",
            at_least=False,
        ),
        Row(
            f"segmenting {what} a second time, slices read",
            f"the first time: {read}",
            str(told.count("reading")),
            told.count("reading"),
            0,
            "slices",
            at_least=False,
        ),
    ]


@contextmanager
def _network_seconds() -> Iterator[list[float]]:
    """Give a list to which each forward pass of a SegResNet adds its seconds."""
    from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

    begins: list[float] = []
    seconds: list[float] = []

    def before(module: object, _inputs: object) -> None:
        if type(module).__name__ == "SegResNet":
            begins.append(time.perf_counter())

    def after(module: object, _inputs: object, _output: object) -> None:
        if type(module).__name__ == "SegResNet":
            seconds.append(time.perf_counter() - begins.pop())

    hooks = register_module_forward_pre_hook(before), register_module_forward_hook(after)
    try:
        yield seconds
    finally:
        for hook in hooks:
            hook.remove()


def _label(catalog: Catalog, index: ServingIndex, series_uid: str, seed: int) -> None:
    """Store what is true of a phantom's spleen, as if somebody had drawn it."""
    from dbx.pixels.ai.segmentation import write_segmentation
    from dbx.pixels.ai.segmented import Segmented
    from dbx.pixels.ai.series import read_series
    from dbx.pixels.ai.storing import store
    from dbx.pixels.catalog.arrivals import LabelState
    from dbx.pixels.catalog.uploads import Uploads

    organs = ct_phantom(SMALL_SLICES, SMALL_SIZE, seed)[1]
    spleen = (organs == ORGANS.index("spleen")).astype(np.uint8)
    series = read_series(index, series_uid, EVERYTHING)
    drawn = Segmented(series, spleen, {"spleen": 1}, "", "", seconds=0)
    store(write_segmentation(drawn), Uploads(catalog, index), LabelState.FINAL)


def _training(home: Path, catalog: Catalog, paths: Sequence[Path]) -> list[Row | Skipped]:
    """Ask the server for instances and frames of a series, first while it is idle, then while a model learns."""
    from dbx.pixels.ai.training import Trainings

    study, series, instances = _uids(paths)
    target = f"/dicom-web/studies/{study}/series/{series}/instances"
    asked = {
        f"QIDO of the instances of a series of {len(paths)}": [Request(target)] * QUERIES,
        f"frame of {SIZE * SIZE * 2 >> 10} KB": [
            Request(f"{target}/{instance}/frames/1", FRAME) for instance in instances
        ],
    }
    trainings = Trainings(catalog)
    with serving(home) as server:
        idle = {what: _median(server.url, requests) for what, requests in asked.items()}
        task = trainings.start("learning", EVERYTHING, epochs=EPOCHS)
        while not trainings.find(task.id).total_epochs:  # it still reads
            time.sleep(0.5)
        busy = {what: _median(server.url, requests) for what, requests in asked.items()}
        ended = trainings.find(task.id).status.has_ended
        trainings.stop(task.id)
        while not trainings.find(task.id).status.has_ended:
            time.sleep(0.5)
    if ended:
        raise RuntimeError(f"the training ended before it was stopped: {trainings.find(task.id).details}")
    return [
        Row(
            f"{what} while a model is trained, p50",
            f"idle: {idle[what]:.2f} ms",
            f"{busy[what]:.2f} ms",
            busy[what] / idle[what],
            2,
            "x",
            at_least=False,
        )
        for what in asked
    ]


def _median(url: str, requests: Sequence[Request]) -> float:
    """Return the median of the milliseconds that answers take, the first round of them not counted."""
    times = []
    with Connection(url) as connection:
        for request in (*requests, *requests):
            begin = time.perf_counter()
            connection.ask(request)
            times.append((time.perf_counter() - begin) * 1000)
    return statistics.median(times[len(requests) :])
