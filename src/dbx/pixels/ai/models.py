"""The models of a home folder: MONAI bundles, one folder each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbx.pixels.ai.bundle import Bundle


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model without loading it.

    Parameters
    ----------
    name : str
        The name of its folder.
    version : str
        The version that is used: the champion of those that were trained here, else the bundle's own.
    description : str
        What it does, in the words of its metadata.
    modality : str
        The modality (0008,0060) of the series that it takes; empty if it does not say.
    labels : mapping of str to int
        Names of what it finds, and their values in its labelmaps.
    is_ready : bool
        Whether it can be run.
    reason : str
        Why not, and what to do; empty if it is ready.
    is_trainable : bool
        Whether it can be trained further.
    prompts : tuple of str
        What it takes beside the series, such as ``"points"``.
    """

    name: str
    version: str
    description: str
    modality: str
    labels: Mapping[str, int]
    is_ready: bool
    reason: str
    is_trainable: bool
    prompts: tuple[str, ...] = ()


class Models:
    """The models below one folder.

    Parameters
    ----------
    folder : pathlib.Path
        Such as `dbx.pixels.storage.Home.models`; it need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def list(self) -> list[ModelInfo]:
        """Return all models, by name, those that are not ready too."""
        raise NotImplementedError

    def info(self, name: str) -> ModelInfo:
        """Return what is known of one model.

        Raises
        ------
        ModelNotFoundError
            If there is none of this name.
        """
        raise NotImplementedError

    def open(self, name: str, version: str | None = None, device: str | None = None) -> Bundle:
        """Load a model so that it can be run.

        Parameters
        ----------
        name : str
            Its name.
        version : str, optional
            One of its versions; the champion by default.
        device : str, optional
            Such as ``cpu`` or ``cuda:0``; a GPU by default, where there is one.

        Raises
        ------
        ModelNotFoundError
            If there is no such model, or no such version of it.
        ModelNotReadyError
            If it cannot be run.
        EngineError
            If what AI needs is not installed.
        """
        raise NotImplementedError

    def new(self, name: str, labels: Sequence[str], network: str = "SegResNet", modality: str = "CT") -> ModelInfo:
        """Make a bundle for 3D segmentation that has yet to be trained."""
        raise NotImplementedError
