"""What a model learns from: series with their labels, some of which are kept to measure by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dbx.pixels.ai.extra import extra_ai
from dbx.pixels.ai.info import ModelInfo
from dbx.pixels.ai.labels import final_labels
from dbx.pixels.ai.segmentation import Labelmap, read_segmentation
from dbx.pixels.ai.series import Series, read_series
from dbx.pixels.errors import (
    SeriesNotFoundError,
    StorageError,
    TrainingError,
    UnsuitableSegmentationError,
    UnsuitableSeriesError,
)
from dbx.pixels.index import ServingIndex
from dbx.pixels.table import ObjectTable, Principal

with extra_ai():
    from monai.transforms import MapTransform

    from dbx.pixels.ai.loading import image_of

#: For what one series does not end a training.
_UNSUITABLE = (SeriesNotFoundError, UnsuitableSeriesError, UnsuitableSegmentationError, StorageError)
#: Share of the patients that is measured by.
_HELD_OUT = 0.2


@dataclass(frozen=True)
class Example:
    """A series to learn from.

    Attributes
    ----------
    image : str
        Series Instance UID.
    label : str
        SOP Instance UID of the segmentation over it.
    """

    image: str
    label: str


@dataclass(frozen=True)
class Examples:
    """What one training learns from. It stays the same when the training is interrupted and goes on.

    Attributes
    ----------
    table_version : int
        The table's, when they were chosen.
    train, validate : tuple of Example
        Those that are learned from, and those that are measured by.
    notes : tuple of str
        What is to be told of the choice.
    """

    table_version: int
    train: tuple[Example, ...]
    validate: tuple[Example, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return them as JSON has them."""
        train, validate = ([vars(example) for example in side] for side in (self.train, self.validate))
        return {"table_version": self.table_version, "train": train, "validate": validate, "notes": list(self.notes)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Examples:
        """Make them of what `to_json` returned."""
        train, validate = (tuple(Example(**one) for one in values[side]) for side in ("train", "validate"))
        return cls(values["table_version"], train, validate, tuple(values["notes"]))

    @property
    def digest(self) -> str:
        """What differs between two choices of series and labels."""
        return hashlib.sha256(json.dumps(self.to_json()).encode()).hexdigest()[:8]


class ExampleLoader:
    """Reads examples from where the table says that they lie.

    Parameters
    ----------
    index : ServingIndex
        Where series and segmentations are looked up.
    principal : Principal
        Who reads.
    labels : mapping of str to int
        Those of the model, and their values.
    check : callable
        Called before each reading; what it raises ends it.
    """

    def __init__(
        self, index: ServingIndex, principal: Principal, labels: Mapping[str, int], check: Callable[[], None]
    ) -> None:
        self._index = index
        self._principal = principal
        self._labels = labels
        self._check = check

    def series(self, example: Example) -> Series:
        """Look the series up.

        Raises
        ------
        SeriesNotFoundError
            If it is not there any more.
        UnsuitableSeriesError
            If its images do not make one volume.
        """
        self._check()
        return read_series(self._index, example.image, self._principal)

    def label(self, example: Example, series: Series) -> Labelmap:
        """Read the segmentation.

        Raises
        ------
        SeriesNotFoundError
            If it is not there any more.
        UnsuitableSegmentationError
            If it does not lie over the series.
        StorageError
            If it cannot be read.
        """
        instance = self._index.find(example.label, self._principal)
        if instance is None:
            raise SeriesNotFoundError(example.label, "there is no such segmentation", "Save it anew.")
        return read_segmentation(instance, series, labels=self._labels)


class LoadExampled(MapTransform):
    """Stands for `LoadImaged` in a bundle's transforms: gets UIDs, and returns volumes."""

    def __init__(self, loader: ExampleLoader) -> None:
        super().__init__(("image", "label"))
        self._loader = loader

    def __deepcopy__(self, _memo: Any) -> LoadExampled:
        """Return the same: configurations copy what they refer to, and an index cannot be copied."""
        return self

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Read an example, if a transform before this has not."""
        item = dict(data)
        if isinstance(item["image"], str):
            example = Example(item["image"], item["label"])
            series = self._loader.series(example)
            item["image"] = image_of(series.volume(), series.affine)
            item["label"] = image_of(self._loader.label(example, series).values, series.affine)
        return item


def choose(info: ModelInfo, table: ObjectTable | None, loader: ExampleLoader, principal: Principal) -> Examples:
    """Choose what a model learns from: all series with a final label of something that it looks for.

    Parameters
    ----------
    info : ModelInfo
        The model.
    table : ObjectTable or None
        Where labels are.
    loader : ExampleLoader
        Reads them.
    principal : Principal
        Who learns.

    Raises
    ------
    TrainingError
        If nothing is left, or nothing to measure by and the model has weights already.
    """
    groups: dict[Example, tuple[str, ...]] = {}
    notes = []
    problem = "no series has a saved segmentation"
    for label in final_labels(table, principal, info.labels).values():
        example = Example(label.SeriesInstanceUID, label.SOPInstanceUID)
        try:
            groups[example] = _groups(_checked(example, info, loader))
        except _UNSUITABLE as error:
            problem = str(error)
            notes.append(f"Left out: {problem}")
            continue
        missing = [name for name in info.labels if name not in label.segments]
        if missing:
            notes.append(f"{label.SeriesInstanceUID}: {', '.join(missing)} not segmented: learned as not there.")
    if not groups:
        raise TrainingError(info.name, f"has nothing to learn from: {problem}", "Save a segmentation in the viewer.")
    train, validate = split(groups)
    if not validate and info.is_ready:
        raise TrainingError(
            info.name,
            "has one labelled series to learn from, and none to measure by whether it gets better",
            "Label a series of another patient.",
        )
    if not validate:
        notes.append("There is one labelled series: Dice is that of what was learned. Label one of another patient.")
    return Examples(table.version if table else -1, train, validate or train, tuple(notes))


def split(groups: Mapping[Example, tuple[str, ...]]) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Part what is learned from and what is measured by, so that nobody is on both sides.

    A patient stays on one side for good, whoever else is labelled later: what an earlier version has learned must not
    measure the next one.

    Parameters
    ----------
    groups : mapping of Example to tuple of str
        To whom each belongs: patient, study and series. Where all are of one patient, as in anonymized data, studies
        are parted, then series.

    Returns
    -------
    tuple of Example, tuple of Example
        To learn from, and to measure by; the latter is empty if there is one series only.
    """
    examples = sorted(groups, key=lambda example: example.image)
    for level in zip(*groups.values(), strict=True):
        owner = dict(zip(groups, level, strict=True))
        by_chance = sorted(set(level), key=_chance)
        if len(by_chance) > 1:
            held_out = [name for name in by_chance if _chance(name) < _HELD_OUT] or by_chance[:1]
            held_out = held_out[: len(by_chance) - 1]
            return (
                tuple(example for example in examples if owner[example] not in held_out),
                tuple(example for example in examples if owner[example] in held_out),
            )
    return tuple(examples), ()


def _chance(name: str) -> float:
    """Return a number from 0 to 1 that is always the same for a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64


def _checked(example: Example, info: ModelInfo, loader: ExampleLoader) -> Series:
    """Look a series up, and read its label: what does not fit is known before the training begins."""
    series = loader.series(example)
    if info.modality and series.Modality != info.modality:
        raise UnsuitableSeriesError(example.image, f"is {series.Modality or 'of no modality'}, not {info.modality}")
    loader.label(example, series)
    return series


def _groups(series: Series) -> tuple[str, ...]:
    return str(series.header.get("PatientID", "")), series.StudyInstanceUID, series.SeriesInstanceUID
