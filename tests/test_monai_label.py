"""The MONAI Label protocol: the recorded requests of OHIF's and 3D Slicer's plug-ins are replayed."""

from __future__ import annotations

import base64
import gzip
import io
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import nibabel
import nrrd
import numpy as np
import pydicom
import pytest
from mlflow.pyfunc import load_model
from numpy.typing import NDArray

import monai_label as plugin
from bundles import write_bundle
from dbx.pixels import Catalog
from dbx.pixels.ai.models import Models
from dbx.pixels.ai.registry import Registry
from dbx.pixels.ai.runner import Runner
from dbx.pixels.ai.segmentation import read_segmentation
from dbx.pixels.ai.series import Series, read_series
from dbx.pixels.ai.sources import table_config
from dbx.pixels.ai.task import Status
from dbx.pixels.ai.tracking import mlflow_client
from dbx.pixels.cli.main import pixels
from dbx.pixels.index import ServingIndex
from dbx.pixels.table import EVERYTHING
from trainings import LABELS, Ward, admit, new_model, wait, working
from volumes import ingested, phantom, turned, write
from web_server import RunningServer, running

SLICES, SIZE = 16, 32
OBLIQUE = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
EPOCHS = 20

pytestmark = pytest.mark.timeout(900)  # a model is trained first, which takes long on a busy machine

#: Left to the patient's left, back, head: what NRRD and DICOM count to, and NIfTI does not.
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Ward:
    """Four patients, of whom three are segmented; a model that has learned from them, and one without weights."""
    folder = tmp_path_factory.mktemp("monai-label")
    catalog = Catalog(home=str(folder / "home"))
    mlflow_client(catalog.home).search_experiments()
    ward = admit(catalog, folder / "data", 4)
    for patient in range(3):
        ward.segment(patient)
    new_model(ward.models, "organs")
    assert ward.train("organs", EPOCHS).status is Status.DONE
    new_model(ward.models, "untrained", ["lung"])
    return ward


@pytest.fixture(scope="module")
def trained(ward: Ward) -> Iterator[RunningServer]:
    """A server of that, for reading only."""
    with running(ward.catalog) as server:
        yield server


@pytest.fixture(scope="module")
def bright(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of two patients, and a model that finds what is brighter than 100 HU; for reading only."""
    folder = tmp_path_factory.mktemp("bright")
    catalog = Catalog(home=str(folder / "home"))
    write_bundle(catalog.home.models, "bright")
    ingested(catalog, *(write(folder / str(seed), phantom(SLICES, SIZE, seed)) for seed in range(2)))
    with running(catalog) as server:
        yield server


@pytest.fixture
def server(bright: RunningServer, home: Path) -> Iterator[RunningServer]:
    """The same with a home folder of the test's own."""
    shutil.copytree(bright.catalog.home.root, home)
    with running(Catalog(home=str(home))) as server:
        yield server


def monai(server: RunningServer) -> str:
    return f"{server.url}/monai"


def uid_of(seed: int) -> str:
    return str(phantom(SLICES, SIZE, seed)[0].SeriesInstanceUID)


def series_of(server: RunningServer, uid: str) -> Series:
    index = ServingIndex.open(server.catalog)
    index.sync()
    return read_series(index, uid, EVERYTHING)


def read_nrrd(content: bytes) -> tuple[NDArray[Any], dict[str, Any]]:
    """Values of shape (slices, rows, columns), and the header."""
    file = io.BytesIO(content)
    header = nrrd.read_header(file)
    return nrrd.read_data(header, file).transpose(2, 1, 0), header


def labels_in_table(catalog: Catalog) -> list[dict[str, Any]]:
    columns = "SOPInstanceUID, label_state, model, SeriesDescription, local_path"
    return catalog.sql(f"SELECT {columns} FROM object_catalog WHERE Modality = 'SEG'").to_arrow().to_pylist()


# --- What there is ---


@pytest.mark.parametrize("request_of", [plugin.ohif_info, plugin.slicer_info])
def test_info_tells_what_both_plug_ins_show(trained: RunningServer, ward: Ward, request_of: Any) -> None:
    answer = request_of().send(monai(trained))
    assert answer.status_code == 200
    told = answer.json()
    assert set(told["labels"]) == {*LABELS, "lung"}
    assert told["models"] == {
        "organs": {
            "type": "segmentation",
            "labels": {"liver": 1, "spleen": 2},
            "dimension": 3,
            "description": ward.models.info("organs").description,
            "config": {},
            "version": "1",
        }
    }
    assert {name: one["config"] for name, one in told["trainers"].items()} == {
        "organs": {"max_epochs": 100},
        "untrained": {"max_epochs": 100},
    }
    assert list(told["strategies"]) == ["first", "random", "uncertainty"]
    assert told["datastore"] == {"total": 4, "completed": 3, "label_tags": {"final": 3}}
    stats = told["train_stats"]["organs"]
    assert (stats["epoch"], stats["total_epochs"]) == (EPOCHS, EPOCHS)
    assert 0 < stats["best_metric"] <= 1
    assert stats["total_time"]
    assert "config" not in told  # by which 3D Slicer knows servers that are too old


def test_a_model_that_takes_points_is_told_as_such_and_gets_them(server: RunningServer) -> None:
    example = {"input_dict": "$[{'image': '', 'points': [[0, 0, 0]]}]"}
    write_bundle(server.catalog.home.models, "interactive", inference=example)
    assert plugin.ohif_info().send(monai(server)).json()["models"]["interactive"]["type"] == "vista3d"
    points = {"points": [[1, 2, 3]], "point_labels": [1], "label_prompt": [1]}
    assert plugin.ohif_infer("interactive", uid_of(0), **points).send(monai(server)).status_code == 200
    answer = plugin.ohif_infer("bright", uid_of(0), **points).send(monai(server))
    assert (answer.status_code, "'points' is no parameter" in answer.json()["error"]) == (400, True)


# --- What a model finds ---


def test_all_answers_have_the_same_voxels(trained: RunningServer, ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """The protocol's, those of a batch, of the runner and of a model that MLflow serves."""
    uid = ward.series[3]
    found = Runner(ward.models, ward.index).run("organs", uid, EVERYTHING)
    assert set(np.unique(found.labelmap)) == {0, 1, 2}

    image, header = read_nrrd(plugin.ohif_infer("organs", uid).send(monai(trained)).content)
    assert image.dtype == np.uint8
    assert header["encoding"] == "raw"
    assert np.array_equal(image, found.labelmap)

    older = plugin.ohif_infer("organs", uid, output="all", dtype="uint16").send(monai(trained))
    params, file = plugin.parts(older)["params"], plugin.parts(older)["image"]
    assert json.loads(params[1])["label_names"] == {"liver": 1, "spleen": 2}
    assert (params[0]["content-type"], file[0]["content-type"]) == ("application/json", "application/octet-stream")
    assert read_nrrd(file[1])[0].dtype == np.uint16
    assert np.array_equal(read_nrrd(file[1])[0], found.labelmap)

    slicer = plugin.parts(plugin.slicer_infer("organs", uid).send(monai(trained)))
    assert np.array_equal(read_nrrd(slicer["image"][1])[0], found.labelmap)

    answer = httpx.post(f"{monai(trained)}/infer/organs?image={uid}&output=dicom_seg", timeout=60)
    assert answer.headers["content-type"] == "application/dicom"
    dataset = pydicom.dcmread(io.BytesIO(answer.content))
    assert np.array_equal(read_segmentation(dataset, found.series, labels=found.labels).values, found.labelmap)

    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
    Registry(ward.catalog.home).register("organs", "1", table_config(ward.catalog))
    served = load_model(mlflow_client(ward.catalog.home).get_model_version_by_alias("organs", "champion").source)
    answered = served.predict({"series_uid": uid, "output": "bytes"})
    dataset = pydicom.dcmread(io.BytesIO(base64.b64decode(answered["seg"])))
    assert np.array_equal(read_segmentation(dataset, found.series, labels=found.labels).values, found.labelmap)

    pixels.main(
        ["segment", "--home", str(ward.catalog.home.root), "--model", "organs", "--series", uid], standalone_mode=False
    )
    (row,) = (row for row in labels_in_table(ward.catalog) if row["label_state"] == "proposal")
    dataset = pydicom.dcmread(row["local_path"])
    assert np.array_equal(read_segmentation(dataset, found.series, labels=found.labels).values, found.labelmap)


def test_the_image_lies_where_the_series_does(server: RunningServer, tmp_path: Path) -> None:
    images = turned(phantom(SLICES, SIZE, 7), OBLIQUE)
    server.ingest(write(tmp_path / "oblique", images[::-1]))
    uid = str(images[0].SeriesInstanceUID)
    series = series_of(server, uid)
    server.wait_until_served(StudyInstanceUID=images[0].StudyInstanceUID)
    for request in (plugin.ohif_infer("bright", uid), plugin.slicer_image(uid)):
        _, header = read_nrrd(request.send(monai(server)).content)
        assert header["space"] == "left-posterior-superior"
        assert np.allclose(header["space directions"], series.affine[:3, :3].T)
        assert np.allclose(header["space origin"], series.affine[:3, 3])
        assert list(header["sizes"]) == [SIZE, SIZE, SLICES]
    assert np.allclose(np.linalg.norm(series.affine[:3, :3], axis=0), 400 / SIZE)


def test_json_alone_and_compressed_images(bright: RunningServer) -> None:
    url = f"{monai(bright)}/infer/bright?image={uid_of(0)}"
    told = httpx.post(f"{url}&output=json", data={"params": "{}"}, timeout=60).json()
    assert told["label_names"] == {"bright": 1}
    assert told["latencies"]["total"] > 0
    plain = httpx.post(f"{url}&output=image", timeout=60).content
    packed = httpx.post(f"{url}&output=image", data={"params": '{"result_compress": true}'}, timeout=60).content
    assert len(packed) < len(plain) / 4
    assert np.array_equal(read_nrrd(packed)[0], read_nrrd(plain)[0])


def test_a_client_that_leaves_cancels_its_run(server: RunningServer) -> None:
    slow = "(__import__('time').sleep(1), torch.cat([image * 0 + 1, image * 0], 1))[1]"
    windows = {"inferer": {"_target_": "SlidingWindowInferer", "roi_size": [4, 4, 4], "overlap": 0}}  # 256
    write_bundle(server.catalog.home.models, "slow", forward=slow, inference=windows)
    with pytest.raises(TimeoutError):
        plugin.ohif_infer("slow", uid_of(0)).send(monai(server), timeout=5)
    # It would have to wait for its turn for minutes.
    assert plugin.ohif_infer("bright", uid_of(0)).send(monai(server), timeout=100).status_code == 200


def _nested(depth: int) -> list[Any]:
    return [_nested(depth - 1)] if depth else []


@pytest.mark.parametrize(
    ("target", "params", "status", "reason"),
    [
        ("/infer/none?image={uid}", {}, 404, "none: is no model of this home folder. There are: bright"),
        ("/infer/..%2Fbright?image={uid}", {}, 404, ""),
        ("/infer/bright?image=1.2.3", {}, 404, "1.2.3: there is no such series"),
        ("/infer/bright", {}, 400, "image, the Series Instance UID, is missing"),
        ("/infer/bright?image={uid}&output=picture", {}, 400, "output is one of image, json, all, dicom_seg"),
        ("/infer/bright?image={uid}", {"network": "UNet"}, 400, "'network' is no parameter of this request"),
        ("/infer/bright?image={uid}", {"label_info": "$import os"}, 400, "no plain one"),
        ("/infer/bright?image={uid}", {"label_info": [{"name": "@network"}]}, 400, "no plain one"),
        ("/infer/bright?image={uid}", {"label_info": _nested(500)}, 400, "no plain one"),
        ("/infer/bright?image={uid}", {"result_dtype": "%inference.json"}, 400, "no plain one"),
        ("/infer/bright?image={uid}", {"result_dtype": "float64"}, 400, "result_dtype is one of uint8, uint16"),
        ("/infer/bright?image={uid}", {"result_extension": ".nii.gz"}, 400, "result_extension is .nrrd"),
        ("/infer/bright?image={uid}", [1], 400, "params is no JSON object"),
        ("/infer/bright?session_id=0123", {}, 404, "there is no such session"),
    ],
)
def test_what_cannot_be_inferred_has_a_status_and_a_reason(
    bright: RunningServer, target: str, params: Any, status: int, reason: str
) -> None:
    url = monai(bright) + target.format(uid=uid_of(0))
    answer = httpx.post(url, data={"params": json.dumps(params)}, timeout=60)
    assert (answer.status_code, reason in answer.json()["error"]) == (status, True), answer.text


def test_forms_that_are_broken_or_large_are_refused(bright: RunningServer) -> None:
    url = f"{monai(bright)}/infer/bright?image={uid_of(0)}"
    assert httpx.post(url, data={"params": "{"}).status_code == 400
    assert httpx.post(url, data={"params": "{}" + " " * (1 << 21)}, files={"x": b""}).status_code == 400
    broken = {"content-type": "multipart/form-data; boundary=x"}
    assert httpx.post(url, content=b"--x\r\nno header\r\n\r\n", headers=broken).status_code == 400
    assert httpx.post(url, data={"params": "{}"}, files={"label": b"scribbles"}).status_code == 400
    assert httpx.post(f"{monai(bright)}/activelearning/first", content=b" " * (1 << 21)).status_code == 413
    assert httpx.post(f"{monai(bright)}/activelearning/first", content=b"[]").status_code == 400


def test_a_model_that_fails_is_named(server: RunningServer) -> None:
    write_bundle(server.catalog.home.models, "failing", forward="image[:, :, 99]")
    answer = plugin.ohif_infer("failing", uid_of(0)).send(monai(server))
    assert (answer.status_code, answer.json()["error"][:28]) == (500, "failing: failed: IndexError:")


def test_a_model_that_is_not_ready_is_refused_and_not_offered(server: RunningServer) -> None:
    write_bundle(server.catalog.home.models, "empty", threshold=None)
    assert list(plugin.ohif_info().send(monai(server)).json()["models"]) == ["bright"]
    answer = plugin.ohif_infer("empty", uid_of(0)).send(monai(server))
    assert (answer.status_code, "has no weights" in answer.json()["error"]) == (409, True)


# --- What is labelled next, and labels ---


def test_next_sample_is_what_both_plug_ins_open(bright: RunningServer) -> None:
    ohif = plugin.ohif_next_sample("first").send(monai(bright)).json()
    slicer = plugin.slicer_next_sample("first", model="bright").send(monai(bright)).json()
    assert ohif == slicer
    image = phantom(SLICES, SIZE, [uid_of(0), uid_of(1)].index(ohif["id"]))[0]
    for keyword in ("SeriesInstanceUID", "StudyInstanceUID", "Modality", "StudyDate", "StudyTime", "PatientID"):
        assert ohif[keyword] == str(image[keyword].value)
    assert ohif["name"] == f"{ohif['id']}.nrrd"
    assert httpx.get(f"{ohif['RetrieveURL']}/metadata").status_code == 200
    assert ohif["RetrieveURL"].startswith(f"{bright.dicomweb}/studies/")

    volume, _ = read_nrrd(plugin.slicer_image(ohif["id"]).send(monai(bright)).content)
    assert volume.dtype == np.int16
    assert np.array_equal(volume, series_of(bright, ohif["id"]).volume())


def _nifti(labelmap: NDArray[np.uint8], affine: NDArray[np.float64]) -> bytes:
    image = nibabel.Nifti1Image(labelmap.transpose(2, 1, 0), _LPS_TO_RAS @ affine)
    return gzip.compress(image.to_bytes())


def _nrrd(labelmap: NDArray[Any], affine: NDArray[np.float64], **header: Any) -> bytes:
    file = io.BytesIO()
    place = {"space": "left-posterior-superior", "space directions": affine[:3, :3].T, "space origin": affine[:3, 3]}
    nrrd.write(file, labelmap.transpose(2, 1, 0), {**place, "encoding": "gzip", **header})
    return file.getvalue()


def _drawn(series: Series) -> NDArray[np.uint8]:
    labelmap = np.zeros(series.shape, np.uint8)
    labelmap[2:5, 4:9, 6:20] = 1
    labelmap[6:8, 10:12, 3:5] = 2
    return labelmap


#: A header alone, which names another file of the machine that reads it.
_ELSEWHERE = b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: /etc/passwd\n\n"
_NAMES = [{"name": "liver", "idx": 1}, {"name": "spleen", "idx": 2}]


def test_labels_from_3d_slicer_and_ohif_enter_the_table_as_final(server: RunningServer) -> None:
    assert plugin.slicer_datastore().send(monai(server)).json()["objects"][uid_of(0)]["labels"] == {}
    for seed in range(2):
        uid = uid_of(seed)
        series = series_of(server, uid)
        drawn = _drawn(series)
        if seed == 0:
            request = plugin.slicer_save_label(uid, _nifti(drawn, series.affine), _NAMES)
        else:
            request = plugin.ohif_save_label(uid, drawn.astype("<u2").tobytes(), _NAMES)
        answer = request.send(monai(server))
        assert answer.status_code == 200, answer.text
        (row,) = (row for row in labels_in_table(server.catalog) if row["SOPInstanceUID"] == answer.json()["label"])
        assert (row["label_state"], row["model"], row["SeriesDescription"]) == ("final", None, "Segmentation")
        dataset = pydicom.dcmread(row["local_path"])
        assert {one.SegmentAlgorithmType for one in dataset.SegmentSequence} == {"MANUAL"}
        assert np.array_equal(read_segmentation(dataset, series, labels={"liver": 1, "spleen": 2}).values, drawn)

        told = plugin.slicer_datastore().send(monai(server)).json()["objects"][uid]["labels"]["final"]
        assert told["info"]["params"]["label_names"] == {"liver": 1, "spleen": 2}
        labelmap, header = read_nrrd(plugin.slicer_label(uid, "final").send(monai(server)).content)
        assert np.array_equal(labelmap, drawn)
        assert np.allclose(header["space origin"], series.affine[:3, 3])
    assert plugin.ohif_next_sample("random").send(monai(server)).json() == {}  # at once
    url = f"{monai(server)}/datastore/?output="
    assert httpx.get(url).json() == httpx.get(f"{url}stats").json()
    assert httpx.get(url).json() == {"total": 2, "completed": 2, "label_tags": {"final": 2}}
    assert {pair["image"] for pair in httpx.get(f"{url}train").json()} == {uid_of(0), uid_of(1)}
    assert plugin.slicer_label(uid_of(0), "original").send(monai(server)).status_code == 404


def test_a_label_whose_axes_run_otherwise_is_laid_where_it_belongs(server: RunningServer, tmp_path: Path) -> None:
    images = turned(phantom(SLICES, SIZE, 7), OBLIQUE)
    server.ingest(write(tmp_path / "oblique", images))
    uid = str(images[0].SeriesInstanceUID)
    series = series_of(server, uid)
    server.wait_until_served(StudyInstanceUID=images[0].StudyInstanceUID)
    drawn = _drawn(series)
    mirrored = drawn[::-1, :, ::-1].transpose(1, 0, 2)  # axes: rows, slices to the feet, columns to the right
    to_series = np.array([[-1, 0, 0, SIZE - 1], [0, 0, 1, 0], [0, -1, 0, SLICES - 1], [0, 0, 0, 1]])
    answer = plugin.slicer_save_label(uid, _nrrd(mirrored, series.affine @ to_series), _NAMES, ending=".nrrd").send(
        monai(server)
    )
    assert answer.status_code == 200, answer.text
    assert np.array_equal(read_nrrd(plugin.slicer_label(uid, "final").send(monai(server)).content)[0], drawn)


def test_labels_that_do_not_fit_are_refused_with_the_reason(bright: RunningServer) -> None:
    uid = uid_of(0)
    series = series_of(bright, uid)
    drawn, affine = _drawn(series), series.affine
    moved, larger, oblique = affine.copy(), affine * [1.5, 1.5, 1.5, 1], affine.copy()
    moved[:3, 3] += 30
    oblique[:3, :3] = OBLIQUE @ affine[:3, :3]
    for label, ending, names, reason in (
        (_nrrd(drawn[1:], affine), ".nrrd", _NAMES, "has 15 x 32 x 32 voxels (slices, rows, columns), and the series"),
        (_nrrd(drawn, moved), ".nrrd", _NAMES, "lies elsewhere in the patient"),
        (_nrrd(drawn, larger), ".nrrd", _NAMES, "voxels of another size"),
        (_nrrd(drawn, oblique), ".nrrd", _NAMES, "is turned against the series"),
        (_nrrd(np.concatenate([drawn, drawn]), affine), ".nrrd", _NAMES, "and 16384 are the most"),
        (_nrrd(drawn * 1.5, affine), ".nrrd", _NAMES, "no whole numbers"),
        (_nrrd(drawn.astype(np.int16) * -1, affine), ".nrrd", _NAMES, "besides 0 to 255"),
        (_nrrd(drawn, affine), ".nrrd", _NAMES[:1], "values without a name in label_info: [2]"),
        (_nrrd(drawn, affine), ".nrrd", [], "give each value"),
        (_nrrd(drawn, affine), ".nrrd", [{"idx": 1}], "label_info is no list of"),
        (_nrrd(drawn, affine), ".nrrd", [{"name": "$1/0", "idx": 1}], "no plain one"),
        *(
            (_nrrd(drawn, affine), ".nrrd", [{"name": name, "idx": 1}, _NAMES[1]], "has a name that is none")
            for name in ("", "  ", "a\\b", "a\0b", "a\nb", "a" * 65)
        ),
        (_nrrd(drawn, affine), ".mha", _NAMES, "is of a kind that is not read"),
        (_ELSEWHERE, ".nrrd", _NAMES, "its data are elsewhere"),
        (b"nothing", ".nii.gz", _NAMES, "cannot be read as NIfTI"),
        (b"nothing", ".bin", _NAMES, "has 7 bytes, and the series 16384 voxels"),
    ):
        answer = plugin.slicer_save_label(uid, label, names, ending).send(monai(bright))
        assert (answer.status_code, reason in answer.json()["error"]) == (400, True), answer.text
    too_large = plugin.ohif_save_label(uid, b"\0" * (8 * drawn.size + (2 << 20)), _NAMES).send(monai(bright))
    assert too_large.status_code == 413
    url = f"{monai(bright)}/datastore/label"
    file = {"label": ("label.nrrd", _nrrd(drawn, affine))}
    assert httpx.put(f"{url}?image=1.2.3", files=file).status_code == 404
    assert httpx.put(f"{url}?image={uid}&tag=original", files=file).status_code == 400
    assert httpx.put(f"{url}?image={uid}", data={"params": "{}"}).status_code == 400
    assert httpx.put(url, files=file).status_code == 400
    assert httpx.get(f"{monai(bright)}/datastore/image?image=1.2.3").status_code == 404
    assert httpx.get(f"{monai(bright)}/datastore/?output=everything").status_code == 400
    assert labels_in_table(bright.catalog) == []


def test_unknown_strategies_and_models_are_404(bright: RunningServer) -> None:
    answer = plugin.ohif_next_sample("luck").send(monai(bright))
    assert (answer.status_code, "there are first, random, uncertainty" in answer.json()["error"]) == (404, True)
    assert plugin.slicer_next_sample("first", model="none").send(monai(bright)).status_code == 404
    assert plugin.slicer_next_sample("first", model="$x").send(monai(bright)).status_code == 400
    assert plugin.slicer_train_start("none").send(monai(bright)).status_code == 404


# --- Sessions ---


def test_a_volume_that_3d_slicer_sends_is_segmented_as_the_series_is(server: RunningServer) -> None:
    series = series_of(server, uid_of(0))
    volume = _nifti(series.volume().astype(np.int16), series.affine)
    created = plugin.slicer_create_session(volume, "CTChest.nii.gz").send(monai(server)).json()
    session = created["session_id"]
    assert plugin.slicer_get_session(session).send(monai(server)).json()["expiry"] == 3600
    answer = plugin.slicer_infer("bright", "CTChest", session).send(monai(server))
    labelmap, header = read_nrrd(plugin.parts(answer)["image"][1])
    expected, _ = read_nrrd(plugin.ohif_infer("bright", uid_of(0)).send(monai(server)).content)
    assert np.array_equal(labelmap, expected)
    assert np.allclose(header["space directions"], series.affine[:3, :3].T)
    assert httpx.get(f"{monai(server)}/session/{session}?image=true").content == volume
    assert plugin.slicer_remove_session(session).send(monai(server)).status_code == 200
    assert plugin.slicer_get_session(session).send(monai(server)).status_code == 404
    assert not [path for path in (server.catalog.home.ai / "sessions").rglob("*") if path.is_file()]


def test_sessions_expire_and_are_refused_if_they_are_no_volumes(server: RunningServer) -> None:
    url = f"{monai(server)}/session/"
    volume = _nifti(np.zeros((4, 4, 4), np.uint8), np.eye(4))
    first = httpx.put(f"{url}?expiry=1", files={"files": ("a.nii.gz", volume)}).json()["session_id"]
    time.sleep(1.5)
    assert httpx.get(url + first).status_code == 404
    assert not list((server.catalog.home.ai / "sessions").iterdir())  # it is gone from the disk, too
    second = httpx.put(url, files={"files": ("../../a.nrrd", b"nothing")}).json()["session_id"]
    folder = server.catalog.home.ai / "sessions"
    assert [session.stem for session in folder.iterdir()] == [second]
    answer = httpx.post(f"{monai(server)}/infer/bright?session_id={second}", timeout=60)
    assert (answer.status_code, "cannot be read as NRRD" in answer.json()["error"]) == (400, True)
    assert httpx.put(url, files={"files": ("a.txt", b"")}).status_code == 400
    assert httpx.put(url).status_code == 400
    assert httpx.put(f"{url}?expiry=long", files={"files": ("a.nii", b"")}).status_code == 400
    assert httpx.get(f"{url}..%2F..%2Fmodels").status_code == 404
    for _ in range(20):
        last = httpx.put(url, files={"files": ("a.nii", b"nothing")}).json()["session_id"]
    assert len(list(folder.iterdir())) == 16  # those that were used longest ago ended
    assert httpx.get(url + last).status_code == 200
    assert httpx.get(url + second).status_code == 404


# --- Training ---


@pytest.fixture
def copied(ward: Ward, home: Path) -> Ward:
    """The same patients and models in a home folder of the test's own."""
    shutil.copytree(ward.catalog.home.root, home)
    return Ward(Catalog(home=str(home)), ward.series)


def test_both_plug_ins_train_and_stop(copied: Ward) -> None:
    with running(copied.catalog) as server, working(copied.catalog):
        assert plugin.ohif_is_train_running().send(monai(server)).status_code == 404
        assert plugin.slicer_train_status(check_if_running=False).send(monai(server)).json()["status"] == "DONE"
        started = plugin.ohif_run_train(organs={"max_epochs": 5000}).send(monai(server))
        assert started.status_code == 200, started.text
        task = started.json()
        assert (task["request"]["epochs"], task["status"]) == (5000, "SUBMITTED")
        assert {"id", "start_ts", "end_ts", "details"} <= task.keys()
        busy = plugin.slicer_train_start("organs", max_epochs=1).send(monai(server))
        assert (busy.status_code, "a training goes on already" in busy.json()["error"]) == (429, True)

        wait(copied.trainings, task["id"], lambda task: task.epoch > 0)
        now = plugin.ohif_is_train_running().send(monai(server)).json()
        assert (now["status"], now["id"]) == ("RUNNING", task["id"])
        stats = next(iter(plugin.ohif_info().send(monai(server)).json()["train_stats"].values()))
        assert stats["epoch"] > 0
        assert "total_time" not in stats

        stopped = plugin.slicer_train_stop().send(monai(server)).json()
        assert stopped["id"] == task["id"]
        assert stopped["details"]
        wait(copied.trainings, task["id"], lambda task: task.status.has_ended)
        assert plugin.ohif_is_train_running().send(monai(server)).status_code == 404
        assert plugin.ohif_stop_train().send(monai(server)).json() is None
        tasks = httpx.get(f"{monai(server)}/train/?all=true").json()
        assert [one["status"] for one in tasks] == ["DONE", "STOPPED"]
        log = httpx.get(f"{monai(server)}/logs/?lines=5")
        assert (log.status_code, log.headers["content-type"]) == (200, "text/plain; charset=utf-8")
        assert 0 < len(log.text.splitlines()) <= 5


def test_trainings_that_cannot_be_are_refused(server: RunningServer) -> None:
    new_model(Models(server.catalog.home.models), "organs")
    answer = plugin.slicer_train_start("organs").send(monai(server))
    assert (answer.status_code, "has nothing to learn from" in answer.json()["error"]) == (409, True)
    assert plugin.ohif_run_train().send(monai(server)).status_code == 409
    for params in ({"max_epochs": "5"}, {"max_epochs": True}, {"max_epochs": -1}, {"network": "$x"}, {"lr": 1}):
        assert plugin.slicer_train_start("organs", **params).send(monai(server)).status_code == 400, params
    for model in ({"organs": 5}, {"organs": {"max_epochs": "$5"}}, {"bright": {}}):
        assert plugin.ohif_run_train(**model).send(monai(server)).status_code == 400, model


# --- The server around it ---


def test_a_server_starts_without_loading_what_ai_needs() -> None:
    loaded = "{'torch', 'monai', 'mlflow', 'highdicom', 'nrrd'} & sys.modules.keys()"
    command = [sys.executable, "-c", f"import sys, dbx.pixels.web.app; print({loaded})"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout == "set()\n"


def test_without_the_extra_every_route_says_how_to_get_it(
    bright: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "monai", None)  # as if it was not installed
    for request in (plugin.ohif_info(), plugin.ohif_infer("bright", uid_of(0)), plugin.ohif_run_train()):
        answer = request.send(monai(bright))
        assert (answer.status_code, "pip install 'dbx-pixels[ai]'" in answer.json()["error"]) == (501, True)
    assert httpx.get(f"{bright.dicomweb}/studies").status_code == 200
