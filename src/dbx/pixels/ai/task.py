"""One training, as it is asked for and as it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """Where a training is; the names are those of the MONAI Label protocol."""

    SUBMITTED = "SUBMITTED"
    RUNNING = "RUNNING"
    DONE = "DONE"
    ERROR = "ERROR"
    STOPPED = "STOPPED"

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self in (Status.DONE, Status.ERROR, Status.STOPPED)


@dataclass(frozen=True)
class Task:
    """One training.

    Attributes
    ----------
    id : str
        Names of later ones are greater.
    model : str
        What is trained.
    status : Status
        Where it is.
    request : mapping
        What was asked for, such as ``epochs``.
    start_ts, end_ts : datetime or None
        When it began, and when it ended.
    details : tuple of str
        What there is to tell, each a line: warnings, why it failed, what became of it.
    epoch, total_epochs : int
        Epochs that are done, and those that will be.
    loss : float or None
        Mean of the epoch that goes on, else of the last one.
    dice : float or None
        Mean Dice of the last validation.
    best_metric : float or None
        The best Dice so far.
    version : str or None
        The model's version that came of it.
    """

    id: str
    model: str
    status: Status = Status.SUBMITTED
    request: Mapping[str, Any] = field(default_factory=dict)
    start_ts: datetime | None = None
    end_ts: datetime | None = None
    details: tuple[str, ...] = ()
    epoch: int = 0
    total_epochs: int = 0
    loss: float | None = None
    dice: float | None = None
    best_metric: float | None = None
    version: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it; times are ISO 8601."""
        times = {"start_ts": self.start_ts, "end_ts": self.end_ts}
        plain = {"status": self.status.value, "details": list(self.details)}
        return asdict(self) | plain | {name: time and time.isoformat() for name, time in times.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Task:
        """Make it of what `to_json` returned."""
        times = {name: values[name] and datetime.fromisoformat(values[name]) for name in ("start_ts", "end_ts")}
        return cls(**{**values, **times, "status": Status(values["status"]), "details": tuple(values["details"])})
