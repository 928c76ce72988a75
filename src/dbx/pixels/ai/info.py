"""What a bundle's files say of it, read without running any of it."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbx.pixels.ai.versions import Versions
from dbx.pixels.errors import ModelError

#: Keys that interactive bundles read beside ``image``, as VISTA3D names them. Points are voxels: column, row, slice.
PROMPTS = ("label_prompt", "points", "point_labels")

#: What a label may be called: the value representation of Segment Label (0062,0005) is LO.
LABEL = re.compile(r"[^\\\s][^\\\x00-\x1f]{0,63}")

_MOST_LABELS = 255  # a labelmap's values are 8 bit, and 0 is the background
_SUFFIXES = (".json", ".yaml", ".yml")
_CHANNEL = re.compile("[0-9]{1,9}")
#: Names of modalities in metadata, where they are not those of DICOM (0008,0060).
_MODALITIES = {"MRI": "MR", "PET": "PT"}


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


def read_info(bundle: Path) -> ModelInfo:
    """Return what is known of the bundle in a folder; what is wrong with it is the reason why it is not ready."""
    problem = ""
    metadata: dict[str, Any] = {}
    inference: dict[str, Any] = {}
    try:
        metadata = read_config(bundle, "metadata")
        inference = read_config(bundle, "inference")
    except ModelError as error:
        problem = f"{error.problem}. {error.remedy}"
    labels = {label: value for label, value in _labels(metadata).items() if value <= _MOST_LABELS}
    problem = problem or next(_flaws(metadata, inference), "")
    is_trainable = not problem and _is_trainable(bundle, metadata)
    version = _own_version(metadata)
    try:
        versions = Versions(bundle, version)
        version = versions.champion()
        if version not in {one.name for one in versions.list()}:
            problem = problem or _missing_weights(bundle, version, is_trainable)
    except ModelError as error:
        problem = problem or f"{error.problem}. {error.remedy}"
    modality = str(_image(metadata).get("modality") or "").upper()
    return ModelInfo(
        name=bundle.name,
        version=version,
        description=str(metadata.get("description") or metadata.get("task") or ""),
        modality=_MODALITIES.get(modality, modality),
        labels=labels,
        is_ready=not problem,
        reason=problem,
        is_trainable=is_trainable,
        prompts=_prompts(inference),
    )


def read_config(bundle: Path, name: str) -> dict[str, Any]:
    """Read one of a bundle's configurations; its expressions stay text.

    Raises
    ------
    ModelError
        If it is missing, or cannot be read.
    """
    paths = [path for suffix in _SUFFIXES if (path := bundle / "configs" / f"{name}{suffix}").is_file()]
    if not paths:
        raise ModelError(str(bundle), f"configs/{name}.json is missing", "It is no MONAI bundle, or not all of one.")
    try:
        text = paths[0].read_text(encoding="utf-8")
        config = json.loads(text) if paths[0].suffix == ".json" else _yaml(text)
        json.dumps(config, ensure_ascii=False, default=str).encode()  # no half characters, which nothing could show
    except (OSError, ValueError, RecursionError) as error:
        remedy = "Mend the file, or get the bundle anew."
        raise ModelError(str(bundle), f"configs/{paths[0].name} cannot be read: {error}", remedy) from error
    if not isinstance(config, dict):
        raise ModelError(str(bundle), f"configs/{paths[0].name} holds no mapping", "Get the bundle anew.")
    return config


def versions_of(bundle: Path) -> Versions:
    """Return the versions of the bundle in a folder, even if nothing else of it can be read."""
    try:
        metadata = read_config(bundle, "metadata")
    except ModelError:
        metadata = {}
    return Versions(bundle, _own_version(metadata))


def _own_version(metadata: Mapping[str, Any]) -> str:
    return str(metadata.get("version") or "unknown")


def has_background(metadata: Mapping[str, Any]) -> bool:
    """Tell whether the first channel of the output stands for what is nothing else.

    If so, channels exclude each other, as after a softmax; if not, they may overlap, as after a sigmoid.
    """
    return str(_channels(_output(metadata)).get(0, "")).lower() == "background"


def _flaws(metadata: Mapping[str, Any], inference: Mapping[str, Any]) -> Iterator[str]:
    """Yield why a bundle cannot be run, whatever weights it has."""
    image, labels = _image(metadata), _labels(metadata)
    inputs, shape = image.get("num_channels", 1), image.get("spatial_shape")
    if not labels:
        yield "Its metadata names no labels (network_data_format.outputs.pred.channel_def): it is no segmentation."
    if inputs != 1:
        yield f"It takes {inputs} channels ({', '.join(_channels(image).values())}), and a series is one."
    if isinstance(shape, list) and len(shape) != 3:
        yield "It is no model of volumes, but of single pictures."
    if len(labels) > _MOST_LABELS:
        yield f"It has {len(labels)} labels, and a labelmap holds {_MOST_LABELS}."
    if not isinstance(inference.get("evaluator"), dict) or "preprocessing" not in inference:
        yield "Its configs/inference.json has no preprocessing and evaluator."


def _missing_weights(bundle: Path, champion: str, is_trainable: bool) -> str:
    if f"{champion}.json" in {path.name for path in (bundle / "versions").glob("*.json")}:
        missing = f"versions/{champion}.pt is missing"
        return f"Its champion is gone: {missing}. Go back: pixels models rollback {bundle.name}."
    if any((bundle / "models").glob("*.ts")):
        return "Its weights are TorchScript, which is code. Put its network's state into models/model.pt."
    if is_trainable:
        return f"It has no weights yet: pixels train {bundle.name}."
    return "It has no weights: models/model.pt is missing. Get the bundle anew, with them."


def _is_trainable(bundle: Path, metadata: Mapping[str, Any]) -> bool:
    """Tell whether training can put its own data in, and knows what the network's channels are."""
    try:
        train = read_config(bundle, "train")
    except ModelError:
        return False
    trainer = str(_at(train, "train", "trainer", "_target_"))
    has_data = isinstance(_at(train, "train", "dataset"), dict) and isinstance(_at(train, "validate", "dataset"), dict)
    return has_data and trainer.split(".")[-1] == "SupervisedTrainer" and has_background(metadata)


def _labels(metadata: Mapping[str, Any]) -> dict[str, int]:
    """Return names and values of what the output's channels stand for.

    Where a channel is the background, the others' numbers are their values; where none is, values begin with 1.
    """
    channels = _channels(_output(metadata))
    if has_background(metadata):
        return {name: number for number, name in channels.items() if number}
    return {name: number + 1 for number, name in channels.items()}


def _channels(side: Mapping[str, Any]) -> dict[int, str]:
    channels = side.get("channel_def")
    if not isinstance(channels, dict):
        return {}
    names = {int(number): str(name) for number, name in channels.items() if _CHANNEL.fullmatch(str(number))}
    often = Counter(names.values())
    return {number: name if often[name] == 1 else f"{name} {number}" for number, name in names.items()}


def _image(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    return _side(metadata, "inputs", "image")


def _output(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    output = _side(metadata, "outputs", "pred")
    return output if output.get("type", "image") == "image" else {}


def _side(metadata: Mapping[str, Any], side: str, name: str) -> Mapping[str, Any]:
    found = _at(metadata, "network_data_format", side, name)
    return found if isinstance(found, dict) else {}


def _prompts(inference: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the prompts that the bundle's example of an input has; it is read, not evaluated."""
    example = inference.get("input_dict")
    try:
        example = ast.literal_eval(example.lstrip("$")) if isinstance(example, str) else example
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return ()
    example = example[0] if isinstance(example, list) and example else example
    return PROMPTS if isinstance(example, dict) and not example.keys().isdisjoint(PROMPTS) else ()


def _at(config: Any, *keys: str) -> Any:
    for key in keys:
        config = config.get(key) if isinstance(config, dict) else None
    return config


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise ValueError("it is YAML, and PyYAML is not installed") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
