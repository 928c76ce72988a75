"""How things are timed, and the row of the table that a measurement becomes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

ROUNDS = 5


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    what : str
        What is measured.
    baseline, ours : str
        The two figures with their units.
    figure : float
        What is compared with `target`: mostly how many times faster.
    target : float
        What it has to be.
    unit : str
        Of figure and target.
    at_least : bool
        Whether the target is a least or a most.
    """

    what: str
    baseline: str
    ours: str
    figure: float
    target: float
    unit: str = "x"
    at_least: bool = True

    @property
    def met(self) -> bool:
        return self.figure >= self.target if self.at_least else self.figure <= self.target


@dataclass(frozen=True)
class Skipped:
    """A line that cannot be measured here."""

    what: str
    reason: str


def cpu_per_item(work: Callable[[], object], items: int) -> float:
    """Microseconds of user and system time of this process for each item: what one core has to do."""
    begin = time.process_time()
    work()
    return (time.process_time() - begin) / items * 1e6


def wall_per_item(work: Callable[[], object], items: int) -> float:
    """Microseconds on the clock for each item."""
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) / items * 1e6


def interleaved(ways: Mapping[str, Callable[[], float]], rounds: int = ROUNDS) -> dict[str, float]:
    """The median result of each way over rounds in which all take turns, so that a noisy moment hits all alike.

    One more round goes first and does not count: it fills the page cache and loads what is loaded once.
    """
    results: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(rounds + 1):
        for name, way in ways.items():
            result = way()
            if round_number:
                results[name].append(result)
    return {name: statistics.median(values) for name, values in results.items()}


def per_file(microseconds: float) -> str:
    """A figure for the table."""
    return f"{microseconds:,.1f} us/file" if microseconds < 1000 else f"{microseconds / 1000:,.2f} ms/file"
