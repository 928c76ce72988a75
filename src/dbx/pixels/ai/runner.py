"""The runner by which everything segments: the viewer, the MONAI Label protocol, batches and served models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dbx.pixels.ai.model_runner import ModelRunner
from dbx.pixels.ai.models import Models
from dbx.pixels.ai.segmented import Segmented
from dbx.pixels.ai.series import read_series
from dbx.pixels.index import ServingIndex
from dbx.pixels.table.principal import Principal


class Runner(ModelRunner):
    """Runs models on the series of an index.

    Parameters
    ----------
    models : Models
        Those that there are; the last two that were used stay loaded.
    index : ServingIndex
        Where series are looked up; the pixels of the last one stay in memory.
    device : str, optional
        Such as ``cpu`` or ``cuda:0``; a GPU by default, where there is one.
    """

    def __init__(self, models: Models, index: ServingIndex, device: str | None = None) -> None:
        super().__init__(models, device)
        self._index = index

    def run(
        self,
        model: str,
        series_uid: str,
        principal: Principal,
        *,
        version: str | None = None,
        params: Mapping[str, Any] | None = None,
        on_progress: Callable[[float, str], None] | None = None,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> Segmented:
        """Segment a series.

        Parameters
        ----------
        model : str
            Its name.
        series_uid : str
            Series Instance UID.
        principal : Principal
            Who reads the series.
        version, params, on_progress, is_cancelled
            As for `run_on_series`.

        Raises
        ------
        SeriesNotFoundError
            If there is no such series, or the principal may not see it.
        UnsuitableSeriesError
            If its images do not make one volume, or are of another modality than the model's.
        ModelNotFoundError
            If there is no such model.
        ModelNotReadyError
            If it cannot be run.
        ArgumentError
            If the model takes no such `params`, or this machine has no such device.
        ModelError
            If it fails.
        RunCancelledError
            If the caller gave up.
        """
        self.ready(model)
        series = read_series(self._index, series_uid, principal)
        return self.run_on_series(
            model, series, version=version, params=params, on_progress=on_progress, is_cancelled=is_cancelled
        )
