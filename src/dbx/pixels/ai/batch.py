"""Segmenting many series: each result enters the table as a proposal, and a row beside the table tells of each."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dbx.pixels.ai.foreground import Foreground
from dbx.pixels.ai.results import Result, Results
from dbx.pixels.ai.runner import Runner
from dbx.pixels.ai.segmentation import write_segmentation
from dbx.pixels.ai.segmented import Segmented
from dbx.pixels.ai.series import read_series
from dbx.pixels.ai.storing import store
from dbx.pixels.catalog import Catalog
from dbx.pixels.catalog.arrivals import LabelState
from dbx.pixels.catalog.uploads import Uploads
from dbx.pixels.errors import PixelsError
from dbx.pixels.index import ServingIndex

_log = logging.getLogger(__name__)


def segment(
    catalog: Catalog,
    index: ServingIndex,
    runner: Runner,
    model: str,
    series_uids: Iterable[str],
    *,
    on_progress: Callable[[float, str], None] | None = None,
) -> Iterator[Result | None]:
    """Segment series, one after the other.

    A series that the same version of the model has segmented before, and that has not changed since, is left out. One
    that fails stops nothing: its row in `Results` says why, and the next batch tries it again.

    Parameters
    ----------
    catalog : Catalog
        To whose volume and table segmentations go, as proposals; its principal reads the series.
    index : ServingIndex
        Of the catalog.
    runner : Runner
        That segments.
    model : str
        Its name; the version is the champion of when the batch begins.
    series_uids : iterable of str
        Series Instance UIDs.
    on_progress : callable, optional
        Told of each series which part is done, and what is done now.

    Yields
    ------
    Result or None
        What became of each series, in order; None if it was left out. Of a UID that is given twice there is one.

    Raises
    ------
    ModelNotFoundError, ModelNotReadyError
        If the model cannot be run.
    TableError
        If results cannot be read or written.
    """
    info = runner.ready(model)
    results, uploads = Results(catalog.location()), Uploads(catalog, index)
    foreground = Foreground(catalog.home)
    known = results.fingerprints(model, info.version)
    for series_uid in dict.fromkeys(series_uids):
        started = time.monotonic()
        found: dict[str, Any] = {}
        try:
            found["fingerprint"] = read_series(index, series_uid, catalog.principal).fingerprint
            if (series_uid, found["fingerprint"]) in known:
                yield None
                continue
            with foreground.running():
                segmented = runner.run(
                    model, series_uid, catalog.principal, version=info.version, on_progress=on_progress
                )
            found |= {"result": _store(segmented, uploads), "volumes_ml": segmented.volumes_ml}
        except PixelsError as error:
            found["error"] = str(error).removeprefix(f"{series_uid}: ")
        except Exception as error:  # whatever libraries raise of one series: the others do not wait for a remedy
            _log.exception("a series could not be segmented")
            found["error"] = f"{type(error).__name__}: {error}"
        result = Result(series_uid, model, info.version, seconds=time.monotonic() - started, **found)
        results.add(result)
        yield result


def _store(segmented: Segmented, uploads: Uploads) -> str:
    segmentation = write_segmentation(segmented)
    store(segmentation, uploads, LabelState.PROPOSAL)
    return str(segmentation.SOPInstanceUID)
