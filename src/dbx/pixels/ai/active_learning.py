"""Active learning: which series is best labelled next."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from dbx.pixels.ai.info import ModelInfo
from dbx.pixels.ai.labels import Label, final_labels
from dbx.pixels.ai.scores import Score
from dbx.pixels.ai.scoring import Scorer
from dbx.pixels.ai.series import Series, read_series
from dbx.pixels.catalog import Catalog
from dbx.pixels.errors import ArgumentError, SeriesNotFoundError, UnsuitableSeriesError
from dbx.pixels.index import ServingIndex
from dbx.pixels.table import ObjectTable, Principal

#: Strategies by name, each with what it offers.
STRATEGIES: Final[Mapping[str, str]] = {
    "first": "the first series of the newest study",
    "random": "any series",
    "uncertainty": "the series that the model is least certain of; any, until some are scored",
}


@dataclass(frozen=True)
class Sample:
    """A series that has no final label.

    Attributes
    ----------
    series : Series
        The series.
    score : float or None
        How uncertain the model is of it, from 0 to 1; None if it is not scored, or the strategy does not go by that.
    """

    series: Series
    score: float | None = None


@dataclass(frozen=True)
class Labelling:
    """How far labelling is.

    Attributes
    ----------
    series : tuple of str
        Series Instance UIDs of all that may be labelled, in the order of searches: newest studies first.
    labelled : mapping of str to Label
        The final labels of those of them that have one.
    """

    series: tuple[str, ...]
    labelled: Mapping[str, Label]

    @property
    def left(self) -> list[str]:
        """Those that have none, in the same order."""
        return [uid for uid in self.series if uid not in self.labelled]


class ActiveLearning:
    """Chooses what is labelled next. What is saved counts at once: labels are kept while the table is as it was.

    Parameters
    ----------
    catalog : Catalog
        In whose table labels are.
    index : ServingIndex
        Where series are looked up.
    scorer : Scorer, optional
        Knows how uncertain models are of series; without one, none is scored.
    """

    def __init__(self, catalog: Catalog, index: ServingIndex, scorer: Scorer | None = None) -> None:
        self._catalog = catalog
        self._index = index
        self._scorer = scorer
        self._kept: tuple[tuple[str, int] | None, dict[str | None, dict[str, Label]]] = None, {}

    def labelling(self, modalities: Iterable[str], principal: Principal) -> Labelling:
        """Tell which series of some modalities there are, and which of them have a final label.

        Raises
        ------
        TableError
            If the table cannot be read.
        """
        labels = self._labels(principal)
        series = tuple(self._index.series_of(modalities, principal))
        return Labelling(series, {uid: labels[uid] for uid in series if uid in labels})

    def next(
        self, strategy: str, model: ModelInfo, principal: Principal, *, besides: str | None = None
    ) -> Sample | None:
        """Return a series that has no final label, suits a model, and is best labelled next; None if none is left.

        Parameters
        ----------
        strategy : str
            One of `STRATEGIES`.
        model : ModelInfo
            What it is labelled for.
        principal : Principal
            Who labels.
        besides : str, optional
            Series Instance UID of what is not to be offered, since it is looked at already.

        Raises
        ------
        ArgumentError
            If there is no such strategy.
        TableError
            If the table cannot be read.
        """
        if strategy not in STRATEGIES:
            raise ArgumentError(strategy, "is no strategy", f"There are: {', '.join(STRATEGIES)}.")
        left = [uid for uid in self.labelling([model.modality], principal).left if uid != besides]
        if strategy != "first":
            random.shuffle(left)
        scores = self._scorer.scores(model, principal) if self._scorer and strategy == "uncertainty" else {}
        return next(self._samples(left, scores, principal), None)

    def _labels(self, principal: Principal) -> dict[str, Label]:
        """Return the final labels that somebody may see; they are read once of each version of the table."""
        location = self._catalog.location()
        table = ObjectTable.find(location)
        version = (table.log.table_id, table.version) if table else None
        kept = self._kept  # other threads may have a later one by now
        if kept[0] != version:
            kept = self._kept = version, {}
        row_filter = principal.row_filter(location)
        if row_filter not in kept[1]:
            kept[1][row_filter] = final_labels(table, principal)
        return kept[1][row_filter]

    def _samples(self, left: list[str], scores: Mapping[str, Score], principal: Principal) -> Iterator[Sample]:
        """Yield series that make a volume: those with a score first, the highest before others; the rest as it comes.

        A score counts as long as the series is as it was.
        """
        values = {uid: score.value for uid, score in scores.items() if score.value is not None}
        changed = []
        for uid in sorted(left, key=lambda uid: -values.get(uid, -1.0)):
            try:
                series = read_series(self._index, uid, principal)
            except (UnsuitableSeriesError, SeriesNotFoundError):
                continue
            if uid in values and scores[uid].fingerprint != series.fingerprint:
                changed.append(Sample(series))
            else:
                yield Sample(series, values.get(uid))
        yield from changed
