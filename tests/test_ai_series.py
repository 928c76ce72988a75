"""A series as a volume: every voxel at its place in the patient, whatever order and form the images come in."""

from __future__ import annotations

import random
import shutil
import zipfile
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from os import utime
from pathlib import Path
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, RLELossless, SecondaryCaptureImageStorage, generate_uid

from dbx.pixels import Catalog
from dbx.pixels.ai.series import Series, read_series
from dbx.pixels.dicom.phantom import FIELD_OF_VIEW_MM, LENGTH_MM, ct_phantom
from dbx.pixels.errors import SeriesNotFoundError, StorageError, UnsuitableSeriesError
from dbx.pixels.table import EVERYTHING
from images import write_image
from volumes import SIZE, SLICES, enhanced, ingested, phantom, turned, write

if TYPE_CHECKING:
    from servers import S3Bucket

pytest_plugins = ["servers"]

Images = list[Dataset]

PIXEL, BETWEEN = FIELD_OF_VIEW_MM / SIZE, LENGTH_MM / SLICES
CORNER = np.array([(PIXEL - FIELD_OF_VIEW_MM) / 2, (PIXEL - FIELD_OF_VIEW_MM) / 2, (BETWEEN - LENGTH_MM) / 2])

VOXEL = np.array([3 * PIXEL, 2 * PIXEL, 5 * BETWEEN])  # from the corner to column 3, row 2, slice 5

#: Turns about two axes, so that no direction is an axis of the patient's.
OBLIQUE = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])


@pytest.fixture
def images() -> Images:
    return phantom()


def hounsfield() -> np.ndarray:
    return ct_phantom(SLICES, SIZE)[0].astype(np.float32)


def series_of(catalog: Catalog, *paths: Path | str) -> Series:
    """Ingest paths that hold one series, and look it up."""
    index = ingested(catalog, *paths)
    (row,) = catalog.sql("SELECT DISTINCT SeriesInstanceUID AS uid FROM instances").to_arrow().to_pylist()
    return read_series(index, row["uid"], EVERYTHING)


def place(series: Series, column: int, row: int, at: int) -> np.ndarray:
    """Where a voxel lies, in mm."""
    return (series.affine @ (column, row, at, 1))[:3]


def test_slices_are_sorted_by_position_not_by_name_or_number(catalog: Catalog, tmp_path: Path, images: Images) -> None:
    for number, image in enumerate(images):
        image.InstanceNumber = SLICES - number
    random.Random(1).shuffle(images)

    series = series_of(catalog, write(tmp_path / "ct", images))

    assert (series.Modality, series.shape) == ("CT", (SLICES, SIZE, SIZE))
    assert np.array_equal(series.volume(), hounsfield())
    assert series.volume().dtype == np.float32
    assert place(series, 0, 0, 0) == pytest.approx(CORNER)
    assert place(series, 3, 2, 5) == pytest.approx(CORNER + VOXEL)
    assert series.spacing == pytest.approx((BETWEEN, PIXEL, PIXEL))
    assert str(series.header.PatientName) == "Phantom^One"


def test_an_oblique_series_lies_askew(catalog: Catalog, tmp_path: Path, images: Images) -> None:
    series = series_of(catalog, write(tmp_path / "ct", turned(images, OBLIQUE)))

    assert np.array_equal(series.volume(), hounsfield())
    assert place(series, 3, 2, 5) == pytest.approx(OBLIQUE @ (CORNER + VOXEL), abs=1e-6)
    assert np.linalg.det(series.affine) == pytest.approx(PIXEL * PIXEL * BETWEEN)


def test_slices_go_where_their_normal_goes(catalog: Catalog, tmp_path: Path, images: Images) -> None:
    for image in images:  # rows run to the patient's right, so that the normal points to the feet
        image.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]

    series = series_of(catalog, write(tmp_path / "ct", images))

    assert np.array_equal(series.volume(), hounsfield()[::-1])
    assert place(series, 1, 0, 1) - place(series, 0, 0, 0) == pytest.approx((-PIXEL, 0, -BETWEEN))
    assert np.linalg.det(series.affine) > 0


def test_every_slice_has_its_own_rescaling(catalog: Catalog, tmp_path: Path, images: Images) -> None:
    for number, image in enumerate(images):
        image.RescaleSlope, image.RescaleIntercept = number + 0.5, -number

    volume = series_of(catalog, write(tmp_path / "pt", images)).volume()

    stored = hounsfield() + 1024
    for number in range(SLICES):
        assert np.array_equal(volume[number], stored[number] * (number + 0.5) - number)


def test_frames_of_one_object_are_slices(catalog: Catalog, tmp_path: Path, images: Images) -> None:
    images[2].RescaleIntercept = -1000
    expected = hounsfield()
    expected[2] += 24
    order = random.Random(2).sample(images, SLICES)

    series = series_of(catalog, write(tmp_path / "ct", [enhanced(order)]))

    assert np.array_equal(series.volume(), expected)
    assert place(series, 3, 2, 5) == pytest.approx(CORNER + VOXEL)
    assert [one.frame for one in series.slices] == [order.index(image) for image in images]


def test_a_series_may_be_in_several_objects_of_many_frames(catalog: Catalog, tmp_path: Path, images: Images) -> None:
    halves = [enhanced(images[::2]), enhanced(images[1::2])]

    series = series_of(catalog, write(tmp_path / "ct", halves))

    assert np.array_equal(series.volume(), hounsfield())


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_compressed_slices_are_the_same_volume(catalog: Catalog, tmp_path: Path, images: Images, syntax: str) -> None:
    for image in images:
        if syntax == RLELossless:
            image.compress(syntax, generate_instance_uid=False)
        else:
            _compress_jpeg_2000(image)

    assert np.array_equal(series_of(catalog, write(tmp_path / "ct", images)).volume(), hounsfield())


def _compress_jpeg_2000(image: Dataset) -> None:
    image.PixelData = encapsulate([imagecodecs.jpeg2k_encode(image.pixel_array, level=0, codecformat="j2k")])
    image["PixelData"].VR = "OB"
    image.file_meta.TransferSyntaxUID = JPEG2000Lossless


@pytest.mark.parametrize("where", ["archive", "s3"])
def test_slices_are_read_from_where_they_lie(
    catalog: Catalog, tmp_path: Path, images: Images, where: str, request: pytest.FixtureRequest
) -> None:
    files = sorted(write(tmp_path / "ct", images).iterdir())
    if where == "s3":
        bucket: S3Bucket = request.getfixturevalue("bucket")
        addresses = [bucket.put(f"ct/{file.name}", file.read_bytes()) for file in files]
        address = addresses[0].rpartition("/")[0]
    else:
        address = str(tmp_path / "ct.zip")
        with zipfile.ZipFile(address, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, file.name)

    assert np.array_equal(series_of(catalog, address).volume(), hounsfield())


def test_of_copies_the_newest_counts_then_the_smallest_path(catalog: Catalog, tmp_path: Path, images: Images) -> None:
    copies = deepcopy(images)
    for number, copy in enumerate(copies):
        copy.SOPInstanceUID = generate_uid(entropy_srcs=["copy", str(number)])
    originals, others = write(tmp_path / "b", images), write(tmp_path / "a", copies)
    for folder, names in ((originals, ("000.dcm", "001.dcm")), (others, ("000.dcm", "002.dcm"))):
        for name in names:
            utime(folder / name, (1_700_000_000 + 60 * (name != "000.dcm"),) * 2)
    for folder, name in ((others, "001.dcm"), (originals, "002.dcm")):
        utime(folder / name, (1_700_000_000, 1_700_000_000))

    series = series_of(catalog, tmp_path)

    counted = [Path(one.instance.path).parent.name for one in series.slices[:3]]
    assert counted == ["a", "b", "a"]
    assert np.array_equal(series.volume(), hounsfield())


@dataclass(frozen=True)
class Visitor:
    """Someone who may see the rows of a predicate."""

    predicate: str

    def row_filter(self, table: str) -> str | None:  # noqa: ARG002 - the protocol's argument
        return self.predicate


def test_a_series_that_may_not_be_seen_is_not_found(catalog: Catalog, tmp_path: Path, images: Images) -> None:
    index = ingested(catalog, write(tmp_path / "ct", images))
    uid = images[0].SeriesInstanceUID

    assert read_series(index, uid, Visitor("PatientID = 'PHANTOM-1'")).shape == (SLICES, SIZE, SIZE)
    with pytest.raises(SeriesNotFoundError, match=uid):
        read_series(index, uid, Visitor("PatientID = 'PHANTOM-2'"))
    with pytest.raises(SeriesNotFoundError, match=r"1\.2\.3: there is no such series"):
        read_series(index, "1.2.3", EVERYTHING)


def without_the_fourth(images: Images) -> Images:
    return [*images[:3], *images[4:]]


def uneven(images: Images) -> Images:
    images[3].ImagePositionPatient[2] += BETWEEN / 3
    return images


def tilted(images: Images) -> Images:
    for number, image in enumerate(images):
        image.ImagePositionPatient[1] += number * BETWEEN * np.tan(np.radians(15))
    return images


def with_one(images: Images, **attributes: object) -> Images:
    for keyword, value in attributes.items():
        setattr(images[3], keyword, value)
    return images


def with_all(images: Images, **attributes: object) -> Images:
    for image in images:
        for keyword, value in attributes.items():
            setattr(image, keyword, value)
    return images


def smaller(images: Images) -> Images:
    images[3].PixelData = images[3].PixelData[: 2 * SIZE * (SIZE - 2)]
    images[3].Rows = SIZE - 2
    return images


def without_positions(images: Images) -> Images:
    for image in images:
        del image.ImagePositionPatient
    return images


def phases(images: Images) -> Images:
    second = deepcopy(images)
    for image in second:
        image.SOPInstanceUID = generate_uid()
        image.AcquisitionTime = "090030"
    return [*images, *second]


def repeated_frames(images: Images) -> Images:
    return [enhanced([*images, *images])]


def with_frames_that_are_not_there(images: Images) -> Images:
    image = enhanced(images)
    image.NumberOfFrames = 2**31 - 1
    return [image]


def in_colour(images: Images) -> Images:
    for image in images:
        image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
        image.BitsAllocated = image.BitsStored = 8
        image.HighBit = 7
        image.PixelData = bytes(3 * SIZE * SIZE)
    return images


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without_the_fourth, "has gaps: of slices 25 mm apart, 1 is missing"),
        (uneven, "has slices at uneven distances: 16.7 to 33.3 mm"),
        (tilted, "was taken with a tilted gantry, or its slices are shifted: they lie 15.0 degrees askew"),
        (lambda images: images[:1], "has a single slice"),
        (smaller, "has images of different sizes"),
        (lambda images: with_one(images, ImageOrientationPatient=[0, 1, 0, 0, 0, -1]), "different orientations"),
        (lambda images: with_one(images, PixelSpacing=[20, 20]), "has images of different pixel spacings"),
        (lambda images: with_one(images, FrameOfReferenceUID="1.2.3"), "has images of several frames of reference"),
        (lambda images: with_one(images, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "holds localizers"),
        (lambda images: with_all(images, ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "are not perpendicular"),
        (without_positions, "does not say where its images lie"),
        (phases, "has several images at one place, of different AcquisitionTime"),
        (repeated_frames, "has several frames at one place"),
        (with_frames_that_are_not_there, "does not say where its images lie"),
        (in_colour, "is in colour"),
    ],
)
def test_what_is_no_volume_is_refused_with_the_reason(
    catalog: Catalog, tmp_path: Path, images: Images, change: Callable[[Images], Images], reason: str
) -> None:
    folder = write(tmp_path / "Doe^John", change(images))

    with pytest.raises(UnsuitableSeriesError) as refused:
        series_of(catalog, folder)

    assert refused.value.subject == images[0].SeriesInstanceUID
    assert reason in refused.value.problem
    assert "Doe" not in str(refused.value)


def test_frames_without_positions_are_refused(catalog: Catalog, tmp_path: Path) -> None:
    image = pydicom.dcmread(write_image(tmp_path / "sc.dcm", np.zeros((SIZE, SIZE), np.uint16)))
    assert image.SOPClassUID == SecondaryCaptureImageStorage
    image.NumberOfFrames, image.PixelData = SLICES, bytes(2 * SLICES * SIZE * SIZE)
    image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    image.PixelSpacing = [1, 1]

    with pytest.raises(UnsuitableSeriesError, match="does not say where its images lie"):
        series_of(catalog, write(tmp_path / "frames", [image]))


def test_a_broken_slice_is_told_by_the_series(catalog: Catalog, tmp_path: Path, images: Images) -> None:
    images[3].PixelData = images[3].PixelData[:100]
    series = series_of(catalog, write(tmp_path / "Doe^John", images))

    with pytest.raises(UnsuitableSeriesError, match=r"has an image that cannot be used: .* ends within") as refused:
        series.volume()
    assert refused.value.subject == series.SeriesInstanceUID


def test_objects_that_changed_or_vanished_are_told_by_the_series(
    catalog: Catalog, tmp_path: Path, images: Images
) -> None:
    series = series_of(catalog, write(tmp_path / "Doe^John", images))
    changed = tmp_path / "Doe^John" / "004.dcm"
    utime(changed, (1_700_000_000, 1_700_000_000))

    with pytest.raises(StorageError, match="has changed since it was listed") as refused:
        series.volume()
    assert "Doe" not in str(refused.value)

    shutil.rmtree(tmp_path / "Doe^John")
    with pytest.raises(StorageError, match="does not exist") as refused:
        series.volume()
    assert "Doe" not in str(refused.value)


def test_the_fingerprint_changes_with_the_objects(catalog: Catalog, tmp_path: Path, images: Images) -> None:
    folder = write(tmp_path / "ct", images)
    before = series_of(catalog, folder).fingerprint
    assert series_of(catalog, folder).fingerprint == before

    utime(folder / "004.dcm", (datetime(2026, 1, 1, tzinfo=UTC).timestamp(),) * 2)

    assert series_of(catalog, folder).fingerprint != before


def test_reading_ends_when_its_caller_does_not_want_it_any_more(
    catalog: Catalog, tmp_path: Path, images: Images
) -> None:
    series = series_of(catalog, write(tmp_path / "ct", images))
    done = []

    def on_slice() -> None:
        done.append(1)
        if len(done) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        series.volume(on_slice)
    assert len(done) == 3
