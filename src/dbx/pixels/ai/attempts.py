"""What a batch does with a series, on this machine or on an executor: from its pixels to a file."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dbx.pixels.ai.extra import require
from dbx.pixels.ai.model_runner import ModelRunner
from dbx.pixels.ai.segmentation import write_segmentation
from dbx.pixels.ai.series import Series
from dbx.pixels.ai.storing import write_file
from dbx.pixels.catalog.incoming import IncomingFile
from dbx.pixels.errors import ArgumentError, EngineError, ModelError, PixelsError, StorageError

_log = logging.getLogger(__name__)

#: What the extra `ai` brings, and a run needs.
_PACKAGES = ("torch", "monai", "highdicom")


@dataclass(frozen=True)
class Attempt:
    """What became of a series: a file to be stored, or the reason why there is none.

    Attributes
    ----------
    file : pathlib.Path or None
        Where its segmentation is received.
    error : str or None
        Why there is none.
    volumes_ml : mapping of str to float
        By label, in millilitres.
    seconds : float
        How long it took.
    """

    file: Path | None = None
    error: str | None = None
    volumes_ml: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Segmenting:
    """Segments series. Pickled, it works the same on another machine, but tells nothing on its way.

    Attributes
    ----------
    runner : ModelRunner
        That segments.
    model, version : str
        With which one.
    folder : pathlib.Path
        Where files are received.
    on_progress : callable, optional
        Told of each series which part is done, and what is done now.
    """

    runner: ModelRunner
    model: str
    version: str
    folder: Path
    on_progress: Callable[[float, str], None] | None = None

    def __reduce__(self) -> tuple[type[Segmenting], tuple[ModelRunner, str, str, Path]]:
        return type(self), (self.runner, self.model, self.version, self.folder)

    def __call__(self, series: Series) -> Attempt:
        """Segment one series; whatever is wrong with it is told, not raised.

        Raises
        ------
        ArgumentError
            If this machine has no such device.
        """
        started = time.monotonic()
        try:
            segmented = self.runner.run_on_series(
                self.model, series, version=self.version, on_progress=self.on_progress
            )
            file = write_file(write_segmentation(segmented), self.folder)
        except ArgumentError:  # there is no such device: no series has a part in it
            raise
        except PixelsError as error:
            return Attempt(error=reason_of(error, series.SeriesInstanceUID), seconds=time.monotonic() - started)
        except Exception as error:  # whatever libraries raise of one series: the others do not wait for a remedy
            _log.exception("a series could not be segmented")
            return Attempt(error=f"{type(error).__name__}: {error}", seconds=time.monotonic() - started)
        return Attempt(file, volumes_ml=segmented.volumes_ml, seconds=time.monotonic() - started)

    def reach(self) -> None:
        """Find out whether this machine has what segmenting needs.

        Raises
        ------
        EngineError
            If a package, the model or the volume is missing.
        ArgumentError
            If there is no such device.
        """
        require(*_PACKAGES)
        self.runner.check_device()
        try:
            self.runner.ready(self.model)
            IncomingFile.create(self.folder).discard()
        except (ModelError, StorageError) as error:
            raise EngineError(
                error.subject,
                f"cannot be used from here: {error.problem}",
                "Let the home folder (--home, PIXELS_HOME) be one that all machines reach under one path.",
            ) from error


def reason_of(error: PixelsError, series_uid: str) -> str:
    """Say what is wrong with a series, which is named beside it."""
    return str(error).removeprefix(f"{series_uid}: ")
