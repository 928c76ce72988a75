"""The runner by which everything segments: the viewer, the MONAI Label protocol, batches and served models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dbx.pixels.ai.models import Models
from dbx.pixels.ai.segmented import Segmented
from dbx.pixels.index import ServingIndex
from dbx.pixels.table.principal import Principal


class Runner:
    """Runs models on series. Its methods may be called from several threads; one run goes on at a time in a process.

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
        self._models = models
        self._index = index
        self._device = device

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
        version : str, optional
            One of the model's versions; the champion by default.
        params : mapping, optional
            What the model takes beside the series, such as ``points``.
        on_progress : callable, optional
            Told the part that is done, from 0 to 1, and what is done now: ``"waiting"``, ``"reading"``,
            ``"segmenting"``.
        is_cancelled : callable, optional
            Asked again and again whether to give up.

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
        ModelError
            If it fails.
        RunCancelledError
            If the caller gave up.
        """
        raise NotImplementedError
