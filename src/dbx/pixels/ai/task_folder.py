"""The folder of one training: what was asked for, how it goes, and what it needs to go on after a crash."""

from __future__ import annotations

import builtins
import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dbx.pixels.ai.task import Status, Task
from dbx.pixels.errors import TrainingError
from dbx.pixels.storage.writing import appearing, sync, writing


class TaskFolder:
    """The files of one training. Each is written whole and then renamed: a reader sees the old or the new one.

    Parameters
    ----------
    path : pathlib.Path
        The folder; its name is the training's.

    Attributes
    ----------
    log : pathlib.Path
        All that the training's process printed.
    checkpoint, best : pathlib.Path
        States after the last epoch, and after the one with the best Dice; there while the training is.
    examples : pathlib.Path
        What is learned from.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "log.txt"
        self.checkpoint = path / "checkpoint.pt"
        self.best = path / "best.pt"
        self.examples = path / "examples.json"
        self._request = path / "request.json"
        self._status = path / "status.json"
        self._curve = path / "curve.json"
        self._starts = path / "starts"
        self._stop = path / "stop"

    @classmethod
    def create(cls, queue: Path, request: dict[str, Any]) -> TaskFolder:
        """Make the folder of a new training, the last one of a queue.

        Parameters
        ----------
        queue : pathlib.Path
            The folder that holds all of them.
        request : dict
            What is asked for; only the user who runs this process can read it.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:4]}"  # two may be asked for at once
        folder = cls(queue / name)
        with writing(folder.path):
            folder.path.mkdir(parents=True)
            _write(folder._request, json.dumps(request).encode())
        return folder

    @classmethod
    def list(cls, queue: Path) -> list[TaskFolder]:
        """Return the folders of all trainings of a queue, the first one first."""
        return [cls(path.parent) for path in sorted(queue.glob("*/request.json"))]

    @property
    def id(self) -> str:
        """The training's name."""
        return self.path.name

    def request(self) -> dict[str, Any]:
        """Return what was asked for.

        Raises
        ------
        TrainingError
            If that cannot be read.
        """
        return self._read(self._request)

    def task(self) -> Task:
        """Return how it goes: where its files are damaged, that it failed, and why."""
        try:
            return self._task()
        except TrainingError as error:
            return Task(self.id, "", Status.ERROR, details=(str(error),))

    def update(self, **changes: Any) -> Task:
        """Change what is told of it.

        Raises
        ------
        StorageError
            If it cannot be written.
        TrainingError
            If what was told before cannot be read.
        """
        task = replace(self._task(), **changes)
        self.write(self._status, json.dumps(task.to_json()).encode())
        return task

    def end(self, status: Status, **changes: Any) -> None:
        """Tell that nothing more comes of it.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        self.update(status=status, end_ts=datetime.now(UTC), **changes)

    def note(self, line: str) -> None:
        """Add a line to its details.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        self.update(details=(*self.task().details, line))

    def curve(self) -> builtins.list[dict[str, Any]]:
        """Return what was measured of each epoch: ``epoch``, ``loss``, and ``dice``, which may be None.

        Raises
        ------
        TrainingError
            If that cannot be read.
        """
        return self._read(self._curve) if self._curve.exists() else []

    def add_to_curve(self, epoch: int, loss: float, dice: float | None) -> None:
        """Add what was measured of an epoch; one that is done anew, after a crash, takes the place of what it was.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        before = [point for point in self.curve() if point["epoch"] < epoch]
        self.write(self._curve, json.dumps([*before, {"epoch": epoch, "loss": loss, "dice": dice}]).encode())

    def write(self, path: Path, content: bytes) -> None:
        """Write one of its files.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        with writing(path):
            _write(path, content)

    @property
    def is_stopped(self) -> bool:
        """Whether somebody asked for its end."""
        return self._stop.exists()

    def stop(self) -> None:
        """Ask for its end.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        with writing(self._stop):
            self._stop.touch()

    def count_start(self) -> int:
        """Count how often it has been started since an epoch of it was done, this time included."""
        epoch = str(self.task().epoch)
        starts = [*(self._starts.read_text().split() if self._starts.exists() else ()), epoch]
        self.write(self._starts, "\n".join(starts).encode())
        return starts.count(epoch)

    def discard_states(self) -> None:
        """Delete what it would need to go on."""
        for path in (self.checkpoint, self.best):
            path.unlink(missing_ok=True)

    def _task(self) -> Task:
        path = self._status if self._status.exists() else self._request
        told = self._read(path)
        try:
            if path == self._status:
                return Task.from_json(told)
            task = Task(self.id, told["model"], request={"epochs": told["epochs"]})
        except (LookupError, TypeError, ValueError) as error:
            raise self._damaged(path, error) from error
        if self.is_stopped:  # before it began
            return replace(task, status=Status.STOPPED, end_ts=datetime.fromtimestamp(self._stop.stat().st_mtime, UTC))
        return task

    def _read(self, path: Path) -> Any:
        try:
            return json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise self._damaged(path, error) from error

    def _damaged(self, path: Path, error: Exception) -> TrainingError:
        problem = f"{path.name} cannot be read: {type(error).__name__}: {error}"
        return TrainingError(f"training {self.id}", problem, f"Delete the training's folder: {self.path}")


def _write(path: Path, content: bytes) -> None:
    with appearing(path) as unfinished:
        unfinished.touch(0o600)  # what somebody asked for is for nobody else
        unfinished.write_bytes(content)
        sync(unfinished)
