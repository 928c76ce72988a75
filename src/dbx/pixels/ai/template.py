"""The configurations of a new bundle for 3D segmentation, as MONAI's own tools run and train it too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

#: Networks that a new bundle may have.
NETWORKS: Final[Mapping[str, Mapping[str, Any]]] = {
    "SegResNet": {
        "_target_": "SegResNet",
        "spatial_dims": 3,
        "in_channels": 1,
        "init_filters": 16,
        "blocks_down": [1, 2, 2, 4],
        "blocks_up": [1, 1, 1],
        "dropout_prob": 0.2,
    },
    "UNet": {
        "_target_": "UNet",
        "spatial_dims": 3,
        "in_channels": 1,
        "channels": [16, 32, 64, 128, 256],
        "strides": [2, 2, 2, 2],
        "num_res_units": 2,
        "norm": "instance",  # batches are small
    },
}

#: Sides of a window are multiples of this, two at least: the networks halve them four times, and more than one voxel
#: has to be left.
WINDOW_STEP: Final = 16

#: Hounsfield units that a CT's values are cut to: soft tissue with contrast, apart from fat, air and compact bone.
_CT_RANGE = (-200, 400)


def segmentation_bundle(
    labels: Sequence[str], network: str, modality: str, spacing: Sequence[float], window: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """Return the configurations of a bundle, by the names of their files.

    Parameters
    ----------
    labels : sequence of str
        What it finds; values in its labelmaps are their positions, from 1.
    network : str
        One of `NETWORKS`.
    modality : str
        Of the series that it takes.
    spacing : sequence of float
        Millimetres from voxel to voxel, to the right, to the front and to the head, to which series are resampled.
    window : sequence of int
        Voxels that the network sees at once, along the same axes.
    """
    both = {
        "bundle_root": ".",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "spacing": list(spacing),
        "window": list(window),
        "network_def": {**NETWORKS[network], "out_channels": len(labels) + 1},
        "network": "$@network_def.to(@device)",
    }
    return {
        "metadata": _metadata(labels, network, modality, window),
        "inference": {"imports": ["$import glob"], **both, **_inference(modality)},
        "train": {"imports": ["$import glob"], **both, **_train(modality, len(labels) + 1)},
    }


def _metadata(labels: Sequence[str], network: str, modality: str, window: Sequence[int]) -> dict[str, Any]:
    image = {"type": "image", "modality": modality, "dtype": "float32", "is_patch_data": True}
    image["spatial_shape"] = list(window)
    names = ["background", *labels]
    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json",
        "version": "0.1.0",
        "changelog": {"0.1.0": "new"},
        "monai_version": "1.6.1",
        "pytorch_version": "2.13.0",
        "numpy_version": "2.4.6",
        "required_packages_version": {"pytorch-ignite": "0.5.5"},
        "task": f"Segmentation of {', '.join(labels)}",
        "description": f"A {network} that segments {', '.join(labels)} in {modality} volumes",
        "authors": "",
        "copyright": "",
        "network_data_format": {
            "inputs": {
                "image": {
                    **image,
                    "format": "hounsfield" if modality == "CT" else "magnitude",
                    "num_channels": 1,
                    "value_range": [0, 1] if modality == "CT" else [],
                    "channel_def": {"0": "image"},
                }
            },
            "outputs": {
                "pred": {
                    **image,
                    "format": "segmentation",
                    "num_channels": len(names),
                    "value_range": [0, 1],
                    "channel_def": {str(value): name for value, name in enumerate(names)},
                }
            },
        },
    }


def _inference(modality: str) -> dict[str, Any]:
    return {
        "dataset_dir": "$@bundle_root + '/data'",
        "datalist": "$list(sorted(glob.glob(@dataset_dir + '/*')))",
        "preprocessing": _compose(_deterministic(modality, ["image"])),
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': i} for i in @datalist]",
            "transform": "@preprocessing",
        },
        "dataloader": _loader("@dataset", shuffle=False),
        "inferer": _sliding_window(),
        "postprocessing": _compose(
            [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {
                    "_target_": "Invertd",
                    "keys": "pred",
                    "transform": "@preprocessing",
                    "orig_keys": "image",
                    "nearest_interp": False,
                    "to_tensor": True,
                },
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
                {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir"},
            ]
        ),
        "handlers": [{"_target_": "StatsHandler", "iteration_log": False}],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
            "amp": "$torch.cuda.is_available()",
        },
        "checkpointloader": {
            "_target_": "CheckpointLoader",
            "load_path": "$@bundle_root + '/models/model.pt'",
            "load_dict": {"model": "@network"},
        },
        "initialize": ["$@checkpointloader(@evaluator)"],
        "run": ["$@evaluator.run()"],
    }


def _train(modality: str, channels: int) -> dict[str, Any]:
    keys = ["image", "label"]
    pairs = "[{'image': i, 'label': l} for i, l in zip(@images, @labels)]"
    return {
        "dataset_dir": "$@bundle_root + '/data'",
        "images": "$list(sorted(glob.glob(@dataset_dir + '/images/*')))",
        "labels": "$list(sorted(glob.glob(@dataset_dir + '/labels/*')))",
        "held_out": "$max(1, len(@images) // 5)",
        "ckpt_dir": "$@bundle_root + '/models'",
        "epochs": 100,
        "val_interval": 1,
        "learning_rate": 0.001,
        "loss": {
            "_target_": "DiceCELoss",
            "include_background": False,
            "to_onehot_y": True,
            "softmax": True,
            "squared_pred": True,
            "batch": True,
        },
        "optimizer": {
            "_target_": "torch.optim.AdamW",
            "params": "$@network.parameters()",
            "lr": "@learning_rate",
            "weight_decay": 1e-5,
        },
        "train": {
            "deterministic_transforms": _deterministic(modality, keys),
            "random_transforms": [
                {"_target_": "SpatialPadd", "keys": keys, "spatial_size": "@window"},
                {
                    "_target_": "RandCropByPosNegLabeld",
                    "keys": keys,
                    "label_key": "label",
                    "spatial_size": "@window",
                    "pos": 2,
                    "neg": 1,
                    "num_samples": 2,
                },
                {"_target_": "RandScaleIntensityd", "keys": "image", "factors": 0.1, "prob": 0.5},
                {"_target_": "RandShiftIntensityd", "keys": "image", "offsets": 0.1, "prob": 0.5},
            ],
            "preprocessing": _compose("$@train#deterministic_transforms + @train#random_transforms"),
            "dataset": {
                "_target_": "CacheDataset",
                "data": f"${pairs}[:-@held_out]",
                "transform": "@train#preprocessing",
            },
            "dataloader": _loader("@train#dataset", shuffle=True),
            "inferer": {"_target_": "SimpleInferer"},
            "postprocessing": _compose(_one_hot(channels)),
            "handlers": [
                {
                    "_target_": "ValidationHandler",
                    "validator": "@validate#evaluator",
                    "epoch_level": True,
                    "interval": "@val_interval",
                },
                {
                    "_target_": "StatsHandler",
                    "tag_name": "train_loss",
                    "output_transform": "$monai.handlers.from_engine(['loss'], first=True)",
                },
            ],
            "trainer": {
                "_target_": "SupervisedTrainer",
                "max_epochs": "@epochs",
                "device": "@device",
                "train_data_loader": "@train#dataloader",
                "network": "@network",
                "loss_function": "@loss",
                "optimizer": "@optimizer",
                "inferer": "@train#inferer",
                "postprocessing": "@train#postprocessing",
                "train_handlers": "@train#handlers",
                "amp": "$torch.cuda.is_available()",
            },
        },
        "validate": {
            "preprocessing": _compose("%train#deterministic_transforms"),
            "dataset": {
                "_target_": "CacheDataset",
                "data": f"${pairs}[-@held_out:]",
                "transform": "@validate#preprocessing",
            },
            "dataloader": _loader("@validate#dataset", shuffle=False),
            "inferer": _sliding_window(),
            "postprocessing": "%train#postprocessing",
            "handlers": [
                {"_target_": "StatsHandler", "iteration_log": False},
                {
                    "_target_": "CheckpointSaver",
                    "save_dir": "@ckpt_dir",
                    "save_dict": {"model": "@network"},
                    "save_key_metric": True,
                    "key_metric_filename": "model.pt",
                },
            ],
            "key_metric": {
                "val_mean_dice": {
                    "_target_": "MeanDice",
                    "include_background": False,
                    "output_transform": "$monai.handlers.from_engine(['pred', 'label'])",
                }
            },
            "evaluator": {
                "_target_": "SupervisedEvaluator",
                "device": "@device",
                "val_data_loader": "@validate#dataloader",
                "network": "@network",
                "inferer": "@validate#inferer",
                "postprocessing": "@validate#postprocessing",
                "key_val_metric": "@validate#key_metric",
                "val_handlers": "@validate#handlers",
                "amp": "$torch.cuda.is_available()",
            },
        },
        "run": ["$@train#trainer.run()"],
    }


def _deterministic(modality: str, keys: list[str]) -> list[dict[str, Any]]:
    """Return the transforms from a file to what the network sees, which are the same in training and after it."""
    low, high = _CT_RANGE
    intensities = (
        {"_target_": "ScaleIntensityRanged", "a_min": low, "a_max": high, "b_min": 0, "b_max": 1, "clip": True}
        if modality == "CT"
        else {"_target_": "NormalizeIntensityd", "nonzero": True}
    )
    return [
        {"_target_": "LoadImaged", "keys": keys},
        {"_target_": "EnsureChannelFirstd", "keys": keys},
        {"_target_": "Orientationd", "keys": keys, "axcodes": "RAS"},
        {
            "_target_": "Spacingd",
            "keys": keys,
            "pixdim": "@spacing",
            "mode": ["bilinear", "nearest"][: len(keys)],
            "dtype": "$torch.float32",  # the default of 64 bits takes longer
        },
        {**intensities, "keys": "image"},
        {"_target_": "EnsureTyped", "keys": keys},
    ]


def _one_hot(channels: int) -> list[dict[str, Any]]:
    return [
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True, "to_onehot": channels},
        {"_target_": "AsDiscreted", "keys": "label", "to_onehot": channels},
    ]


def _sliding_window() -> dict[str, Any]:
    return {
        "_target_": "SlidingWindowInferer",
        "roi_size": "@window",
        "sw_batch_size": 1,
        "overlap": 0.25,
        "mode": "gaussian",
        "padding_mode": "replicate",
    }


def _loader(dataset: str, *, shuffle: bool) -> dict[str, Any]:
    return {"_target_": "DataLoader", "dataset": dataset, "batch_size": 1, "shuffle": shuffle, "num_workers": 0}


def _compose(transforms: list[dict[str, Any]] | str) -> dict[str, Any]:
    return {"_target_": "Compose", "transforms": transforms}
