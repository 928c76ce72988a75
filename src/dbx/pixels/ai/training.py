"""Trainings: one at a time, in the order in which they are asked for, each in a process that outlives who asked."""

from __future__ import annotations

import builtins
import fcntl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dbx.pixels.ai.extra import require
from dbx.pixels.ai.labels import final_labels
from dbx.pixels.ai.models import Models
from dbx.pixels.ai.task import Task
from dbx.pixels.ai.task_folder import TaskFolder
from dbx.pixels.catalog import Catalog
from dbx.pixels.errors import ArgumentError, TrainingError
from dbx.pixels.table import ObjectTable, Principal

#: What a training imports.
_NEEDED = ("torch", "monai", "ignite", "mlflow", "highdicom")


class Trainings:
    """The trainings of a home folder. Several processes may use them at once.

    What was interrupted, by a crash or a power cut, goes on from its last epoch as soon as anyone looks.

    Parameters
    ----------
    catalog : Catalog
        Whose series are learned from, and whose home holds models and trainings.
    index_url : str, optional
        Database of the serving index; a file in the home folder by default.
    """

    def __init__(self, catalog: Catalog, index_url: str | None = None) -> None:
        self._catalog = catalog
        self._index_url = index_url
        self._queue = Queue(catalog.home.trainings)

    def start(self, model: str, principal: Principal, *, epochs: int | None = None) -> Task:
        """Ask for a training; it begins when those before it have ended, with the labels that there are then.

        Parameters
        ----------
        model : str
            What is trained, from its champion on.
        principal : Principal
            Who asks: only series that they may see are learned from.
        epochs : int, optional
            How often it sees every series; as the model's configuration says by default.

        Raises
        ------
        ArgumentError
            If there are to be less epochs than one.
        ModelNotFoundError
            If there is no such model.
        ModelError
            If what is known of its versions cannot be read.
        TrainingError
            If it cannot be trained, or there are no series with final labels.
        EngineError
            If what AI needs is not installed.
        StorageError
            If the home folder cannot be written.
        """
        require(*_NEEDED)
        if epochs is not None and epochs < 1:
            raise ArgumentError("epochs", f"{epochs} is less than 1", "Give how often every series is to be seen.")
        info = Models(self._catalog.home.models).trainable(model)
        location = self._catalog.location()
        if not final_labels(ObjectTable.find(location), principal, info.labels):
            raise TrainingError(
                model,
                f"has nothing to learn from: no series has a saved segmentation of {', '.join(info.labels)}",
                "Segment a series in the viewer, name the segments so, and save it. Proposals do not count.",
            )
        request = {
            "model": model,
            "epochs": epochs,
            "table": self._catalog.table,
            "volume": self._catalog.volume,
            "home": str(self._catalog.home.root),
            "index_url": self._index_url,
            "row_filter": principal.row_filter(location),
        }
        folder = TaskFolder.create(self._queue.folder, request)
        self._queue.wake()
        return folder.task()

    def current(self) -> Task | None:
        """Return the training that runs, else the next one; None if there is none."""
        folder = self._look()
        return folder.task() if folder else None

    def list(self) -> builtins.list[Task]:
        """Return all trainings, the first one first."""
        self._look()
        return [folder.task() for folder in TaskFolder.list(self._queue.folder)]

    def going_on(self, model: str) -> builtins.list[Task]:
        """Return the trainings of a model that have not ended: the one that runs, and those that wait."""
        return [task for task in self.list() if task.model == model and not task.status.has_ended]

    def find(self, task_id: str) -> Task:
        """Return one training.

        Raises
        ------
        TrainingError
            If there is none of this name.
        """
        self._look()
        return self._folder(task_id).task()

    def curve(self, task_id: str) -> builtins.list[dict[str, Any]]:
        """Return what was measured of each epoch of a training: ``epoch``, ``loss``, and ``dice``, which may be None.

        Raises
        ------
        TrainingError
            If there is none of this name.
        """
        return self._folder(task_id).curve()

    def log_path(self, task_id: str) -> Path:
        """Return the file of what a training's process printed; it need not be there yet.

        Raises
        ------
        TrainingError
            If there is none of this name.
        """
        return self._folder(task_id).log

    def failure(self, task: Task) -> TrainingError:
        """Return what to raise when a training has failed: why it did, and where all that it printed is."""
        return TrainingError("", task.details[-1].rstrip("."), f"All that was printed is in {self.log_path(task.id)}")

    def stop(self, task_id: str | None = None) -> Task | None:
        """Stop a training, or one that waits; what it has learned up to now becomes a version.

        Parameters
        ----------
        task_id : str, optional
            Which one; the current one by default.

        Returns
        -------
        Task or None
            The training, which may need some seconds to end; None if there is none to stop.

        Raises
        ------
        TrainingError
            If there is none of this name.
        """
        folder = self._folder(task_id) if task_id else self._queue.next()
        if folder is None or folder.task().status.has_ended:
            return None
        folder.stop()
        self._look()  # one that was interrupted needs somebody to end it
        return folder.task()

    def _folder(self, task_id: str) -> TaskFolder:
        for folder in TaskFolder.list(self._queue.folder):
            if folder.id == task_id:
                return folder
        raise TrainingError(task_id, "is no training of this home folder")

    def _look(self) -> TaskFolder | None:
        """Return the folder of the next training, and see to it that somebody works on it."""
        folder = self._queue.next()
        if folder:
            self._queue.wake()
        return folder


class Queue:
    """The trainings that wait, and the one process at a time that works on them.

    Parameters
    ----------
    folder : pathlib.Path
        That of a home's trainings.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def next(self) -> TaskFolder | None:
        """Return the folder of the training that runs, was interrupted, or waits longest."""
        for folder in TaskFolder.list(self.folder):
            if not folder.task().status.has_ended:
                return folder
        return None

    def wake(self) -> None:
        """Start a process that works on what waits, unless there is one."""
        if self._process and self._process.poll() is None:
            return
        with self.working() as is_free:
            if not is_free:
                return
        command = [sys.executable, "-m", "dbx.pixels.ai.train_process", str(self.folder)]
        # In a session of its own, it ends neither with the terminal nor with the server.
        with (self.folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    @contextmanager
    def working(self, patience: float = 0.0) -> Iterator[bool]:
        """Be the only process that works on them.

        Parameters
        ----------
        patience : float
            Seconds to wait for others, who may only be looking.

        Yields
        ------
        bool
            Whether this process is the one.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        give_up = time.monotonic() + patience
        with (self.folder / "lock").open("ab") as lock:
            while not (is_mine := _try_lock(lock.fileno())) and time.monotonic() < give_up:
                time.sleep(0.05)
            yield is_mine


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
