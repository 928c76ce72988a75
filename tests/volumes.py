"""Series of the phantom as scanners and archives have them: turned, tilted, in one file, in any order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage, generate_uid

from dbx.pixels import Catalog
from dbx.pixels.catalog.ingest import ingest
from dbx.pixels.catalog.selection import Archives
from dbx.pixels.dicom.phantom import write_ct_series
from dbx.pixels.index import ServingIndex

#: Voxels are 16 columns, 16 rows and 8 slices, 25 mm apart each: small, and no two axes look alike.
SLICES, SIZE = 8, 16


def magnetic(images: list[Dataset]) -> list[Dataset]:
    """Say of images that they are of MR."""
    for image in images:
        image.Modality = "MR"
    return images


def phantom(slices: int = SLICES, size: int = SIZE, seed: int = 0) -> list[Dataset]:
    """The images of the phantom, from feet to head."""
    with TemporaryDirectory() as folder:
        paths = write_ct_series(folder, slices=slices, size=size, seed=seed)
        return [pydicom.dcmread(path) for path in paths]


def write(folder: Path, images: Iterable[Dataset]) -> Path:
    """Write images as files, named in the order in which they come."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
        image.save_as(folder / f"{number:03}.dcm", enforce_file_format=True)
    return folder


def ingested(catalog: Catalog, *paths: Path | str) -> ServingIndex:
    """Ingest paths, archives in place, and open the index of what is in the table then."""
    selection = catalog.selection(
        [str(path) for path in paths], pattern=None, recurse=True, archives=Archives.IN_PLACE, extract_to=None
    )
    ingest(catalog, selection)
    index = ServingIndex.open(catalog)
    index.sync()
    return index


def turned(images: Sequence[Dataset], rotation: NDArray[np.float64]) -> list[Dataset]:
    """The same images of a patient who lay otherwise."""
    images = deepcopy(list(images))
    for image in images:
        image.ImagePositionPatient = _decimals(rotation @ np.array(image.ImagePositionPatient, float))
        directions = np.reshape(np.array(image.ImageOrientationPatient, float), (2, 3))
        image.ImageOrientationPatient = _decimals((directions @ rotation.T).ravel())
    return images


def _decimals(values: NDArray[np.float64]) -> list[str]:
    return [f"{value:.9f}" for value in values]


def enhanced(images: Sequence[Dataset]) -> Dataset:
    """The same images as the frames of one Enhanced CT Image, in the order in which they come (PS3.3 A.38)."""
    image = deepcopy(images[0])
    image.SOPClassUID = EnhancedCTImageStorage
    image.SOPInstanceUID = generate_uid(entropy_srcs=["enhanced", *(one.SOPInstanceUID for one in images)])
    image.NumberOfFrames = len(images)
    measures, orientation = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = image.PixelSpacing, image.SliceThickness
    orientation.ImageOrientationPatient = image.ImageOrientationPatient
    shared = Dataset()
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    image.SharedFunctionalGroupsSequence = [shared]
    image.PerFrameFunctionalGroupsSequence = [_groups_of_frame(one) for one in images]
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        del image[keyword]
    for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType", "SliceLocation"):
        del image[keyword]
    image.PixelData = b"".join(one.PixelData for one in images)
    return image


def _groups_of_frame(image: Dataset) -> Dataset:
    position, transformation, frame = Dataset(), Dataset(), Dataset()
    position.ImagePositionPatient = image.ImagePositionPatient
    transformation.RescaleSlope, transformation.RescaleIntercept = image.RescaleSlope, image.RescaleIntercept
    transformation.RescaleType = "HU"
    frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [position], [transformation]
    return frame
