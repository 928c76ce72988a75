"""The phantom: files that readers accept, geometry and labels that fit, the same bytes from the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from dbx.pixels.dicom.phantom import FIELD_OF_VIEW_MM, LENGTH_MM, ORGANS, ct_phantom, write_ct_series


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in write_ct_series(tmp_path_factory.mktemp("ct"), slices=8, size=64)]


def test_one_file_a_slice_of_one_series(series: list[pydicom.Dataset]) -> None:
    assert [image.InstanceNumber for image in series] == list(range(1, 9))
    assert len({image.SOPInstanceUID for image in series}) == 8
    assert len({(image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID) for image in series}) == 1
    assert {image.SOPClassUID for image in series} == {pydicom.uid.CTImageStorage}
    assert str(series[0].PatientName) == "Phantom^One"


def test_slices_fill_the_volume_evenly(series: list[pydicom.Dataset]) -> None:
    heights = [float(image.ImagePositionPatient[2]) for image in series]
    assert np.diff(heights) == pytest.approx(LENGTH_MM / 8)
    assert sum(heights) == pytest.approx(0)
    assert float(series[0].PixelSpacing[0]) * series[0].Rows == pytest.approx(FIELD_OF_VIEW_MM)


def test_files_hold_the_hounsfield_units_of_the_volume(series: list[pydicom.Dataset]) -> None:
    volume, _ = ct_phantom(slices=8, size=64)
    for image, expected in zip(series, volume, strict=True):
        assert np.array_equal(image.pixel_array * image.RescaleSlope + image.RescaleIntercept, expected)


@pytest.mark.parametrize("seed", [0, 1, 23])
def test_every_organ_is_there_and_looks_like_itself(seed: int) -> None:
    volume, labels = ct_phantom(slices=20, size=96, seed=seed)
    mean = {name: volume[labels == value].mean() for value, name in enumerate(ORGANS)}
    assert mean["background"] < -850
    assert 85 < mean["liver"] < mean["spleen"] < mean["kidney_left"]
    assert mean["kidney_right"] == pytest.approx(mean["kidney_left"], abs=20)
    assert mean["spine"] > 200
    columns = {name: np.nonzero(labels == value)[2].mean() for value, name in enumerate(ORGANS)}
    assert columns["liver"] < 48 < columns["spleen"]  # the patient's right is the image's left
    assert columns["kidney_right"] < 48 < columns["kidney_left"]


def test_a_seed_is_a_patient(tmp_path: Path) -> None:
    first = write_ct_series(tmp_path / "first", slices=2, size=32, seed=4)
    again = write_ct_series(tmp_path / "again", slices=2, size=32, seed=4)
    other = write_ct_series(tmp_path / "other", slices=2, size=32, seed=11)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    assert pydicom.dcmread(first[0]).PatientID != pydicom.dcmread(other[0]).PatientID
    assert pydicom.dcmread(first[0]).StudyInstanceUID != pydicom.dcmread(other[0]).StudyInstanceUID
    assert str(pydicom.dcmread(other[0]).PatientName) == "Phantom^12"
