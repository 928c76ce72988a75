"""One MONAI bundle that is loaded: its network, and its transforms around it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbx.pixels.ai.extra import extra_ai
from dbx.pixels.ai.info import ModelInfo, has_background, read_config
from dbx.pixels.ai.versions import Version
from dbx.pixels.errors import ArgumentError, RunCancelledError

with extra_ai():
    import psutil
    import torch
    from monai.bundle import ConfigParser
    from monai.data import MetaTensor, list_data_collate
    from monai.transforms import SpatialResample
    from monai.utils import ensure_tuple_rep, fall_back_tuple

    from dbx.pixels.ai.loading import (
        QuickArgmax,
        device_of,
        failing,
        image_of,
        importable,
        in_memory,
        load_weights,
    )

#: MONAI's engines log what ends a run; here it becomes an error that the caller tells.
_engine_logger = logging.getLogger(f"{__name__}.engine")
_engine_logger.setLevel(logging.CRITICAL)


class Bundle:
    """A model of which one version is loaded.

    The bundle's own evaluator does what it would do in MONAI: preprocessing, windows, postprocessing. Only reading and
    writing files is left out, and with it the handlers that load weights and keep statistics.

    Parameters
    ----------
    folder : pathlib.Path
        The bundle's folder.
    info : ModelInfo
        What is known of it.
    version : Version
        The version to load.
    device : str, optional
        Such as ``cpu`` or ``cuda:0``; what the bundle chooses by default: a GPU, where there is one.

    Attributes
    ----------
    info : ModelInfo
        What is known of it.
    version : str
        The version that is loaded.

    Raises
    ------
    ArgumentError
        If there is no such device.
    ModelError
        If the bundle cannot be loaded: it lacks something, fails, or its weights do not fit its network.
    """

    info: ModelInfo
    version: str

    def __init__(self, folder: Path, info: ModelInfo, version: Version, device: str | None = None) -> None:
        self.info = info
        self.version = version.name
        self._lock = Lock()
        metadata = read_config(folder, "metadata")
        self._channels_exclude_each_other = has_background(metadata)
        config = in_memory(read_config(folder, "inference"))
        config |= {
            "_meta_": metadata,
            "bundle_root": str(folder),
            "evaluator": _without_data(config["evaluator"]),
        }
        with failing(self.info.name, "cannot be loaded"):
            if device is not None:
                config["device"] = device_of(device)
            with importable(folder):
                parser = ConfigParser(config)
                self._preprocessing = parser.get_parsed_content("preprocessing")
                self._evaluator = parser.get_parsed_content("evaluator")
        self._evaluator.logger = _engine_logger
        self._evaluator.interrupt_resume_enabled = False  # a run that failed is not resumed: the next one is another
        # Mixed precision is the GPU's: elsewhere it only warns.
        self._evaluator.amp &= self._evaluator.state.device.type == "cuda"
        load_weights(self._evaluator.network, version.weights, info.name)

    def segment(
        self,
        volume: NDArray[np.float32],
        affine: NDArray[np.float64],
        *,
        params: Mapping[str, Any] | None = None,
        on_progress: Callable[[float], None] | None = None,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> NDArray[np.uint8]:
        """Segment a volume.

        Parameters
        ----------
        volume : array of shape (slices, rows, columns)
            Values as the model's modality has them: Hounsfield units for CT.
        affine : array of shape (4, 4)
            From voxels (column, row, slice) to millimetres in the patient's coordinates (PS3.3 section C.7.6.2.1.1),
            which are LPS.
        params : mapping, optional
            What the model takes beside the series: keys of ``info.prompts``, with numbers or lists of numbers.
        on_progress : callable, optional
            Told the part that is done, from 0 to 1.
        is_cancelled : callable, optional
            Asked between windows whether to give up.

        Returns
        -------
        array of shape (slices, rows, columns)
            The labelmap on the same grid: values of ``info.labels``, 0 elsewhere. Where labels overlap, the smaller one
            is seen.

        Raises
        ------
        ArgumentError
            If `params` has a key that the model does not take, or a value that is not plain.
        ModelError
            If the model fails.
        RunCancelledError
            If the caller gave up.
        """
        prompts = _checked(params or {}, self.info)
        with self._lock, failing(self.info.name, "failed"), QuickArgmax():
            image = image_of(volume, affine)
            shape, grid = image.shape, image.affine
            item = self._preprocessing({"image": image, **prompts})
            with self._watched(item["image"].shape[1:], on_progress, is_cancelled):
                prediction = _on_grid(self._predict(item), shape, grid)
            labelmap = _labelmap(prediction, self._channels_exclude_each_other)
        if on_progress:
            on_progress(1.0)
        return self._known(labelmap.permute(2, 1, 0).contiguous().numpy())

    def _predict(self, item: dict[str, Any]) -> MetaTensor:
        """Run the network and the postprocessing on what the preprocessing made."""
        engine = self._evaluator
        engine.data_loader = [list_data_collate([item])]
        try:
            engine.run()
            return engine.state.output[0]["pred"]
        finally:
            engine.data_loader, engine.state.batch, engine.state.output = [None], None, None

    @contextmanager
    def _watched(
        self,
        shape: tuple[int, ...],
        on_progress: Callable[[float], None] | None,
        is_cancelled: Callable[[], bool] | None,
    ) -> Iterator[None]:
        """Tell how many of the windows are done, and ask before each whether to go on."""
        total = _windows(self._evaluator.inferer, shape)
        done = 0

        def before(_network: torch.nn.Module, _inputs: tuple[Any, ...]) -> None:
            if is_cancelled and is_cancelled():
                raise RunCancelledError(self.info.name, "was cancelled")

        def after(_network: torch.nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            nonlocal done
            if not done and isinstance(output, torch.Tensor):
                _check_memory(output.shape[1] * math.prod(shape))
            done += len(inputs[0]) if inputs else 1
            if on_progress:
                on_progress(min(done / total, 1.0))

        network = self._evaluator.network
        hooks = network.register_forward_pre_hook(before), network.register_forward_hook(after)
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _known(self, labelmap: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Clear the values that no label has: VISTA3D marks what it did not look at with 255."""
        values = np.zeros(256, np.uint8)
        known = list(self.info.labels.values())
        values[known] = known
        return values[labelmap]


def _without_data(evaluator: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of an evaluator that gets its data later, and only predicts."""
    measured = ("key_val_metric", "additional_metrics")
    kept = {key: value for key, value in evaluator.items() if key not in measured}
    return {**kept, "val_data_loader": [None], "val_handlers": []}


def _checked(params: Mapping[str, Any], info: ModelInfo) -> dict[str, Any]:
    for key, value in params.items():
        if key not in info.prompts:
            known = ", ".join(info.prompts) or "none"
            raise ArgumentError(key, f"is no parameter of {info.name}", f"Its parameters: {known}.")
        if not _is_plain(value):
            raise ArgumentError(key, "is no number or list of numbers", "Points are [[column, row, slice], ...].")
    if "points" in params and "label_prompt" not in params:
        raise ArgumentError("points", "come without the label that they show", "Give its value as label_prompt: [5].")
    return dict(params)


def _is_plain(value: Any, depth: int = 2) -> bool:
    if isinstance(value, list | tuple):
        return depth > 0 and all(_is_plain(one, depth - 1) for one in value)
    return isinstance(value, int | float) and math.isfinite(value)


def _windows(inferer: Any, shape: tuple[int, ...]) -> int:
    """Count the windows that an inferer slides over an image; 1 if it does not slide any."""
    roi = getattr(inferer, "roi_size", None)
    if roi is None or (not isinstance(roi, int) and len(roi) != len(shape)):
        return 1
    total = 1
    overlaps = ensure_tuple_rep(getattr(inferer, "overlap", 0), len(shape))
    for size, window, overlap in zip(shape, fall_back_tuple(roi, shape), overlaps, strict=True):
        total *= max(math.ceil((size - window) / max(int(window * (1 - overlap)), 1)), 0) + 1
    return total


def _check_memory(values: int) -> None:
    """Refuse what would fill the memory: a system may end the server then, before PyTorch can say a word.

    The windows' outputs are put together as 32-bit numbers, and the postprocessing takes a copy of them.
    """
    needed = 2 * 4 * values
    if needed > psutil.virtual_memory().available:
        raise MemoryError(f"{needed / 1e9:.1f} GB are needed")


def _on_grid(prediction: MetaTensor, shape: tuple[int, ...], affine: torch.Tensor) -> torch.Tensor:
    """Return a prediction on the grid of the volume; it is there already if the bundle inverts its transforms."""
    if prediction.shape[1:] == shape and torch.allclose(prediction.affine.to(affine), affine, atol=1e-3):
        return prediction
    resample = SpatialResample(mode="nearest", padding_mode="border")
    return resample(prediction, dst_affine=affine, spatial_size=shape)


def _labelmap(prediction: torch.Tensor, channels_exclude_each_other: bool) -> torch.Tensor:
    """Return labels as one byte a voxel, from one channel that has them already, or from one for each label."""
    channels = torch.as_tensor(prediction.detach().cpu())
    if len(channels) == 1:
        return channels[0].round().to(torch.uint8)
    if channels_exclude_each_other:
        return channels.argmax(dim=0).to(torch.uint8)
    labelmap = torch.zeros(channels.shape[1:], dtype=torch.uint8)
    masks = [channel >= 0.5 for channel in channels]
    for number in sorted(range(len(masks)), key=lambda number: -int(masks[number].sum())):
        labelmap[masks[number]] = number + 1
    return labelmap
