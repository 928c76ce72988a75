"""Trainings: one at a time, in the order in which they are asked for, each in a process that outlives who asked."""

from __future__ import annotations

import builtins

from dbx.pixels.ai.task import Task
from dbx.pixels.catalog import Catalog
from dbx.pixels.table.principal import Principal


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

    def start(self, model: str, principal: Principal, *, epochs: int | None = None) -> Task:
        """Ask for a training; it begins when those before it have ended.

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
        ModelNotFoundError
            If there is no such model.
        TrainingError
            If it cannot be trained, or there are no series with final labels.
        StorageError
            If the home folder cannot be written.
        """
        raise NotImplementedError

    def current(self) -> Task | None:
        """Return the training that runs, else the next one; None if there is none."""
        raise NotImplementedError

    def list(self) -> builtins.list[Task]:
        """Return all trainings, the first one first."""
        raise NotImplementedError

    def find(self, task_id: str) -> Task:
        """Return one training.

        Raises
        ------
        TrainingError
            If there is none of this name.
        """
        raise NotImplementedError

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
        """
        raise NotImplementedError
