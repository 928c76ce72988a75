"""What a server offers of AI, once for all its routes: MONAI Label's at /monai, and those of the viewer's panel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dbx.pixels.ai.active_learning import ActiveLearning
from dbx.pixels.ai.extra import require
from dbx.pixels.ai.foreground import Foreground
from dbx.pixels.ai.info import ModelInfo
from dbx.pixels.ai.models import Models
from dbx.pixels.ai.remote import RemoteRunner
from dbx.pixels.ai.runner import Runner
from dbx.pixels.ai.scoring import Scorer
from dbx.pixels.ai.segmentation import Labelmap
from dbx.pixels.ai.segmented import Segmented
from dbx.pixels.ai.training import Trainings
from dbx.pixels.ai.volume_files import Volume
from dbx.pixels.catalog import Catalog
from dbx.pixels.errors import ArgumentError
from dbx.pixels.index import ServingIndex
from dbx.pixels.table import Principal

#: What running a model here, or elsewhere, and writing what it finds imports.
_NEEDED_HERE = ("torch", "monai", "ignite", "nibabel", "highdicom", "nrrd")
_NEEDED_FOR_ELSEWHERE = ("highdicom", "nrrd")


class Assistant:
    """Models that are run, trained, and learned for. Its methods block: call them on threads.

    Parameters
    ----------
    catalog : Catalog
        What is served; its home holds models, trainings and scores.
    index : ServingIndex
        Of the catalog.
    index_url : str, optional
        Database of the index, for the processes of trainings.
    serving_endpoint : str, optional
        URL of a served model, which then runs instead of those of the home folder.

    Attributes
    ----------
    trainings : Trainings
        Those of the home folder.
    learning : ActiveLearning
        What is labelled next, and what is labelled.
    """

    def __init__(
        self, catalog: Catalog, index: ServingIndex, index_url: str | None = None, serving_endpoint: str | None = None
    ) -> None:
        self._models = Models(catalog.home.models)
        self._remote = RemoteRunner(serving_endpoint, index) if serving_endpoint else None
        self._runner = self._remote or Runner(self._models, index)
        self._foreground = Foreground(catalog.home)
        self._scorer = None if self._remote else Scorer(catalog, index, index_url)
        self.trainings = Trainings(catalog, index_url)
        self.learning = ActiveLearning(catalog, index, self._scorer)

    def check(self) -> None:
        """Make sure that what is needed is installed; it is not imported yet.

        Raises
        ------
        EngineError
            If it is not; it says how to install it.
        """
        require(*(_NEEDED_FOR_ELSEWHERE if self._remote else _NEEDED_HERE))

    def offered(self) -> list[ModelInfo]:
        """Return the models that can be run.

        Raises
        ------
        ServingError
            If they are served elsewhere, and that cannot be reached.
        """
        known = [self._remote.info()] if self._remote else self._models.list()
        return [info for info in known if info.is_ready]

    def trainable(self) -> list[ModelInfo]:
        """Return the models that can be trained, those without weights too."""
        return [info for info in self._models.list() if info.is_trainable]

    def info(self, model: str) -> ModelInfo:
        """Return what is known of a model that can be run or trained.

        Raises
        ------
        ModelNotFoundError
            If there is none of this name.
        ServingError
            If it is served elsewhere, and that cannot be reached.
        """
        served = self._remote.info() if self._remote else None
        return served if served and served.name == model else self._models.info(model)

    def run(
        self,
        model: str,
        series_uid: str,
        principal: Principal,
        *,
        params: Mapping[str, Any] | None = None,
        on_progress: Callable[[float, str], None] | None = None,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> Segmented:
        """Segment a series, as `Runner.run` does, with its errors, and `ServingError` of a remote runner."""
        with self._foreground.running():
            return self._runner.run(
                model, series_uid, principal, params=params, on_progress=on_progress, is_cancelled=is_cancelled
            )

    def run_on(
        self,
        model: str,
        volume: Volume,
        *,
        params: Mapping[str, Any] | None = None,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> Labelmap:
        """Segment a volume that is no series, as `Runner.run_on` does, with its errors.

        Raises
        ------
        ArgumentError
            If models are served elsewhere, or the file did not say where its voxels lie.
        """
        if not isinstance(self._runner, Runner):
            raise ArgumentError("the volume", "is no series, and the served model takes those only", "Ingest it first.")
        if volume.affine is None:
            raise ArgumentError("the volume", "does not say where its voxels lie", "Write NRRD with a space, or NIfTI.")
        with self._foreground.running():
            values = volume.values.astype(np.float32)
            return self._runner.run_on(model, values, volume.affine, params=params, is_cancelled=is_cancelled)

    def epochs(self, model: str) -> int | None:
        """Return how many epochs a training of a model has, unless told otherwise; None if that is computed."""
        return self._models.epochs(model)

    def close(self) -> None:
        """End what goes on in the background, but trainings."""
        if self._scorer:
            self._scorer.close()
