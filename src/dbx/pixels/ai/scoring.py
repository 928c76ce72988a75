"""Scoring in the background: series that have no label yet, while nobody waits for anything else."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbx.pixels.ai.foreground import Foreground
from dbx.pixels.ai.info import ModelInfo
from dbx.pixels.ai.models import Models
from dbx.pixels.ai.scores import Score, Scores
from dbx.pixels.ai.series import Series, read_series
from dbx.pixels.ai.uncertainty import uncertainty
from dbx.pixels.catalog import Catalog
from dbx.pixels.errors import ModelError, PixelsError, SeriesNotFoundError, StorageError, UnsuitableSeriesError
from dbx.pixels.index import ServingIndex
from dbx.pixels.table import Principal

if TYPE_CHECKING:
    from dbx.pixels.ai.bundle import Bundle

#: Exit code of a process that left because somebody waits for something else.
LEFT = 3
#: Seconds between two looks at whether there is something to score, and nobody who waits.
_INTERVAL = 2.0
#: Seconds between two looks at whether a process has ended.
_PATIENCE = 0.2

_log = logging.getLogger(__name__)


def score(
    models: Models, model: str, index: ServingIndex, series_uids: Iterable[str], principal: Principal, scores: Scores
) -> None:
    """Score those series that the version of a model which is used has not scored as they are now.

    Each score is kept at once, so that whoever ends this loses one series at most. The order is random: however few are
    scored, they are a fair sample.

    Parameters
    ----------
    models : Models
        Those that there are.
    model : str
        The name of one that is ready.
    index : ServingIndex
        Where series are looked up.
    series_uids : iterable of str
        Series Instance UIDs; those that make no volume are left out.
    principal : Principal
        Who reads.
    scores : Scores
        Where scores are kept.

    Raises
    ------
    ModelError
        If the model cannot be loaded.
    StorageError
        If scores cannot be kept.
    """
    info = models.info(model)
    weights = models.versions(model).find(info.version).identity
    known = scores.of(model, weights)
    uids = list(series_uids)
    bundle: Bundle | None = None
    for uid in random.sample(uids, len(uids)):
        try:
            series = read_series(index, uid, principal)
        except (SeriesNotFoundError, UnsuitableSeriesError):
            continue
        if uid not in known or known[uid].fingerprint != series.fingerprint:
            bundle = bundle or models.open(model, info.version)
            scores.add(model, weights, uid, Score(series.fingerprint, _value(bundle, series)))


def _value(bundle: Bundle, series: Series) -> float | None:
    try:
        return uncertainty(bundle, series.volume(), series.affine, bundle.info.labels)
    except (ModelError, UnsuitableSeriesError, StorageError) as error:
        _log.warning("a series cannot be scored by %s: %s", bundle.info.name, error.problem)
        return None


class Scorer:
    """Has a process score what is not labelled, for the models that are asked for.

    The process is nice, and leaves as soon as a run or a training is wanted, or this one ends; it comes again when
    nobody waits any more. Of a home folder there is one at a time.

    Parameters
    ----------
    catalog : Catalog
        Whose series are scored.
    index : ServingIndex
        Of the catalog.
    index_url : str, optional
        Database of the index; a file in the home folder by default.
    """

    def __init__(self, catalog: Catalog, index: ServingIndex, index_url: str | None = None) -> None:
        self._catalog = catalog
        self._index = index
        self._index_url = index_url
        self._models = Models(catalog.home.models)
        self._scores = Scores(catalog.home.scores)
        self._foreground = Foreground(catalog.home)
        self._row_filters: dict[str, str | None] = {}
        self._done: Any = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._first = threading.Lock()

    def scores(self, model: ModelInfo, principal: Principal) -> dict[str, Score]:
        """Return the scores that a model gave up to now, by Series Instance UID.

        From then on they are kept up to date, as long as this process lives.

        Parameters
        ----------
        model : ModelInfo
            One of the home folder's; if it is not ready it gives none.
        principal : Principal
            Who asks: the series that they may see are scored.

        Raises
        ------
        StorageError
            If scores cannot be read.
        """
        if not model.is_ready:
            return {}
        with self._first:
            row_filter = principal.row_filter(self._catalog.location())
            self._row_filters = {**self._row_filters, model.name: row_filter}
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="pixels-score", daemon=True)
                self._thread.start()
        return self._scores.of(model.name, self._models.versions(model.name).find(model.version).identity)

    def close(self) -> None:
        """End the process, if there is one."""
        self._stop.set()
        if self._thread:
            self._thread.join()

    def _work(self) -> None:
        told = None
        while not self._stop.wait(_INTERVAL):
            try:
                self._look()
                told = None
            except PixelsError as error:  # what is away may come back
                if error.problem != told:
                    _log.warning("series cannot be scored: %s", error.problem)
                told = error.problem
            except Exception as error:  # whatever it is: scores are kept up to date as long as the server lives
                if repr(error) != told:
                    _log.exception("series cannot be scored")
                told = repr(error)

    def _look(self) -> None:
        """Let a process score, if there may be something to score, and nobody waits."""
        state = self._state()
        if state in (None, self._done) or not self._foreground.is_idle:
            return
        with self._only_one() as is_mine:
            if is_mine:
                code = self._run()
                if code not in (0, LEFT) and not self._stop.is_set():
                    _log.warning("scoring failed: %s says why", self._log_path)
                if code != LEFT:  # what failed is not tried again before something changes
                    self._done = state

    def _state(self) -> Any:
        """Return what scores depend on; None if no model is wanted."""
        with self._first:  # what was removed is forgotten
            ready = {model.name: model.version for model in self._models.list() if model.is_ready}
            self._row_filters = {name: value for name, value in self._row_filters.items() if name in ready}
            row_filters = self._row_filters
        champions = [self._models.versions(name).find(ready[name]) for name in row_filters]
        return (self._index.sync(), row_filters, [one.identity for one in champions]) if champions else None

    def _run(self) -> int:
        request = {
            "table": self._catalog.table,
            "volume": self._catalog.volume,
            "home": str(self._catalog.home.root),
            "index_url": self._index_url,
            "row_filters": self._row_filters,
        }
        threads = str(max((os.cpu_count() or 1) - 1, 1))
        with (
            self._log_path.open("wb") as log,
            subprocess.Popen(
                [sys.executable, "-m", "dbx.pixels.ai.score_process"],
                env={**os.environ, "OMP_NUM_THREADS": threads},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            ) as process,
        ):
            assert process.stdin
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()  # it stays open: the process leaves when that ends
            while process.poll() is None:
                if self._stop.wait(_PATIENCE):
                    process.kill()
                    process.wait()
        return process.returncode

    @property
    def _log_path(self) -> Path:
        return self._catalog.home.ai / "scoring.log"

    @contextmanager
    def _only_one(self) -> Iterator[bool]:
        """Be the only one who lets a process score, if nobody else does."""
        self._catalog.home.ai.mkdir(parents=True, exist_ok=True)
        with (self._catalog.home.ai / "scoring.lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
