"""Segmenting many series: each result enters the table as a proposal, and a row beside the table tells of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from dbx.pixels.ai.attempts import Attempt, Segmenting, reason_of
from dbx.pixels.ai.foreground import Foreground
from dbx.pixels.ai.results import Result, Results
from dbx.pixels.ai.runner import Runner
from dbx.pixels.ai.series import Series, read_series
from dbx.pixels.ai.storing import store_file
from dbx.pixels.catalog import Catalog
from dbx.pixels.catalog.arrivals import LabelState
from dbx.pixels.catalog.uploads import Uploads
from dbx.pixels.errors import EngineError, PixelsError
from dbx.pixels.index import ServingIndex


def segment(
    catalog: Catalog,
    index: ServingIndex,
    runner: Runner,
    model: str,
    series_uids: Iterable[str],
    *,
    on_progress: Callable[[float, str], None] | None = None,
) -> Iterator[Result | None]:
    """Segment series: one after the other, or, if the catalog has a session of Spark, many at once on its executors.

    A series that the same version of the model has segmented before, and that has not changed since, is left out, and
    so is one that another batch, at the same time, was faster with. One that fails stops nothing: its row in `Results`
    says why, and the next batch tries it again.

    Parameters
    ----------
    catalog : Catalog
        To whose volume and table segmentations go, as proposals; its principal reads the series.
    index : ServingIndex
        Of the catalog.
    runner : Runner
        That segments; executors have each their own, with the same models.
    model : str
        Its name; the version is the champion of when the batch begins.
    series_uids : iterable of str
        Series Instance UIDs.
    on_progress : callable, optional
        Told of each series which part is done, and what is done now; executors tell nothing.

    Yields
    ------
    Result or None
        What became of each series, in order, from executors as they are done; None if it was left out. Of a UID that is
        given twice there is one.

    Raises
    ------
    ModelNotFoundError, ModelNotReadyError
        If the model cannot be run.
    ArgumentError
        If there is no such device.
    TableError
        If results cannot be read or written.
    EngineError
        If executors lack something, or cannot be reached any more.
    """
    info = runner.ready(model)
    results, uploads = Results(catalog.location()), Uploads(catalog, index)
    known = results.fingerprints(model, info.version)

    def is_done(series: Series) -> bool:
        """Look again, as another batch may segment the same series."""
        return results.has(model, info.version, series.SeriesInstanceUID, series.fingerprint)

    settled: list[Result | None] = []

    def wanted() -> Iterator[Series]:
        for series_uid in dict.fromkeys(series_uids):
            try:
                series = read_series(index, series_uid, catalog.principal)
            except PixelsError as error:
                failed = Result(series_uid, model, info.version, error=reason_of(error, series_uid))
                results.add(failed)
                settled.append(failed)
                continue
            if (series_uid, series.fingerprint) in known or is_done(series):
                settled.append(None)
            else:
                yield series

    segmenting = Segmenting(runner, model, info.version, uploads.folder(), on_progress)
    with Foreground(catalog.home).running():
        for series, outcome in catalog.engine.each(segmenting, wanted(), segmenting.reach):
            if is_done(series):
                _discard(outcome)
                result = None
            else:
                result = _stored(series, outcome, segmenting, uploads)
                results.add(result)
            yield from _taken(settled)
            yield result
    yield from _taken(settled)


def _stored(series: Series, outcome: Attempt | EngineError, segmenting: Segmenting, uploads: Uploads) -> Result:
    """Let what was found enter the table."""
    started = time.monotonic()
    attempt = Attempt(error=str(outcome)) if isinstance(outcome, EngineError) else outcome
    result, error = None, attempt.error
    if attempt.file:
        try:
            result = store_file(attempt.file, uploads, LabelState.PROPOSAL)
        except PixelsError as failure:
            error = reason_of(failure, series.SeriesInstanceUID)
    return Result(
        series.SeriesInstanceUID,
        segmenting.model,
        segmenting.version,
        result,
        error,
        attempt.volumes_ml if result else {},
        attempt.seconds + time.monotonic() - started,
        fingerprint=series.fingerprint,
    )


def _discard(outcome: Attempt | EngineError) -> None:
    if isinstance(outcome, Attempt) and outcome.file:
        outcome.file.unlink(missing_ok=True)


def _taken(settled: list[Result | None]) -> Iterator[Result | None]:
    while settled:
        yield settled.pop(0)
