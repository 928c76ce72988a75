"""One training from its beginning, or from where it was interrupted, to a new version of the model."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dbx.pixels.ai.examples import ExampleLoader, Examples, LoadExampled, choose
from dbx.pixels.ai.extra import extra_ai
from dbx.pixels.ai.filtered import FilteredBy
from dbx.pixels.ai.loading import failing, load_weights
from dbx.pixels.ai.models import Models
from dbx.pixels.ai.overlay import overlay
from dbx.pixels.ai.task import Status
from dbx.pixels.ai.task_folder import TaskFolder
from dbx.pixels.ai.tracking import TrackedRun
from dbx.pixels.ai.workflow import Workflow
from dbx.pixels.catalog import Catalog
from dbx.pixels.errors import PixelsError, RunCancelledError
from dbx.pixels.index import ServingIndex
from dbx.pixels.table import ObjectTable

with extra_ai():
    import torch

#: Seconds between two reports of a loss.
_INTERVAL = 1.0


class Learning:
    """A training as it goes on in its process.

    Parameters
    ----------
    folder : TaskFolder
        What was asked for, and where it is told how it goes.
    """

    def __init__(self, folder: TaskFolder) -> None:
        self._folder = folder
        request = folder.request()
        self._name = request["model"]
        self._epochs = request["epochs"]
        self._catalog = Catalog(table=request["table"], volume=request["volume"], home=request["home"])
        self._principal = FilteredBy(request["row_filter"])
        self._index_url = request["index_url"]
        models = Models(self._catalog.home.models)
        self._info = models.trainable(self._name)
        self._bundle = models.folder / self._name
        self._versions = models.versions(self._name)
        self._run = TrackedRun(self._catalog.home, self._name, folder.id, folder.note)
        self._before = self._info.version
        self._baseline: float | None = None
        self._best: float | None = None
        self._told = 0.0

    def run(self) -> None:
        """Train, and publish what came of it; to be stopped ends it earlier.

        Raises
        ------
        PixelsError
            Whatever makes it impossible. Then no version is published.
        """
        try:
            status = self._train_until_stopped()
            with failing(self._name, "cannot be published"):
                version = self._folder.task().version or self._publish()
        except PixelsError as error:
            self._run.end("FAILED", (*self._folder.task().details, str(error)))
            raise
        self._run.end("FINISHED" if status is Status.DONE else "KILLED", self._folder.task().details)
        self._folder.end(status, version=version)

    def _train_until_stopped(self) -> Status:
        try:
            with failing(self._name, "cannot be trained"):
                self._train()
        except RunCancelledError:
            return Status.STOPPED
        return Status.DONE

    def _train(self) -> None:
        index = ServingIndex.open(self._catalog, self._index_url)
        index.sync()
        loader = ExampleLoader(index, self._principal, self._info.labels, self._check)
        examples = self._examples(loader)
        workflow = Workflow(self._bundle, examples, LoadExampled(loader), self._epochs, self._check)
        if self._folder.checkpoint.exists():
            self._go_on(workflow)
        else:
            self._begin(workflow, examples)
        workflow.run(on_loss=self._tell_loss, on_epoch=lambda *told: self._after_epoch(workflow, *told))

    def _examples(self, loader: ExampleLoader) -> Examples:
        """Return what was chosen when the training first began."""
        if self._folder.examples.exists():
            return Examples.from_json(json.loads(self._folder.examples.read_bytes()))
        table = ObjectTable.find(self._catalog.location())
        examples = choose(self._info, table, loader, self._principal)
        self._folder.write(self._folder.examples, json.dumps(examples.to_json()).encode())
        for note in examples.notes:
            self._folder.note(note)
        return examples

    def _begin(self, workflow: Workflow, examples: Examples) -> None:
        """Start from the champion, and measure it by the same series as its successor."""
        self._folder.update(total_epochs=workflow.epochs)
        parameters = {"version": self._info.version, "epochs": workflow.epochs}
        sizes = {"series_train": len(examples.train), "series_validate": len(examples.validate)}
        self._run.begin(workflow.parameters | parameters | sizes, examples, self._catalog.location())
        if self._info.is_ready:
            load_weights(workflow.network, self._versions.find(self._info.version).weights, self._name)
            self._baseline = workflow.validate()
            self._folder.update(dice=self._baseline)
            self._run.epoch(0, {"dice": self._baseline})

    def _go_on(self, workflow: Workflow) -> None:
        state = torch.load(self._folder.checkpoint, map_location="cpu", weights_only=True)
        workflow.load(state["workflow"])
        self._before, self._baseline, self._best = state["before"], state["baseline"], state["best"]
        if state["epoch"] not in {point["epoch"] for point in self._folder.curve()}:  # killed before it was told
            self._tell_epoch(state["epoch"], state["loss"], state["dice"])

    def _after_epoch(self, workflow: Workflow, epoch: int, loss: float, dice: float | None) -> None:
        if dice is not None and (self._best is None or dice >= self._best):  # of equal ones, the one with more learned
            self._best = dice
            self._save(self._folder.best, {"model": workflow.network.state_dict(), "epoch": epoch, "dice": dice})
            self._run.pictures(epoch, [overlay(*sample) for sample in workflow.samples])
        measured = {"epoch": epoch, "loss": loss, "dice": dice}
        measured_by = {"before": self._before, "baseline": self._baseline, "best": self._best}
        self._save(self._folder.checkpoint, {"workflow": workflow.state(), **measured, **measured_by})
        self._tell_epoch(epoch, loss, dice)

    def _tell_epoch(self, epoch: int, loss: float, dice: float | None) -> None:
        self._run.epoch(epoch, {"loss": loss, "dice": dice})
        measured = {} if dice is None else {"dice": dice, "best_metric": self._best}
        self._folder.update(epoch=epoch, loss=loss, **measured)
        self._folder.add_to_curve(epoch, loss, dice)  # last: who goes on looks there whether it was told

    def _save(self, path: Path, state: Mapping[str, Any]) -> None:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        self._folder.write(path, buffer.getvalue())

    def _tell_loss(self, _epoch: int, loss: float) -> None:
        if time.monotonic() - self._told > _INTERVAL:
            self._folder.update(loss=loss)
            self._told = time.monotonic()

    def _check(self) -> None:
        if self._folder.is_stopped:
            raise RunCancelledError(self._name, "its training was stopped")

    def _publish(self) -> str | None:
        """Make a version of the best state, which is used if it is no worse than the one before, which still is."""
        if not self._folder.best.exists():
            self._folder.note("Stopped before there was anything to keep.")
            return None
        best = torch.load(self._folder.best, map_location="cpu", weights_only=True)
        version = self._versions.publish(self._folder.best, best["dice"])
        told = f"Version {version}, of epoch {best['epoch']}, has Dice {best['dice']:.3f}"
        champion = self._versions.champion()
        is_better = champion == self._before and (self._baseline is None or best["dice"] >= self._baseline)
        if champion != self._before:
            note = f"{told}. It was not compared with version {champion}, which was chosen meanwhile and stays in use."
        elif self._baseline is None and not best["dice"]:
            note = f"{told}: it is used from now on, but found nothing that is labelled. Train it for more epochs."
        elif self._baseline is None:
            note = f"{told}: it is used from now on."
        elif is_better:
            note = f"{told}, version {champion} had {self._baseline:.3f}: it is used from now on."
        else:
            note = f"{told}, version {champion} has {self._baseline:.3f} and stays in use."
        if is_better:
            self._versions.set_champion(version)
        self._folder.update(version=version)
        self._folder.note(note)
        self._run.register(self._catalog, self._name, version)
        return version
