"""The models of a home folder: MONAI bundles, one folder each."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbx.pixels.ai.extra import extra_ai
from dbx.pixels.ai.info import LABEL, ModelInfo, read_config, read_info, versions_of
from dbx.pixels.ai.template import NETWORKS, WINDOW_STEP, segmentation_bundle
from dbx.pixels.ai.versions import Versions
from dbx.pixels.errors import (
    ArgumentError,
    ModelError,
    ModelNotFoundError,
    ModelNotReadyError,
    StorageError,
    TrainingError,
)
from dbx.pixels.storage.local import storage_error

if TYPE_CHECKING:
    from dbx.pixels.ai.bundle import Bundle

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

#: How names of folders begin that hold what is not finished.
_UNFINISHED = ".unfinished-"

#: What belongs to a bundle, beside packages of its own: data sets, results and caches do not.
_PARTS = (
    "configs/*.json",
    "configs/*.y*ml",
    "models/*.pt",
    "models/*.ts",
    "versions/*",
    "docs/**/*",
    "*.md",
    "LICENSE*",
)


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
        bundles = (path.parent for path in sorted(self.folder.glob("*/configs")))
        return [read_info(bundle) for bundle in bundles if _NAME.fullmatch(bundle.name)]

    def info(self, name: str) -> ModelInfo:
        """Return what is known of one model.

        Raises
        ------
        ModelNotFoundError
            If there is none of this name.
        """
        return read_info(self._bundle(name))

    def versions(self, name: str) -> Versions:
        """Return the versions of a model.

        Raises
        ------
        ModelNotFoundError
            If there is none of this name.
        """
        return versions_of(self._bundle(name))

    def epochs(self, name: str) -> int | None:
        """Return how many epochs a training of a model has, if its configuration says that as a number.

        Raises
        ------
        ModelError
            If there is no such model, or it cannot be trained.
        """
        epochs = read_config(self._bundle(name), "train").get("epochs")
        return epochs if isinstance(epochs, int) else None

    def trainable(self, name: str) -> ModelInfo:
        """Return what is known of a model that can be trained.

        Raises
        ------
        ModelNotFoundError
            If there is none of this name.
        TrainingError
            If it cannot be trained, or has weights and cannot be run: nothing could tell whether it got better.
        ModelError
            If what is known of its versions cannot be read.
        """
        info = self.info(name)
        versions = self.versions(name)
        versions.check()  # else nothing could come of it
        if not info.is_ready and versions.list():
            raise TrainingError(name, "has weights that cannot be used, and is not trained without them", info.reason)
        if not info.is_trainable:
            problem = "cannot be trained: its bundle has no configs/train.json that takes other data"
            raise TrainingError(name, problem, "Use a bundle that has one, or pixels models new.")
        return info

    def ready(self, name: str) -> ModelInfo:
        """Return what is known of a model that can be run.

        Raises
        ------
        ModelNotFoundError
            If there is none of this name.
        ModelNotReadyError
            If it cannot be run.
        """
        info = self.info(name)
        if not info.is_ready:
            raise ModelNotReadyError(name, "is not ready", info.reason)
        return info

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
        ModelError
            If it fails when it is loaded.
        EngineError
            If what AI needs is not installed.
        """
        info = self.ready(name)
        chosen = self.versions(name).find(version or info.version)
        from dbx.pixels.ai.bundle import Bundle

        return Bundle(self.folder / name, info, chosen, device)

    def add(self, path: Path) -> ModelInfo:
        """Copy a bundle here from a folder or a zip archive, as the MONAI Model Zoo has them.

        A bundle is code: its configurations may hold any Python expression, which is evaluated when it is used.

        Raises
        ------
        ModelError
            If there is no bundle at the path, or one of its name here.
        """
        with self._staging() as staging:
            source = _unpacked(path, staging) if zipfile.is_zipfile(path) else path
            return self._take(source, staging)

    def export(self, name: str, version: str, folder: Path) -> None:
        """Copy a model with one of its versions alone, which is used there.

        Parameters
        ----------
        name, version : str
            The model and its version.
        folder : pathlib.Path
            Where models lie, such as that of another home.

        Raises
        ------
        ModelNotFoundError
            If there is no such model, or no such version of it.
        ModelError
            If there is one of this name in the folder.
        """
        versions = self.versions(name)
        wanted = versions.find(version).weights
        others = {known.weights for known in versions.list()} - {wanted}
        target = Models(folder)
        with target._staging() as staging:
            target._take(self._bundle(name), staging, omit=others)
        target.versions(name).set_champion(version)

    def install(self, name: str) -> ModelInfo:
        """Download a bundle from the MONAI Model Zoo.

        A bundle is code: its configurations may hold any Python expression, which is evaluated when it is used.

        Raises
        ------
        ModelError
            If it cannot be downloaded, or there is one of this name here.
        EngineError
            If what AI needs is not installed.
        """
        self._free(name)
        with extra_ai():
            from monai.bundle import download
            from requests import ConnectionError as NoConnectionError
        logging.getLogger(download.__module__).setLevel(logging.WARNING)  # else it logs how it was called
        with self._staging() as staging:
            try:
                download(name=name, bundle_dir=staging, progress=sys.stderr.isatty())
            except Exception as error:  # of the libraries that it downloads with
                is_offline = isinstance(error, NoConnectionError)
                reason = "there is no connection to its server" if is_offline else " ".join(str(error).split())
                remedy = "Without internet, get its zip archive or folder elsewhere: pixels models add PATH."
                raise ModelError(name, f"cannot be had from the MONAI Model Zoo: {reason}", remedy) from error
            return self._take(staging / name, staging)

    def remove(self, name: str) -> None:
        """Delete a model with all versions that were trained.

        Raises
        ------
        ModelNotFoundError
            If there is none of this name.
        """
        bundle = self._bundle(name)
        with self._staging() as staging:
            bundle.rename(staging / name)

    def new(
        self,
        name: str,
        labels: Sequence[str],
        network: str = "SegResNet",
        modality: str = "CT",
        *,
        spacing: Sequence[float] = (1.5, 1.5, 2.0),
        window: Sequence[int] = (96, 96, 96),
    ) -> ModelInfo:
        """Make a bundle for 3D segmentation that has yet to be trained.

        Parameters
        ----------
        name : str
            What to call it: letters, digits, ``.``, ``_`` and ``-``.
        labels : sequence of str
            What it finds.
        network : str
            ``SegResNet`` or ``UNet``.
        modality : str
            Modality (0008,0060) of the series that it takes. Values of CT are cut to those of soft tissue, those of
            others are normalized.
        spacing : sequence of float
            Millimetres from voxel to voxel, to the right, to the front and to the head, to which series are resampled.
        window : sequence of int
            Voxels that the network sees at once, along the same axes: multiples of 16, from 32 on.

        Raises
        ------
        ArgumentError
            If an argument makes no bundle.
        ModelError
            If there is one of this name.
        """
        bundle = self._free(name)
        _check_new(labels, network, modality, spacing, window)
        with self._staging() as staging:
            (staging / "bundle" / "configs").mkdir(parents=True)
            (staging / "bundle" / "models").mkdir()
            for file, config in segmentation_bundle(labels, network, modality, spacing, window).items():
                (staging / "bundle" / "configs" / f"{file}.json").write_text(json.dumps(config, indent=4) + "\n")
            (staging / "bundle").rename(bundle)
        return read_info(bundle)

    def _bundle(self, name: str) -> Path:
        bundle = self.folder / name
        if _NAME.fullmatch(name) and (bundle / "configs").is_dir():
            return bundle
        known = ", ".join(info.name for info in self.list()) or "none; pixels models add, install and new make some"
        raise ModelNotFoundError(name, "is no model of this home folder", f"There are: {known}.")

    def _free(self, name: str) -> Path:
        """Return the folder of a model that is to come."""
        if not _NAME.fullmatch(name):
            raise ArgumentError(name, "is no name of a model", "Use letters, digits, '.', '_' and '-', up to 64.")
        if (self.folder / name).exists():
            raise ModelError(name, "is there already", f"pixels models remove {name}, then try again.")
        return self.folder / name

    def _take(self, source: Path, staging: Path, omit: Collection[Path] = ()) -> ModelInfo:
        """Copy what belongs to a bundle, and give the copy its place when it is complete."""
        for config in ("metadata", "inference"):
            read_config(source, config)
        bundle = self._free(source.resolve().name)
        copy = staging / ".bundle" / bundle.name
        packages = [f"{path.parent.name}/**/*.py" for path in source.glob("*/*.py")]
        parts = {path for part in (*_PARTS, *packages) for path in source.glob(part) if path.is_file()}
        for path in parts.difference(omit):
            target = copy / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        info = read_info(copy)
        copy.rename(bundle)
        return info

    def _delete_unfinished(self) -> None:
        """Delete what processes left that were killed."""
        for path in self.folder.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def _staging(self) -> Iterator[Path]:
        """Make a folder for what is not finished, on the same disk; what is left in it is deleted."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (
                _sharing(self.folder, while_alone=self._delete_unfinished),
                tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=self.folder) as staging,
            ):
                yield Path(staging)
        except StorageError:
            raise
        except OSError as error:
            raise storage_error(str(error.filename or self.folder), error) from error


@contextmanager
def _sharing(folder: Path, while_alone: Callable[[], None]) -> Iterator[None]:
    """Work in a folder; what is to be done while no other process works there is done first, if that is so now."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # others work there, or its file system knows no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            while_alone()
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _unpacked(path: Path, folder: Path) -> Path:
    """Unpack an archive, and return the one bundle in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:  # damaged, encrypted, strange
        raise ModelError(str(path), f"cannot be unpacked: {error}", "Unpack it, then add the folder.") from error
    found = [config.parents[1] for config in folder.glob("*/configs/metadata.json")]
    if len(found) != 1:
        raise ModelError(
            str(path), f"holds {len(found)} bundles", "It has to be one folder with configs/metadata.json."
        )
    return found[0]


def _check_new(
    labels: Sequence[str], network: str, modality: str, spacing: Sequence[float], window: Sequence[int]
) -> None:
    def check(is_good: bool, name: str, given: Any, remedy: str) -> None:
        if not is_good:
            raise ArgumentError(f"{name} {given}", "makes no bundle", remedy)

    named = [label for label in labels if LABEL.fullmatch(label) and label.lower() != "background"]
    check(0 < len(named) == len(set(labels)) <= 255, "labels", labels, "Give up to 255 different names of organs.")
    check(network in NETWORKS, "network", network, f"Choose {' or '.join(NETWORKS)}.")
    check(bool(re.fullmatch("[A-Z]{2,16}", modality)), "modality", modality, "Give one of DICOM's, such as CT or MR.")
    check(len(spacing) == 3 and min(spacing) > 0, "spacing", spacing, "Give three lengths in millimetres.")
    steps = all(side >= 2 * WINDOW_STEP and side % WINDOW_STEP == 0 for side in window)
    remedy = f"Give three multiples of {WINDOW_STEP}, from {2 * WINDOW_STEP} on."
    check(len(window) == 3 and steps, "window", window, remedy)
