"""Models that are loaded, and run on one series after the other."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dbx.pixels.ai.models import ModelInfo, Models
from dbx.pixels.ai.segmentation import Labelmap
from dbx.pixels.ai.segmented import Segmented
from dbx.pixels.ai.series import Series
from dbx.pixels.errors import RunCancelledError, UnsuitableSeriesError

if TYPE_CHECKING:
    from dbx.pixels.ai.bundle import Bundle

#: Models that stay loaded: the one that is used, and the one before, to which people go back.
_KEPT_BUNDLES = 2
#: The part of a run that reading is.
_READING = 0.1
#: Seconds between two looks at whether somebody who waits still wants to.
_PATIENCE = 0.2

#: One model at a time computes in a process: two would need the memory of both, and each would take twice as long.
_turn = threading.Lock()


class ModelRunner:
    """Runs models on series that were looked up, and on volumes.

    Its methods may be called from several threads; one run goes on at a time in a process. Sent to another process, it
    arrives as the one of that process, which keeps its models loaded from run to run.

    Parameters
    ----------
    models : Models
        Those that there are; the last two that were used stay loaded.
    device : str, optional
        Such as ``cpu`` or ``cuda:0``; a GPU by default, where there is one.
    """

    def __init__(self, models: Models, device: str | None = None) -> None:
        self._models = models
        self._device = device
        self._bundles: OrderedDict[str, Bundle] = OrderedDict()
        self._volume: tuple[tuple[str, str], NDArray[np.float32]] | None = None

    def __reduce__(self) -> tuple[Callable[[Path, str | None], ModelRunner], tuple[Path, str | None]]:
        return _of_this_process, (self._models.folder, self._device)

    def ready(self, model: str) -> ModelInfo:
        """Return what is known of a model that can be run, as `Models.ready`."""
        return self._models.ready(model)

    def check_device(self) -> None:
        """Make sure that this machine has the device, if one was named.

        Raises
        ------
        ArgumentError
            If it has not.
        """
        if self._device is not None:
            from dbx.pixels.ai.loading import device_of

            device_of(self._device)

    def run_on_series(
        self,
        model: str,
        series: Series,
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
        series : Series
            As it was looked up; its pixels are read here, and those of the last one stay in memory.
        version : str, optional
            One of the model's versions; the champion by default.
        params : mapping, optional
            What the model takes beside the series, such as ``points``.
        on_progress : callable, optional
            Told the part that is done, from 0 to 1, and what is done now: ``"waiting"`` for other runs, ``"loading"``
            the model, ``"reading"`` the series, ``"segmenting"``.
        is_cancelled : callable, optional
            Asked again and again whether to give up.

        Raises
        ------
        UnsuitableSeriesError
            If its images cannot be read, or are of another modality than the model's.
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
        info = self.ready(model)
        if info.modality and series.Modality != info.modality:
            raise UnsuitableSeriesError(
                series.SeriesInstanceUID,
                f"is of modality {series.Modality or 'unknown'}, and {model} takes {info.modality}",
                "Choose another series, or another model.",
            )
        run = _Run(
            series.SeriesInstanceUID, on_progress or (lambda _part, _what: None), is_cancelled or (lambda: False)
        )
        with run.turn():
            started = time.monotonic()
            run.tell(0, "loading")
            bundle = self._bundle(info, version)
            volume = self._read(series, run)
            labelmap = bundle.segment(
                volume,
                series.affine,
                params=params,
                on_progress=lambda part: run.tell(_READING + part * (1 - _READING), "segmenting"),
                is_cancelled=run.is_cancelled,
            )
            seconds = time.monotonic() - started
        return Segmented(series, labelmap, bundle.info.labels, model, bundle.version, seconds)

    def run_on(
        self,
        model: str,
        volume: NDArray[np.float32],
        affine: NDArray[np.float64],
        *,
        params: Mapping[str, Any] | None = None,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> Labelmap:
        """Segment a volume that is no series: one that somebody sent.

        Parameters
        ----------
        model : str
            Its name.
        volume : array of shape (slices, rows, columns)
            Values as the model's modality has them.
        affine : array of shape (4, 4)
            As of `Series`.
        params, is_cancelled
            As for `run_on_series`.

        Raises
        ------
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
        info = self.ready(model)
        run = _Run("", lambda _part, _what: None, is_cancelled or (lambda: False))
        with run.turn():
            bundle = self._bundle(info, None)
            labelmap = bundle.segment(volume, affine, params=params, is_cancelled=run.is_cancelled)
        return Labelmap(labelmap, dict(bundle.info.labels))

    def _bundle(self, info: ModelInfo, version: str | None) -> Bundle:
        key = self._models.versions(info.name).find(version or info.version).identity
        if key not in self._bundles:
            while len(self._bundles) >= _KEPT_BUNDLES:
                self._bundles.popitem(last=False)  # before: three would need the memory of three
            self._bundles[key] = self._models.open(info.name, version or info.version, self._device)
        self._bundles.move_to_end(key)
        return self._bundles[key]

    def _read(self, series: Series, run: _Run) -> NDArray[np.float32]:
        key = series.SeriesInstanceUID, series.fingerprint
        if self._volume is None or self._volume[0] != key:
            self._volume = None  # two would need the memory of both
            done = 0

            def on_slice() -> None:
                nonlocal done
                done += 1
                run.tell(_READING * done / series.shape[0], "reading")

            self._volume = key, series.volume(on_slice)
        return self._volume[1]


@lru_cache(maxsize=1)
def _of_this_process(folder: Path, device: str | None) -> ModelRunner:
    """Return the runner for what other processes send to this one."""
    return ModelRunner(Models(folder), device)


class _Run:
    """What one run tells its caller, and whether that still wants it."""

    def __init__(
        self, series_uid: str, on_progress: Callable[[float, str], None], is_cancelled: Callable[[], bool]
    ) -> None:
        self.is_cancelled = is_cancelled
        self._series_uid = series_uid
        self._on_progress = on_progress

    def tell(self, part: float, what: str) -> None:
        """Tell how far the run is, and end it if nobody wants it any more."""
        self._on_progress(part, what)
        if self.is_cancelled():
            raise RunCancelledError(self._series_uid, "the run was cancelled")

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until no other run goes on in this process."""
        while not _turn.acquire(timeout=_PATIENCE):
            self.tell(0, "waiting")
        try:
            yield
        finally:
            _turn.release()
