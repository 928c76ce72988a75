"""Small MONAI bundles whose networks are plain arithmetic, so that what they find is known beforehand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

#: Two channels: not brighter, and brighter, than the threshold.
BRIGHTER = "torch.cat([self.threshold - image, image - self.threshold], 1)"

_NETWORK = """
import torch


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.threshold = torch.nn.Parameter(torch.tensor(0.0))

    def forward(self, image):
        return {forward}
"""


def write_bundle(
    models: Path,
    name: str,
    *,
    labels: Sequence[str] = ("background", "bright"),
    forward: str = BRIGHTER,
    threshold: float | None = 100,
    preprocessing: Sequence[Mapping[str, Any]] = (),
    postprocessing: Sequence[Mapping[str, Any]] = ({"_target_": "AsDiscreted", "keys": "pred", "argmax": True},),
    inference: Mapping[str, Any] | None = None,
    image: Mapping[str, Any] | None = None,
) -> Path:
    """Write a bundle whose network has a threshold as its only weight; with None, it has no weights.

    What is given as `preprocessing` comes after the orientation, and as `postprocessing` after the inversion of that;
    `inference` and `image` replace what is said in inference.json, and of the input in metadata.json.
    """
    bundle = models / name
    for part in ("configs", "models", "scripts"):
        (bundle / part).mkdir(parents=True)
    (bundle / "scripts" / "network.py").write_text(_NETWORK.format(forward=forward))
    config = {**_inference(preprocessing, postprocessing), **(inference or {})}
    (bundle / "configs" / "inference.json").write_text(json.dumps(config))
    (bundle / "configs" / "metadata.json").write_text(json.dumps(_metadata(labels, image or {})))
    if threshold is not None:
        torch.save(weights(threshold), bundle / "models" / "model.pt")
    return bundle


def weights(threshold: float) -> dict[str, torch.Tensor]:
    """The state of such a bundle's network."""
    return {"threshold": torch.tensor(float(threshold))}


def _inference(
    preprocessing: Sequence[Mapping[str, Any]], postprocessing: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    return {
        "imports": ["$import glob"],
        "bundle_root": ".",
        "device": "$torch.device('cpu')",
        "data": "$sorted(glob.glob(@bundle_root + '/data/*'))",
        "network_def": {"_target_": "scripts.network.Network"},
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image", "reader": "NibabelReader"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
                *preprocessing,
            ],
        },
        "dataset": {"_target_": "Dataset", "data": "$[{'image': i} for i in @data]", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "num_workers": 0},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [16, 16, 16], "overlap": 0},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image"},
                *postprocessing,
                {"_target_": "SaveImaged", "keys": "pred", "output_dir": "$@bundle_root + '/eval'"},
            ],
        },
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": [
                {
                    "_target_": "CheckpointLoader",
                    "load_path": "$@bundle_root + '/models/model.pt'",
                    "load_dict": {"model": "@network"},
                }
            ],
        },
        "run": ["$@evaluator.run()"],
    }


def _metadata(labels: Sequence[str], image: Mapping[str, Any]) -> dict[str, Any]:
    channels = {str(number): label for number, label in enumerate(labels)}
    return {
        "version": "0.1.0",
        "description": "Finds what is bright",
        "network_data_format": {
            "inputs": {"image": {"modality": "CT", "num_channels": 1, "spatial_shape": [16, 16, 16], **image}},
            "outputs": {"pred": {"type": "image", "num_channels": len(labels), "channel_def": channels}},
        },
    }
