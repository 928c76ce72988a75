"""Segmentations: what was found, voxel by voxel, in a DICOM object that says what it is and what it lies over."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from highdicom.seg import Segmentation
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage, SegmentationStorage, generate_uid

from dbx.pixels import Catalog
from dbx.pixels.ai.segment_codes import meaning_of
from dbx.pixels.ai.segmentation import read_segmentation, write_segmentation
from dbx.pixels.ai.segmented import Segmented
from dbx.pixels.ai.series import Series, read_series
from dbx.pixels.dicom.phantom import ORGANS, ct_phantom
from dbx.pixels.errors import UnsuitableSegmentationError
from dbx.pixels.table import EVERYTHING
from volumes import enhanced, ingested, phantom, turned, write

Images = list[Dataset]

SLICES, SIZE = 6, 15  # frames of 225 bits: most begin within a byte
LABELS = {name: value for value, name in enumerate(ORGANS) if value}
OBLIQUE = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])


@pytest.fixture
def open_series(catalog: Catalog, tmp_path: Path) -> Callable[[Images], Series]:
    """Ingest images, and look up the series that they are."""

    def open_one(images: Images) -> Series:
        index = ingested(catalog, write(tmp_path / "ct", images))
        return read_series(index, images[0].SeriesInstanceUID, EVERYTHING)

    return open_one


@pytest.fixture
def series(open_series: Callable[[Images], Series]) -> Series:
    return open_series(phantom(SLICES, SIZE))


def organs() -> NDArray[np.uint8]:
    return ct_phantom(SLICES, SIZE)[1]


def segmented(series: Series, labelmap: NDArray[np.uint8] | None = None) -> Segmented:
    """The phantom's organs, as if a model had found them."""
    return Segmented(series, organs() if labelmap is None else labelmap, LABELS, "abdomen", "2", seconds=1.5)


def saved(segmentation: Dataset) -> Dataset:
    """A segmentation as a file has it."""
    file = BytesIO()
    segmentation.save_as(file, enforce_file_format=True)
    file.seek(0)
    return pydicom.dcmread(file)


def source_of(frame: Dataset) -> Dataset:
    (derivation,) = frame.DerivationImageSequence
    (source,) = derivation.SourceImageSequence
    return source


def feet_last(images: Images) -> Images:
    for image in images:
        image.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]
    return images


@pytest.mark.parametrize(
    "change",
    [
        lambda images: images,
        lambda images: images[::-1],
        lambda images: turned(images, OBLIQUE),
        lambda images: [enhanced(images[::-1])],
        lambda images: [enhanced(images[::2]), enhanced(images[1::2])],
    ],
)
def test_what_is_written_is_read_again(
    open_series: Callable[[Images], Series], change: Callable[[Images], Images]
) -> None:
    series = open_series(change(phantom(SLICES, SIZE)))

    labelmap = read_segmentation(saved(write_segmentation(segmented(series))), series)

    assert np.array_equal(labelmap.values, organs())
    assert labelmap.labels == LABELS


def test_where_the_normal_points_to_the_feet_the_first_slice_is_the_highest(
    open_series: Callable[[Images], Series],
) -> None:
    series = open_series(feet_last(phantom(SLICES, SIZE)))
    found = segmented(series, organs()[::-1])

    segmentation = saved(write_segmentation(found))

    assert np.array_equal(read_segmentation(segmentation, series).values, organs()[::-1])


def test_every_frame_refers_to_the_image_that_it_lies_on(open_series: Callable[[Images], Series]) -> None:
    images = phantom(SLICES, SIZE)
    positions = {image.SOPInstanceUID: list(image.ImagePositionPatient) for image in images}

    segmentation = saved(write_segmentation(segmented(open_series(images[::-1]))))

    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        assert source_of(frame).ReferencedSOPClassUID == images[0].SOPClassUID
        assert "ReferencedFrameNumber" not in source_of(frame)
        position = positions[source_of(frame).ReferencedSOPInstanceUID]
        assert frame.PlanePositionSequence[0].ImagePositionPatient == pytest.approx(position)
    (referenced,) = segmentation.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == images[0].SeriesInstanceUID
    assert {item.ReferencedSOPInstanceUID for item in referenced.ReferencedInstanceSequence} == set(positions)


def test_frames_refer_to_frames(open_series: Callable[[Images], Series]) -> None:
    order = phantom(SLICES, SIZE)[::-1]
    (image,) = [enhanced(order)]

    segmentation = saved(write_segmentation(segmented(open_series([image]))))

    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        source = source_of(frame)
        assert source.ReferencedSOPClassUID == EnhancedCTImageStorage
        assert source.ReferencedSOPInstanceUID == image.SOPInstanceUID
        position = order[source.ReferencedFrameNumber - 1].ImagePositionPatient
        assert frame.PlanePositionSequence[0].ImagePositionPatient == pytest.approx(position)
    assert len(segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 1


def test_a_segmentation_says_what_made_it_and_what_it_shows(series: Series) -> None:
    segmentation = saved(write_segmentation(segmented(series), series_description="Organs of the abdomen"))

    assert (segmentation.SOPClassUID, segmentation.SegmentationType) == (SegmentationStorage, "BINARY")
    assert segmentation.SeriesDescription == "Organs of the abdomen"
    assert segmentation.StudyInstanceUID == series.StudyInstanceUID
    assert segmentation.FrameOfReferenceUID == series.header.FrameOfReferenceUID
    assert (segmentation.PatientID, segmentation.PatientName) == ("PHANTOM-1", "Phantom^One")
    assert [item.SegmentLabel for item in segmentation.SegmentSequence] == list(LABELS)
    for item in segmentation.SegmentSequence:
        (algorithm,) = item.SegmentationAlgorithmIdentificationSequence
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("abdomen", "2")
        assert item.SegmentAlgorithmType == "AUTOMATIC"
    kinds = {item.SegmentLabel: item.SegmentedPropertyTypeCodeSequence[0] for item in segmentation.SegmentSequence}
    assert (kinds["liver"].CodeValue, kinds["liver"].CodingSchemeDesignator) == ("10200004", "SCT")
    assert kinds["kidney_left"].CodeMeaning == "Kidney"
    assert kinds["kidney_left"].SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"


@pytest.mark.parametrize(
    ("label", "category", "kind", "side"),
    [
        ("spleen", "Anatomical Structure", "Spleen", None),
        ("Right kidney", "Anatomical Structure", "Kidney", "Right"),
        ("inferior_vena_cava", "Anatomical Structure", "Inferior vena cava", None),
        ("lungs", "Anatomical Structure", "Lung", None),
        ("liver tumors", "Morphologically Abnormal Structure", "Neoplasm", None),
        ("organ_1", "Tissue", "Tissue", None),
    ],
)
def test_labels_mean_what_their_words_say(label: str, category: str, kind: str, side: str | None) -> None:
    meaning = meaning_of(label)
    assert (meaning.category.meaning, meaning.kind.meaning, meaning.side and meaning.side.meaning) == (
        category,
        kind,
        side,
    )


def test_only_what_was_found_becomes_a_segment(series: Series) -> None:
    labelmap = np.where(np.isin(organs(), [LABELS["liver"], LABELS["kidney_left"]]), organs(), 0).astype(np.uint8)

    segmentation = saved(write_segmentation(segmented(series, labelmap)))

    assert [(item.SegmentNumber, item.SegmentLabel) for item in segmentation.SegmentSequence] == [
        (1, "liver"),
        (2, "kidney_left"),
    ]
    read = read_segmentation(segmentation, series, labels=LABELS)
    assert np.array_equal(read.values, labelmap)
    assert read.labels == LABELS


def test_nothing_found_is_an_empty_segment(series: Series) -> None:
    segmentation = saved(write_segmentation(segmented(series, np.zeros(series.shape, np.uint8))))

    assert [item.SegmentLabel for item in segmentation.SegmentSequence] == ["body"]
    assert not read_segmentation(segmentation, series).values.any()


def test_volumes_are_those_of_the_voxels(series: Series) -> None:
    volumes = segmented(series).volumes_ml

    voxel = np.prod(series.spacing) / 1000
    assert volumes == pytest.approx({name: np.sum(organs() == value) * voxel for name, value in LABELS.items()})


def test_an_instance_of_the_index_is_read_where_it_lies(catalog: Catalog, tmp_path: Path) -> None:
    index = ingested(catalog, write(tmp_path / "ct", images := phantom(SLICES, SIZE)))
    series = read_series(index, images[0].SeriesInstanceUID, EVERYTHING)
    segmentation = write_segmentation(segmented(series))
    segmentation.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    index = ingested(catalog, tmp_path)
    instance = index.find(segmentation.SOPInstanceUID, EVERYTHING)
    assert instance is not None

    labelmap = read_segmentation(instance, series, labels={"liver": 1})

    assert np.array_equal(labelmap.values, organs() == LABELS["liver"])


def by_others(series: Series, pixels: NDArray[np.uint8], kind: str) -> Dataset:
    """A segmentation of the images from head to feet, with pixels in that order."""
    return saved(
        Segmentation(
            phantom(SLICES, SIZE)[::-1],
            pixels,
            kind,
            list(write_segmentation(segmented(series)).SegmentSequence)[
                : pixels.shape[3] if pixels.ndim == 4 else None
            ],
            series_instance_uid=generate_uid(),
            series_number=1,
            sop_instance_uid=generate_uid(),
            instance_number=1,
            manufacturer="Others",
            manufacturer_model_name="Other",
            software_versions="1",
            device_serial_number="1",
        )
    )


@pytest.mark.parametrize("kind", ["FRACTIONAL", "LABELMAP"])
def test_other_kinds_of_segmentations_are_read(series: Series, kind: str) -> None:
    segmentation = by_others(series, organs()[::-1], kind)

    assert np.array_equal(read_segmentation(segmentation, series).values, organs())


def test_where_segments_overlap_the_highest_number_is_seen(series: Series) -> None:
    tissue, liver = organs() > 0, organs() == LABELS["liver"]
    segmentation = by_others(series, np.stack([tissue, liver], axis=3)[::-1].astype(np.uint8), "BINARY")

    assert np.array_equal(read_segmentation(segmentation, series).values, np.where(liver, 2, tissue))
    asked = read_segmentation(segmentation, series, labels={"body": 7})
    assert np.array_equal(asked.values, tissue * 7)  # what is left out hides nothing


def test_frames_without_a_position_lie_on_their_source(open_series: Callable[[Images], Series]) -> None:
    series = open_series([enhanced(phantom(SLICES, SIZE)[::-1])])
    segmentation = saved(write_segmentation(segmented(series)))
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        del frame.PlanePositionSequence

    assert np.array_equal(read_segmentation(segmentation, series).values, organs())


def as_ct(segmentation: Dataset) -> None:
    segmentation.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"


def elsewhere(segmentation: Dataset) -> None:
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        frame.PlanePositionSequence[0].ImagePositionPatient[2] += 10


def outside(segmentation: Dataset) -> None:
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        frame.PlanePositionSequence[0].ImagePositionPatient[2] += 200


def turned_over(segmentation: Dataset) -> None:
    groups = segmentation.SharedFunctionalGroupsSequence[0]
    groups.PlaneOrientationSequence[0].ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]


def of_another_patient(segmentation: Dataset) -> None:
    segmentation.FrameOfReferenceUID = generate_uid()


def smaller(segmentation: Dataset) -> None:
    segmentation.Rows -= 1


def of_no_segment(segmentation: Dataset) -> None:
    segmentation.PerFrameFunctionalGroupsSequence[-1].SegmentIdentificationSequence[0].ReferencedSegmentNumber = 9


def cut_off(segmentation: Dataset) -> None:
    segmentation.PixelData = segmentation.PixelData[:20]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (as_ct, "is no segmentation"),
        (elsewhere, "lies on no slice of the series"),
        (outside, "lies on no slice of the series"),
        (turned_over, "its frames are turned"),
        (of_another_patient, "another frame of reference"),
        (smaller, "another size"),
        (of_no_segment, "pixels of segment 9, and describes none of this number"),
        (cut_off, "its pixel data cannot be read"),
    ],
)
def test_what_does_not_lie_on_the_series_is_refused(
    series: Series, change: Callable[[Dataset], None], reason: str
) -> None:
    segmentation = saved(write_segmentation(segmented(series)))
    change(segmentation)

    with pytest.raises(UnsuitableSegmentationError, match=reason) as refused:
        read_segmentation(segmentation, series)
    assert refused.value.subject == segmentation.SOPInstanceUID
