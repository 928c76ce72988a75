"""Loading a bundle, to run or to train it: its configuration, its packages, its weights, and volumes in memory."""

from __future__ import annotations

import errno
import math
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbx.pixels.ai.extra import extra_ai
from dbx.pixels.errors import ArgumentError, ModelError, PixelsError

with extra_ai():
    import torch
    from monai.data import MetaTensor
    from monai.utils import MetaKeys, SpaceKeys
    from torch.overrides import TorchFunctionMode

#: What reads or writes files: here there are none, and checkpoints are kept otherwise.
_OF_FILES = {
    "CheckpointLoader",
    "CheckpointSaver",
    "MetricsSaver",
    "MLFlowHandler",
    "SaveImaged",
    "TensorBoardImageHandler",
    "TensorBoardStatsHandler",
}

#: What a `DataLoader` has for processes of its own. Here it has none: series are kept in this process's memory, theirs
#: would be read anew, and errors come from them as tracebacks.
_OF_WORKERS = {"persistent_workers", "prefetch_factor", "multiprocessing_context"}

#: Under which a checkpoint may hold the network's state beside other things.
_STATE_KEYS = ("model", "state_dict")

#: From the patient's coordinates of DICOM (to the left, to the back, to the head) to those that MONAI prefers.
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

# MONAI tells the authors of bundles what its next versions change.
warnings.filterwarnings("ignore", category=FutureWarning, module=r"monai\.")


def in_memory(config: Any, load: Callable[[Any], Any] | None = None) -> Any:
    """Return a configuration without what reads and writes files, and without processes that load data.

    Parameters
    ----------
    config : dict, list or plain value
        Of a bundle, or part of it.
    load : callable, optional
        The transform that is there instead of `LoadImaged`; where there is none, the data are volumes already.
    """
    if isinstance(config, list):
        return [part for item in config for part in _parts_in_memory(item, load)]
    if isinstance(config, dict):
        kept = {key: in_memory(value, load) for key, value in config.items()}
        return _in_this_process(kept) if target_of(config).endswith("DataLoader") else kept
    return config


def _in_this_process(loader: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in loader.items() if key not in _OF_WORKERS} | {"num_workers": 0}


def target_of(config: Any) -> str:
    """Return the name of the class that a part of a configuration makes; empty if it makes none."""
    return str(config.get("_target_", "")).split(".")[-1] if isinstance(config, dict) else ""


def _parts_in_memory(item: Any, load: Callable[[Any], Any] | None) -> list[Any]:
    target = target_of(item)
    if target in _OF_FILES:
        return []
    if target == "LoadImaged":
        then = [{"_target_": "EnsureChannelFirstd", "keys": item["keys"]}] if item.get("ensure_channel_first") else []
        return [load, *then] if load else then
    return [in_memory(item, load)]


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Let a bundle's configuration import the bundle's packages, and not those that another bundle has by that name."""
    packages = {path.name for path in folder.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    for module in [name for name in sys.modules if name.split(".")[0] in packages]:
        del sys.modules[module]
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def device_of(name: str) -> torch.device:
    """Return a device of this machine by the name that PyTorch has for it.

    Raises
    ------
    ArgumentError
        If there is none.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()  # it may be known, and not be there, or hold no values
    except Exception as error:  # of PyTorch's back ends, each in its own words
        kind = torch.accelerator.current_accelerator()
        there = ["cpu", *(f"{kind}:{number}" for number in range(torch.accelerator.device_count()))]
        raise ArgumentError(f"device {name}", "is none of this machine's", f"Choose {' or '.join(there)}.") from error
    return device


def load_weights(network: torch.nn.Module, weights: Path, name: str) -> None:
    """Load a checkpoint into a network; it may hold more than that network's state, but nothing that is code.

    Raises
    ------
    ModelError
        If it is no such checkpoint, or does not fit.
    """
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the bytes lead it to
        problem = f"has weights that cannot be loaded as such: {weights.name} is damaged, or holds more than tensors"
        remedy = "Save the network's state alone: torch.save(network.state_dict(), 'model.pt')."
        raise ModelError(name, problem, remedy) from error
    for key in _STATE_KEYS:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        problem = f"has weights that do not fit its network: {weights.name}: {_first_lines(error)}"
        raise ModelError(name, problem, "Use the checkpoint that was trained with this configuration.") from error


def _first_lines(error: Exception) -> str:
    return " ".join(" ".join(str(error).split("\n")[:2]).split()).rstrip(".")


def image_of(volume: NDArray[Any], affine: NDArray[np.float64]) -> MetaTensor:
    """Return a volume as MONAI's readers do: a copy, since transforms may overwrite it, with columns first."""
    image = torch.from_numpy(volume).permute(2, 1, 0).clone(memory_format=torch.contiguous_format)
    meta = {
        MetaKeys.AFFINE: _LPS_TO_RAS @ affine,
        MetaKeys.ORIGINAL_AFFINE: _LPS_TO_RAS @ affine,
        MetaKeys.SPATIAL_SHAPE: np.asarray(image.shape),
        MetaKeys.ORIGINAL_CHANNEL_DIM: math.nan,
        MetaKeys.SPACE: SpaceKeys.RAS,
    }
    return MetaTensor.ensure_torch_and_prune_meta(image, meta)


class QuickArgmax(TorchFunctionMode):
    """Finds the strongest channel by PyTorch's `max`: on a CPU it takes a tenth of its `argmax`, and tells the same."""

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of PyTorch."""
        kwargs = kwargs or {}
        if func in (torch.argmax, torch.Tensor.argmax) and (len(args) > 1 or kwargs.get("dim") is not None):
            return torch.max(*args, **kwargs).indices
        return func(*args, **kwargs)


@contextmanager
def failing(name: str, what: str) -> Iterator[None]:
    """Say what a bundle raises, be it to exit, as an error of the model: it is code, and may raise anything."""
    try:
        yield
    except PixelsError:
        raise
    except (Exception, SystemExit) as error:
        causes = list(_causes(error))
        for cause in causes:
            if isinstance(cause, PixelsError):  # MONAI's transforms wrap what is raised in them
                raise cause from error
        raise ModelError(name, *_told(causes, what)) from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _told(causes: list[BaseException], what: str) -> tuple[str, str]:
    """Return the problem and the remedy of what a bundle raised."""
    for cause in causes:
        if isinstance(cause, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(cause):
            return f"{what}: out of memory", "Close other programs, make the windows smaller, or choose another device."
        if isinstance(cause, OSError) and cause.errno == errno.ENOSPC:
            return f"{what}: there is no space left on the disk", "Make space, and try again."
        if isinstance(cause, ModuleNotFoundError) and cause.name:
            return f"{what}: it needs {cause.name}, which is not installed", f"pip install {cause.name}"
    root = causes[-1]
    told = str(root)
    if "Traceback (most recent call last)" in told:  # of another process; its last line is the error
        told = told.strip().splitlines()[-1]
    return f"{what}: {type(root).__name__}: {' '.join(told.split())}", "Its configuration says more."
