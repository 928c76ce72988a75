"""Active learning: which series is best labelled next."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from dbx.pixels.ai.info import ModelInfo
from dbx.pixels.ai.labels import Label, final_labels
from dbx.pixels.ai.series import Series, read_series
from dbx.pixels.catalog import Catalog
from dbx.pixels.errors import ArgumentError, SeriesNotFoundError, UnsuitableSeriesError
from dbx.pixels.index import ServingIndex
from dbx.pixels.table import ObjectTable, Principal

#: Strategies by name, each with what it offers.
STRATEGIES: Final[Mapping[str, str]] = {
    "first": "the newest study's first series",
    "random": "any series",
}


@dataclass(frozen=True)
class Sample:
    """A series that has no final label.

    Attributes
    ----------
    series : Series
        The series.
    score : float or None
        How uncertain the model is of it, from 0 to 1; None if the strategy does not go by that.
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


class ActiveLearning:
    """Chooses what is labelled next. Nothing of what it answers by is kept: what is saved counts at once.

    Parameters
    ----------
    catalog : Catalog
        In whose table labels are.
    index : ServingIndex
        Where series are looked up.
    """

    def __init__(self, catalog: Catalog, index: ServingIndex) -> None:
        self._catalog = catalog
        self._index = index

    def labelling(self, modalities: Iterable[str], principal: Principal) -> Labelling:
        """Tell which series of some modalities there are, and which of them have a final label.

        Raises
        ------
        TableError
            If the table cannot be read.
        """
        labels = final_labels(ObjectTable.find(self._catalog.location()), principal)
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
        order = self._orders.get(strategy)
        if order is None:
            raise ArgumentError(strategy, "is no strategy", f"There are: {', '.join(STRATEGIES)}.")
        labelling = self.labelling([model.modality], principal)
        left = [uid for uid in labelling.series if uid not in labelling.labelled and uid != besides]
        return next(self._suitable(order(left), principal), None)

    @property
    def _orders(self) -> Mapping[str, Callable[[list[str]], list[str]]]:
        return {"first": lambda series: series, "random": lambda series: random.sample(series, len(series))}

    def _suitable(self, series: Iterable[str], principal: Principal) -> Iterator[Sample]:
        for uid in series:
            try:
                yield Sample(read_series(self._index, uid, principal))
            except (UnsuitableSeriesError, SeriesNotFoundError):
                continue
