"""Segmenting many series: each result enters the table as a proposal, and a row beside the table tells of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from dbx.pixels.ai.runner import Runner
from dbx.pixels.catalog import Catalog
from dbx.pixels.catalog.uploads import Uploads


@dataclass(frozen=True)
class Result:
    """What became of one series: a row of ``<table>_autoseg_result``.

    Attributes
    ----------
    series_uid : str
        Series Instance UID of what was segmented.
    result : str or None
        SOP Instance UID of the segmentation.
    error : str or None
        Why there is none.
    model, model_version : str
        What segmented it.
    volumes_ml : mapping of str to float
        By label.
    seconds : float
        How long it took.
    written : datetime
        When.
    fingerprint : str or None
        That of the series as it was.
    """

    series_uid: str
    result: str | None
    error: str | None
    model: str
    model_version: str
    volumes_ml: Mapping[str, float]
    seconds: float
    written: datetime
    fingerprint: str | None


def segment(
    catalog: Catalog,
    runner: Runner,
    uploads: Uploads,
    model: str,
    series_uids: Iterable[str],
    *,
    on_done: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Segment series, one after the other; one that fails stops nothing.

    A series that has a result of the same version of the model already, and has not changed since, is left out.
    """
    raise NotImplementedError
