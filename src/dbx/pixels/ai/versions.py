"""Versions of a model that were trained here, and which of them is the champion: the one that is used."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dbx.pixels.errors import ModelError, ModelNotFoundError
from dbx.pixels.storage.writing import appearing, sync, write_whole

_NUMBER = re.compile("[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class Version:
    """One version of a model.

    Parameters
    ----------
    name : str
        Its number, or the version that the bundle's metadata names.
    weights : pathlib.Path
        The file that holds them.
    dice : float, optional
        Mean Dice of its validation; None of those that were not trained here.
    published : datetime.datetime, optional
        When that was.
    """

    name: str
    weights: Path
    dice: float | None = None
    published: datetime | None = None

    @property
    def identity(self) -> str:
        """What no other weights have, nor these with other configurations.

        A model may be removed, and another one added by its name; and configurations are edited.
        """
        files = [self.weights, *sorted(self.weights.parents[1].glob("configs/*"))]
        return "@".join([str(self.weights), *(str(path.stat().st_mtime_ns) for path in files)])


class Versions:
    """The versions of one model: ``models/model.pt``, as the bundle came, and ``versions/<n>.pt``, as trained here.

    All that is written appears at once: a reader sees a version whole, or not at all.

    Parameters
    ----------
    bundle : pathlib.Path
        The bundle's folder.
    own : str
        The version that the bundle's metadata names: that of ``models/model.pt``.
    """

    def __init__(self, bundle: Path, own: str) -> None:
        self._own = Version(own, bundle / "models" / "model.pt")
        self._folder = bundle / "versions"
        self._champions = self._folder / "champion"

    @property
    def trained(self) -> list[int]:
        """The numbers of those that were trained here, in order; what is known of them is not read."""
        return sorted(int(path.stem) for path in self._folder.glob("*.pt") if _NUMBER.fullmatch(path.stem))

    def list(self) -> list[Version]:
        """Return the bundle's own version, if it came with weights, and those that were trained here, in order.

        Raises
        ------
        ModelError
            If what is known of one cannot be read.
        """
        own = [self._own] if self._own.weights.is_file() else []
        return own + [self._trained(number) for number in self.trained]

    def check(self) -> None:
        """Make sure that all that is known of them can be read.

        Raises
        ------
        ModelError
            If not.
        """
        self.list()
        self.champion()

    def find(self, name: str) -> Version:
        """Return one version.

        Raises
        ------
        ModelNotFoundError
            If there is none of this name.
        ModelError
            If what is known of one cannot be read.
        """
        for version in self.list():
            if version.name == name:
                return version
        known = ", ".join(version.name for version in self.list()) or "none"
        raise ModelNotFoundError(self._folder.parent.name, f"has no version {name}", f"Its versions: {known}.")

    def publish(self, weights: Path | Mapping[str, Any], dice: float) -> str:
        """Add a version; the champion stays the same.

        Parameters
        ----------
        weights : pathlib.Path or mapping
            A checkpoint file, which is copied, or a network's state.
        dice : float
            Mean Dice of its validation.

        Returns
        -------
        str
            Its name: the next free number.
        """
        self._folder.mkdir(exist_ok=True)
        facts = json.dumps({"dice": dice, "published": datetime.now(UTC).isoformat()})
        number = self._claim(facts)
        with appearing(self._weights(number)) as unfinished:
            if isinstance(weights, Path):
                shutil.copyfile(weights, unfinished)
            else:
                import torch

                torch.save(dict(weights), unfinished)
            sync(unfinished)
        return str(number)

    def champion(self) -> str:
        """Return the version that is used; the bundle's own until another is chosen.

        Raises
        ------
        ModelError
            If that cannot be read.
        """
        return (self._history() or (self._own.name,))[-1]

    def set_champion(self, name: str) -> None:
        """Use a version from now on.

        Raises
        ------
        ModelNotFoundError
            If there is none of this name.
        """
        self.find(name)
        if name != self.champion():
            self._write_history([*self._history(), name])

    def roll_back(self) -> str:
        """Use the champion before the present one again, and return it.

        Raises
        ------
        ModelError
            If there was none.
        """
        *earlier, _ = self._history() or ("",)
        before = earlier[-1] if earlier else self._own.name
        if before == self.champion() or not any(version.name == before for version in self.list()):
            raise ModelError(
                self._folder.parent.name, "has no earlier champion to go back to", "Name a version: --to VERSION."
            )
        self._write_history(earlier)
        return before

    def _trained(self, number: int) -> Version:
        path = self._facts(number)
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            dice, published = float(facts["dice"]), datetime.fromisoformat(facts["published"])
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            remedy = f"Delete versions/{number}.pt, or put its {path.name} back."
            raise self._damaged(path, error, remedy) from error
        return Version(str(number), self._weights(number), dice, published)

    def _claim(self, facts: str) -> int:
        """Take the next number, which no other process gets, by writing its facts."""
        number = 1
        while True:
            if str(number) != self._own.name:
                try:
                    with self._facts(number).open("x") as file:
                        file.write(facts)
                        file.flush()
                        os.fsync(file.fileno())  # before there are weights: no version is without its facts
                except FileExistsError:
                    pass
                else:
                    return number
            number += 1

    def _weights(self, number: int) -> Path:
        return self._folder / f"{number}.pt"

    def _facts(self, number: int) -> Path:
        return self._folder / f"{number}.json"

    def _history(self) -> tuple[str, ...]:
        """Return all champions, the present one last."""
        try:
            return tuple(self._champions.read_text(encoding="utf-8").splitlines())
        except FileNotFoundError:
            return ()
        except (OSError, ValueError) as error:
            remedy = "Delete it: then the version that the bundle came with is used."
            raise self._damaged(self._champions, error, remedy) from error

    def _write_history(self, names: Iterable[str]) -> None:
        self._folder.mkdir(exist_ok=True)
        write_whole(self._champions, "".join(f"{name}\n" for name in names).encode())

    def _damaged(self, path: Path, error: Exception, remedy: str) -> ModelError:
        reason = "it is missing" if isinstance(error, FileNotFoundError) else f"{type(error).__name__}: {error}"
        return ModelError(self._folder.parent.name, f"versions/{path.name} cannot be read: {reason}", remedy)
