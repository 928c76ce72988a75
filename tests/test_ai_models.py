"""Models: what is known of them, how they come and go, their versions, and what they find in a volume."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray

from bundles import weights, write_bundle
from dbx.pixels.ai.extra import require
from dbx.pixels.ai.models import Models
from dbx.pixels.cli.main import pixels as commands
from dbx.pixels.errors import (
    ArgumentError,
    EngineError,
    ModelError,
    ModelNotFoundError,
    ModelNotReadyError,
    PixelsError,
    RunCancelledError,
    StorageError,
)

#: A volume that lies flat on the axes of the patient, with the first slice at the feet.
STRAIGHT = np.diag([2.0, 2.0, 3.0, 1.0])


@pytest.fixture(autouse=True)
def _two_threads() -> None:
    torch.set_num_threads(2)


@pytest.fixture
def models(home: Path) -> Models:
    return Models(home / "models")


@pytest.fixture
def volume() -> NDArray[np.float32]:
    """Noise about 0 with a standard deviation of 100, of 24 slices, 32 rows and 20 columns."""
    return np.random.default_rng(0).normal(0, 100, (24, 32, 20)).astype(np.float32)


def turned() -> NDArray[np.float64]:
    """An affine of slices that are turned about all three axes, the last one at the feet."""
    x, y, z = np.radians([20, -35, 50])
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_y @ about_x @ np.diag([0.8, 0.8, -3.0])
    affine[:3, 3] = [-120, 40, 900]
    return affine


# --- What is known of a model ---


def test_a_new_model_waits_for_its_training(models: Models) -> None:
    made = models.new("abdomen", ["liver", "spleen"], "UNet")
    assert models.list() == [made]
    assert (made.labels, made.modality, made.version) == ({"liver": 1, "spleen": 2}, "CT", "0.1.0")
    assert made.is_trainable
    assert not made.is_ready
    with pytest.raises(ModelNotReadyError, match="pixels train abdomen"):
        models.open("abdomen")


def test_labels_are_what_the_channels_stand_for(models: Models) -> None:
    whole_body = ["background", *(f"rib {number}" for number in range(1, 105))]
    write_bundle(models.folder, "body", labels=whole_body)
    write_bundle(models.folder, "tumour", labels=["core", "whole"])  # may overlap: no channel is the background's
    write_bundle(models.folder, "twins", labels=["background", "kidney", "kidney"])
    assert models.info("body").labels["rib 104"] == 104
    assert models.info("tumour").labels == {"core": 1, "whole": 2}
    assert models.info("twins").labels == {"kidney 1": 1, "kidney 2": 2}


def test_prompts_are_read_from_the_example_of_an_input(models: Models) -> None:
    example = "${'image': '/data/spleen_10.nii.gz', 'label_prompt': [3]}"
    write_bundle(models.folder, "vista3d", inference={"input_dict": example})
    write_bundle(models.folder, "strange", inference={"input_dict": "$__import__('os').abort()"})
    assert models.info("vista3d").prompts == ("label_prompt", "points", "point_labels")
    assert models.info("strange").prompts == ()


def test_modalities_are_those_of_dicom(models: Models) -> None:
    write_bundle(models.folder, "prostate", image={"modality": "MRI"})
    assert models.info("prostate").modality == "MR"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"threshold": None}, r"no weights: models/model.pt is missing"),
        ({"image": {"num_channels": 4, "channel_def": {"0": "T1", "1": "FLAIR"}}}, r"takes 4 channels \(T1, FLAIR\)"),
        ({"image": {"spatial_shape": [512, 512]}}, "single pictures"),
        ({"labels": []}, "no segmentation"),
        ({"labels": [f"label {number}" for number in range(300)]}, "300 labels"),
        ({"inference": {"evaluator": "$None"}}, "no preprocessing and evaluator"),
    ],
)
def test_what_cannot_be_run_is_listed_with_the_reason(models: Models, options: dict[str, Any], reason: str) -> None:
    write_bundle(models.folder, "model", **options)
    write_bundle(models.folder, "other")
    model, other = models.list()
    assert not model.is_ready
    assert other.is_ready
    with pytest.raises(ModelNotReadyError, match=reason):
        models.open("model")


def test_broken_files_spoil_no_list(models: Models) -> None:
    (write_bundle(models.folder, "broken") / "configs" / "metadata.json").write_text("{")
    (write_bundle(models.folder, "empty") / "configs" / "inference.json").unlink()
    (write_bundle(models.folder, "list") / "configs" / "metadata.json").write_text("[]")
    script = write_bundle(models.folder, "torchscript", threshold=None) / "models" / "model.ts"
    script.write_bytes(b"PK")
    reasons = {model.name: model.reason for model in models.list()}
    assert "metadata.json cannot be read" in reasons["broken"]
    assert "inference.json is missing" in reasons["empty"]
    assert "holds no mapping" in reasons["list"]
    assert "TorchScript, which is code" in reasons["torchscript"]


def _spoil(bundle: Path, what: str) -> None:
    """Damage a bundle in one way."""
    metadata = bundle / "configs" / "metadata.json"
    (bundle / "versions").mkdir()
    match what:
        case "orphan":
            shutil.copyfile(bundle / "models" / "model.pt", bundle / "versions" / "1.pt")
        case "facts":
            _spoil_facts(bundle / "versions" / "1")
        case "champion":
            (bundle / "versions" / "champion").write_bytes(b"\xff\xfe")
        case "lengthy champion":
            (bundle / "versions" / "champion").write_text("1" * 5000)
        case "channel":
            metadata.write_text(metadata.read_text().replace('{"0":', f'{{"{"9" * 5000}": "far", "0":'))
        case "nested":
            metadata.write_text('{"version": ' + "[" * 200_000 + "]" * 200_000 + "}")
        case "half a character":
            metadata.write_text(metadata.read_text().replace("0.1.0", "\\ud800"))


def _spoil_facts(version: Path) -> None:
    version.with_suffix(".pt").touch()
    version.with_suffix(".json").touch()


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("orphan", r"versions/1\.json cannot be read: it is missing. Delete versions/1\.pt"),
        ("facts", r"versions/1\.json cannot be read: JSONDecodeError"),
        ("champion", r"versions/champion cannot be read: .*Delete it"),
        ("lengthy champion", "no weights"),
        ("channel", "^$"),
        ("nested", r"metadata\.json cannot be read"),
        ("half a character", r"metadata\.json cannot be read"),
    ],
)
def test_a_damaged_model_is_listed_with_the_reason_and_can_be_removed(
    pixels, models: Models, what: str, reason: str
) -> None:
    write_bundle(models.folder, "other")
    _spoil(write_bundle(models.folder, "damaged"), what)
    assert re.search(reason, models.info("damaged").reason)
    assert [model.is_ready for model in models.list()] == [reason == "^$", True]
    assert "other" in pixels("models", "list")
    assert "damaged removed" in pixels("models", "remove", "damaged")
    assert [model.name for model in models.list()] == ["other"]


def test_a_damaged_model_is_added_with_the_reason(models: Models, tmp_path: Path) -> None:
    source = write_bundle(tmp_path, "bright")
    _spoil(source, "orphan")
    assert "versions/1.json cannot be read" in models.add(source).reason
    assert [path.name for path in models.folder.iterdir()] == ["bright"]


def test_configurations_may_be_yaml(models: Models, volume: NDArray[np.float32]) -> None:
    configs = write_bundle(models.folder, "pancreas") / "configs"
    (configs / "inference.json").rename(configs / "inference.yaml")  # JSON is YAML
    assert models.open("pancreas").segment(volume, STRAIGHT).any()


@pytest.mark.parametrize("name", ["..", "../models/model", "/etc", "", "a/b", "no such model", ".hidden"])
def test_names_lead_nowhere_else(models: Models, name: str) -> None:
    write_bundle(models.folder, "model")
    for use in (models.info, models.open, models.remove, models.versions):
        with pytest.raises(ModelNotFoundError, match="There are: model"):
            use(name)
    with pytest.raises(PixelsError, match="no name of a model"):
        models.new(name, ["liver"])
    assert models.info("model").is_ready


# --- What it finds ---


@pytest.mark.parametrize("affine", [STRAIGHT, turned()], ids=["straight", "turned"])
def test_what_is_found_lies_on_the_grid_of_the_volume(
    models: Models, volume: NDArray[np.float32], affine: NDArray[np.float64]
) -> None:
    write_bundle(models.folder, "bright", threshold=100)
    before = volume.copy()
    labelmap = models.open("bright").segment(volume, affine)
    assert labelmap.dtype == np.uint8
    np.testing.assert_array_equal(labelmap, volume > 100)
    np.testing.assert_array_equal(volume, before)


def test_transforms_may_overwrite_what_they_get(models: Models, volume: NDArray[np.float32]) -> None:
    write_bundle(
        models.folder,
        "bright",
        preprocessing=[{"_target_": "Lambdad", "keys": "image", "func": "$lambda x: x.mul_(2)"}],
    )
    before = volume.copy()
    np.testing.assert_array_equal(models.open("bright").segment(volume, STRAIGHT), volume > 50)
    np.testing.assert_array_equal(volume, before)


def test_what_is_not_inverted_is_put_on_the_grid(models: Models, volume: NDArray[np.float32]) -> None:
    bundle = write_bundle(models.folder, "bright")
    inference = json.loads((bundle / "configs" / "inference.json").read_text())
    inference["postprocessing"]["transforms"] = [{"_target_": "AsDiscreted", "keys": "pred", "argmax": True}]
    (bundle / "configs" / "inference.json").write_text(json.dumps(inference))
    np.testing.assert_array_equal(models.open("bright").segment(volume, turned()), volume > 100)


def test_voxels_are_those_of_monai_itself(models: Models, volume: NDArray[np.float32], tmp_path: Path) -> None:
    import nibabel
    from monai.bundle import ConfigWorkflow

    models.new("abdomen", ["liver", "spleen"], "SegResNet", spacing=(3, 3, 4), window=(32, 32, 32))
    bundle = models.folder / "abdomen"
    _save_random_weights(bundle)
    affine = turned()
    nibabel.save(
        nibabel.Nifti1Image(volume.transpose(2, 1, 0), np.diag([-1.0, -1, 1, 1]) @ affine), tmp_path / "ct.nii.gz"
    )
    workflow = ConfigWorkflow(
        config_file=str(bundle / "configs" / "inference.json"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        workflow_type="inference",
        logging_file=False,
        bundle_root=str(bundle),
        datalist=[str(tmp_path / "ct.nii.gz")],
        output_dir=str(tmp_path),
    )
    workflow.initialize()
    workflow.run()
    expected = np.asarray(nibabel.load(tmp_path / "ct" / "ct_trans.nii.gz").dataobj)
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(models.open("abdomen").segment(volume, affine), expected.transpose(2, 1, 0))


def _save_random_weights(bundle: Path) -> None:
    from monai.bundle import ConfigParser

    torch.manual_seed(0)
    parser = ConfigParser()
    parser.read_config(bundle / "configs" / "inference.json")
    torch.save(parser.get_parsed_content("network_def").state_dict(), bundle / "models" / "model.pt")


def test_where_labels_overlap_the_smaller_one_is_seen(models: Models, volume: NDArray[np.float32]) -> None:
    write_bundle(
        models.folder,
        "tumour",
        labels=["core", "whole"],
        forward="torch.cat([image - self.threshold, image], 1)",
        postprocessing=[{"_target_": "Activationsd", "keys": "pred", "sigmoid": True}],
    )
    labelmap = models.open("tumour").segment(volume, STRAIGHT)
    np.testing.assert_array_equal(labelmap, np.where(volume >= 100, 1, np.where(volume >= 0, 2, 0)))


def test_values_without_a_label_are_background(models: Models, volume: NDArray[np.float32]) -> None:
    forward = "torch.where(image > self.threshold, 1.0, torch.nan)"
    not_looked_at = {"_target_": "Lambdad", "keys": "pred", "func": "$lambda x: torch.nan_to_num(x, nan=255)"}
    write_bundle(models.folder, "vista3d", forward=forward, postprocessing=[not_looked_at])
    np.testing.assert_array_equal(models.open("vista3d").segment(volume, STRAIGHT), volume > 100)


def test_nothing_is_written(models: Models, volume: NDArray[np.float32]) -> None:
    bundle = write_bundle(models.folder, "bright")
    before = sorted(path for path in bundle.rglob("*") if "__pycache__" not in path.parts)
    models.open("bright").segment(volume, STRAIGHT)
    assert sorted(path for path in bundle.rglob("*") if "__pycache__" not in path.parts) == before


def test_progress_is_told_by_windows(models: Models, volume: NDArray[np.float32]) -> None:
    write_bundle(models.folder, "bright")
    told: list[float] = []
    models.open("bright").segment(volume, STRAIGHT, on_progress=told.append)
    windows = 2 * 2 * 2  # of 16 voxels, in 20 columns, 32 rows and 24 slices
    assert told == [*(number / windows for number in range(1, windows + 1)), 1.0]


def test_a_run_is_given_up_between_windows(models: Models, volume: NDArray[np.float32]) -> None:
    write_bundle(models.folder, "bright")
    bundle = models.open("bright")
    told: list[float] = []
    with pytest.raises(RunCancelledError, match="bright"):
        bundle.segment(volume, STRAIGHT, on_progress=told.append, is_cancelled=lambda: len(told) == 3)
    assert len(told) == 3
    np.testing.assert_array_equal(bundle.segment(volume, STRAIGHT), volume > 100)


def test_prompts_reach_the_model(models: Models, volume: NDArray[np.float32]) -> None:
    """The model here names what it finds as it is told, as VISTA3D does."""
    naming = "$lambda d: {**d, 'pred': d['pred'] * d['label_prompt'][0]}"
    write_bundle(
        models.folder,
        "prompted",
        labels=["background", "liver", "spleen", "kidney"],
        postprocessing=[
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            {"_target_": "Lambda", "func": naming},
        ],
        inference={"input_dict": {"image": "", "label_prompt": [1]}},
    )
    bundle = models.open("prompted")
    labelmap = bundle.segment(
        volume, STRAIGHT, params={"label_prompt": [3], "points": [[1, 2, 3]], "point_labels": [1]}
    )
    np.testing.assert_array_equal(labelmap, np.where(volume > 100, 3, 0))
    with pytest.raises(ArgumentError, match="Give its value as label_prompt"):
        bundle.segment(volume, STRAIGHT, params={"points": [[1, 2, 3]], "point_labels": [1]})


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"bundle_root": "/"}, "Its parameters: label_prompt, points, point_labels"),
        ({"label_prompt": "$__import__('os').abort()"}, "no number"),
        ({"label_prompt": ["@network"]}, "no number"),
        ({"label_prompt": {"_target_": "os.abort"}}, "no number"),
        ({"label_prompt": [float("nan")]}, "no number"),
        ({"points": [[[1, 2, 3]]]}, "no number"),
    ],
)
def test_parameters_are_declared_and_plain(
    models: Models, volume: NDArray[np.float32], params: dict[str, Any], problem: str
) -> None:
    write_bundle(models.folder, "prompted", inference={"input_dict": {"label_prompt": [1]}})
    with pytest.raises(ArgumentError, match=problem):
        models.open("prompted").segment(volume, STRAIGHT, params=params)


def test_bundles_keep_their_packages_apart(models: Models, volume: NDArray[np.float32]) -> None:
    darker = "torch.cat([image - self.threshold, self.threshold - image], 1)"
    write_bundle(models.folder, "bright")
    write_bundle(models.folder, "dark", forward=darker)
    bright, dark = models.open("bright"), models.open("dark")
    np.testing.assert_array_equal(dark.segment(volume, STRAIGHT), volume < 100)
    np.testing.assert_array_equal(bright.segment(volume, STRAIGHT), volume > 100)


def test_what_fails_within_a_model_is_told(models: Models, volume: NDArray[np.float32]) -> None:
    write_bundle(models.folder, "failing", forward="image[:, :, 99]")
    write_bundle(models.folder, "hungry", forward="torch.empty(1 << 50)")
    write_bundle(models.folder, "lacking", inference={"imports": ["$import no_such"], "network": "$no_such.Network()"})
    write_bundle(models.folder, "wrong", inference={"network_def": {"_target_": "NoSuchNetwork"}})
    leaving = {"_target_": "Lambdad", "keys": "image", "func": "$lambda x: exit(3)"}
    write_bundle(models.folder, "leaving", preprocessing=[leaving])
    write_bundle(models.folder, "gone", inference={"network": "$exit(3)"})
    with pytest.raises(ModelError, match="failing: failed: IndexError: index 99"):
        models.open("failing").segment(volume, STRAIGHT)
    with pytest.raises(ModelError, match=r"hungry: failed: out of memory. .*make the windows smaller"):
        models.open("hungry").segment(volume, STRAIGHT)
    with pytest.raises(ModelError, match="no_such"):
        models.open("lacking")
    with pytest.raises(ModelError, match="NoSuchNetwork"):
        models.open("wrong")
    with pytest.raises(ModelError, match="leaving: failed: SystemExit: 3"):
        models.open("leaving").segment(volume, STRAIGHT)
    with pytest.raises(ModelError, match="gone: cannot be loaded: SystemExit: 3"):
        models.open("gone")


def test_what_would_fill_the_memory_is_refused(models: Models, volume: NDArray[np.float32]) -> None:
    """It could be had, but then there would be none left: the system might end the server."""
    channels = int(0.6 * psutil.virtual_memory().available / (volume.size * volume.itemsize))
    write_bundle(models.folder, "broad", forward=f"image.expand(-1, {channels}, -1, -1, -1)")
    with pytest.raises(ModelError, match="broad: failed: out of memory"):
        models.open("broad").segment(volume, STRAIGHT)


# --- Weights and versions ---


class _Marks:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._mark,)


def test_weights_are_tensors_and_no_code(models: Models, tmp_path: Path) -> None:
    checkpoint = write_bundle(models.folder, "model") / "models" / "model.pt"
    checkpoint.write_bytes(pickle.dumps({"model": _Marks(tmp_path / "mark")}))
    with pytest.raises(ModelError, match=r"holds more than tensors. .*torch.save\(network.state_dict\(\)"):
        models.open("model")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    ("state", "problem"),
    [({"threshold": torch.zeros(2)}, "do not fit"), ({"other": torch.tensor(0.0)}, "do not fit"), ([1], "do not fit")],
)
def test_weights_of_another_network_are_refused(models: Models, state: Any, problem: str) -> None:
    torch.save(state, write_bundle(models.folder, "model") / "models" / "model.pt")
    with pytest.raises(ModelError, match=problem):
        models.open("model")


def test_checkpoints_of_trainers_hold_weights_too(models: Models, volume: NDArray[np.float32]) -> None:
    checkpoint = {"model": weights(50), "optimizer": {"lr": 0.1}}
    torch.save(checkpoint, write_bundle(models.folder, "bright") / "models" / "model.pt")
    np.testing.assert_array_equal(models.open("bright").segment(volume, STRAIGHT), volume > 50)


def test_the_champion_is_used_until_another_is_chosen(
    models: Models, volume: NDArray[np.float32], tmp_path: Path
) -> None:
    write_bundle(models.folder, "bright", threshold=100)
    versions = models.versions("bright")
    assert versions.champion() == "0.1.0"
    assert versions.publish(weights(50), dice=0.8) == "1"
    torch.save({"model": weights(0)}, tmp_path / "best.pt")
    assert versions.publish(tmp_path / "best.pt", dice=0.9) == "2"
    assert [(version.name, version.dice) for version in versions.list()] == [("0.1.0", None), ("1", 0.8), ("2", 0.9)]
    assert models.open("bright").version == "0.1.0"

    versions.set_champion("1")
    versions.set_champion("2")
    assert models.info("bright").version == "2"
    np.testing.assert_array_equal(models.open("bright").segment(volume, STRAIGHT), volume > 0)
    np.testing.assert_array_equal(models.open("bright", "1").segment(volume, STRAIGHT), volume > 50)

    assert [versions.roll_back(), versions.roll_back()] == ["1", "0.1.0"]
    assert models.open("bright").version == "0.1.0"
    with pytest.raises(ModelError, match="no earlier champion"):
        versions.roll_back()
    with pytest.raises(ModelNotFoundError, match=r"has no version 7. Its versions: 0.1.0, 1, 2"):
        models.open("bright", "7")
    with pytest.raises(ModelNotFoundError, match="has no version 7"):
        versions.set_champion("7")


def test_a_version_makes_a_new_model_ready(models: Models) -> None:
    write_bundle(models.folder, "bright", threshold=None)
    versions = models.versions("bright")
    versions.publish(weights(50), dice=0.8)
    assert not models.info("bright").is_ready
    versions.set_champion("1")
    assert models.open("bright").version == "1"
    with pytest.raises(ModelError, match="no earlier champion"):
        versions.roll_back()
    (models.folder / "bright" / "versions" / "1.pt").unlink()
    assert "pixels models rollback bright" in models.info("bright").reason


def test_what_died_while_it_was_published_is_no_version(models: Models, tmp_path: Path) -> None:
    write_bundle(models.folder, "bright")
    versions = models.versions("bright")
    with pytest.raises(FileNotFoundError):
        versions.publish(tmp_path / "vanished.pt", dice=0.5)
    assert [version.name for version in versions.list()] == ["0.1.0"]
    assert versions.publish(weights(50), dice=0.8) == "2"
    assert [version.name for version in versions.list()] == ["0.1.0", "2"]


def test_a_new_model_is_trained_by_monai_itself(models: Models, volume: NDArray[np.float32], tmp_path: Path) -> None:
    import nibabel
    from monai.bundle import ConfigWorkflow

    models.new("abdomen", ["bright"], "UNet", spacing=(2, 2, 3), window=(32, 32, 32))
    nibabel.save(nibabel.Nifti1Image(volume, STRAIGHT), tmp_path / "image.nii.gz")
    nibabel.save(nibabel.Nifti1Image((volume > 0).astype(np.uint8), STRAIGHT), tmp_path / "label.nii.gz")
    pair = {"image": str(tmp_path / "image.nii.gz"), "label": str(tmp_path / "label.nii.gz")}
    overrides = {"train#dataset#data": [pair], "validate#dataset#data": [pair], "epochs": 1}
    workflow = ConfigWorkflow(
        config_file=str(models.folder / "abdomen" / "configs" / "train.json"),
        meta_file=str(models.folder / "abdomen" / "configs" / "metadata.json"),
        workflow_type="train",
        logging_file=False,
        bundle_root=str(models.folder / "abdomen"),
        ckpt_dir=str(tmp_path / "checkpoints"),
        **overrides,
    )
    workflow.initialize()
    assert not workflow.check_properties()
    workflow.run()
    dice = workflow.parser.get_parsed_content("validate#evaluator").state.best_metric
    models.versions("abdomen").set_champion(
        models.versions("abdomen").publish(tmp_path / "checkpoints" / "model.pt", float(dice))
    )
    assert models.open("abdomen").segment(volume.transpose(2, 1, 0), STRAIGHT).shape == (20, 32, 24)


# --- How models come and go ---


def test_what_belongs_to_a_bundle_is_copied(models: Models, tmp_path: Path, volume: NDArray[np.float32]) -> None:
    source = write_bundle(tmp_path, "bright")
    for path in ("eval/patient.nii.gz", "data/ct.dcm", ".git/config", "docs/README.md", "LICENSE", "models/log.txt"):
        (source / path).parent.mkdir(exist_ok=True)
        (source / path).touch()
    assert models.add(source).is_ready
    copied = {str(path.relative_to(models.folder / "bright")) for path in (models.folder / "bright").rglob("*.*")}
    assert copied == {
        "configs/metadata.json", "configs/inference.json", "models/model.pt", "scripts/network.py", "docs/README.md",
    }  # fmt: skip
    assert (models.folder / "bright" / "LICENSE").exists()
    assert models.open("bright").segment(volume, STRAIGHT).any()
    with pytest.raises(ModelError, match=r"is there already. pixels models remove bright"):
        models.add(source)


def test_bundles_come_in_archives(models: Models, tmp_path: Path) -> None:
    source = write_bundle(tmp_path, "bright")
    with zipfile.ZipFile(tmp_path / "bright_v0.1.0.zip", "w") as archive:
        for path in source.rglob("*.*"):
            archive.write(path, path.relative_to(tmp_path))
        archive.writestr("../../escaped.txt", "")
    (models.folder / ".unfinished-1" / "bundle").mkdir(parents=True)  # of a process that was killed
    assert models.add(tmp_path / "bright_v0.1.0.zip").name == "bright"
    assert models.info("bright").is_ready
    assert [path.name for path in models.folder.iterdir()] == ["bright"]
    with models._staging() as of_another:
        models.remove("bright")
        assert of_another.exists()
    assert not list(tmp_path.rglob("escaped.txt"))


def test_what_is_no_bundle_is_not_added(models: Models, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with zipfile.ZipFile(tmp_path / "notes.zip", "w") as archive:
        archive.write(tmp_path / "notes.txt", "notes.txt")
    for path in (tmp_path, tmp_path / "notes.txt", tmp_path / "notes.zip", tmp_path / "nothing"):
        with pytest.raises(ModelError, match=r"configs/metadata\.json"):
            models.add(path)
    assert list(models.folder.iterdir()) == []


def test_a_damaged_archive_is_told(models: Models, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bright.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bright/configs/metadata.json", "{}" * 1000)
    damaged = bytearray((tmp_path / "bright.zip").read_bytes())
    damaged[70:80] = bytes(10)
    (tmp_path / "bright.zip").write_bytes(damaged)
    with pytest.raises(ModelError, match=r"bright\.zip: cannot be unpacked"):
        models.add(tmp_path / "bright.zip")


def test_a_disk_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "models").touch()
    with pytest.raises(StorageError, match="models"):
        Models(tmp_path / "models").new("abdomen", ["liver"])


def test_a_model_is_removed(models: Models) -> None:
    write_bundle(models.folder, "bright")
    models.remove("bright")
    assert models.list() == []
    assert list(models.folder.iterdir()) == []


def test_without_internet_nothing_is_installed(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(ModelError, match=r"no connection to its server\. .*: pixels models add PATH\.$"):
        models.install("spleen_ct_segmentation")
    assert list(models.folder.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        {"labels": []},
        {"labels": ["liver", "liver"]},
        {"labels": ["liver", ""]},
        {"labels": ["background"]},
        {"network": "VGG"},
        {"modality": "computed tomography"},
        {"spacing": (1, 1, 0)},
        {"window": (96, 96, 20)},
        {"window": (16, 16, 16)},
    ],
)
def test_what_makes_no_model_is_refused(models: Models, options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ArgumentError, match=f"{name} .*makes no bundle"):
        models.new("model", **{"labels": ["liver"], **options})
    assert models.list() == []


# --- The command line ---


@pytest.fixture
def pixels(home: Path):
    """Run a command with its home folder set, and return what it wrote."""

    def run(*arguments: object, code: int = 0) -> str:
        done = CliRunner().invoke(commands, list(map(str, arguments)), env={"PIXELS_HOME": str(home)})
        assert done.exit_code == code, done.output
        return done.output

    return run


def test_models_on_the_command_line(pixels, models: Models, tmp_path: Path) -> None:
    assert "new NAME --labels A,B" in pixels("models", "list")
    assert "not ready" in pixels("models", "new", "abdomen", "--labels", "liver, spleen", "--network", "UNet")
    added = pixels("models", "add", write_bundle(tmp_path, "bright"))
    assert "A bundle is code" in added
    assert "bright 0.1.0, 1 label, ready" in added
    models.versions("bright").publish(weights(50), dice=0.8)
    listed = pixels("models", "list")
    assert "liver, spleen" in listed
    assert "abdomen: It has no weights yet: pixels train abdomen." in listed
    told = pixels("models", "info", "bright")
    assert "version      0.1.0: as it came, used" in told
    assert "version      1: trained, Dice 0.800" in told
    (models.folder / "bright" / "configs" / "metadata.json").write_text("{")
    assert "no: configs/metadata.json cannot be read" in pixels("models", "info", "bright")
    assert "bright removed, with 1 trained version" in pixels("models", "remove", "bright")
    assert "is no model of this home folder. There are: abdomen" in pixels("models", "info", "bright", code=1)


def test_models_are_listed_without_loading_torch(models: Models) -> None:
    write_bundle(models.folder, "bright")
    code = (
        "import sys; from pathlib import Path; from dbx.pixels.ai.models import Models; "
        f"print(Models(Path({str(models.folder)!r})).list()[0].is_ready, 'torch' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["True", "False"]


def test_what_is_not_installed_is_named(models: Models) -> None:
    write_bundle(models.folder, "bright")
    code = (
        "import sys; sys.modules['monai'] = None; from pathlib import Path; from dbx.pixels.ai.models import Models; "
        f"Models(Path({str(models.folder)!r})).open('bright')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "EngineError: AI: needs monai" in done.stderr
    assert "pip install 'dbx-pixels[ai]'" in done.stderr


def test_what_is_required_is_looked_for_without_being_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "nrrd", raising=False)
    require("nrrd")
    assert "nrrd" not in sys.modules
    monkeypatch.setitem(sys.modules, "monai", None)
    with pytest.raises(EngineError, match=r"AI: needs monai, .* pip install 'dbx-pixels\[ai\]'"):
        require("nrrd", "monai")
