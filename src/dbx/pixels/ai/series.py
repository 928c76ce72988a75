"""A series as one volume: its images in the order of their positions, and where they lie in the patient."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np
import orjson
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dbx.pixels.ai.geometry import stack
from dbx.pixels.ai.slices import Json, Slice, slices_of, text_of
from dbx.pixels.dicom.image import ImagePixel
from dbx.pixels.dicom.pixels import decode
from dbx.pixels.dicom.quiet import quiet
from dbx.pixels.engine.pool import map_ordered
from dbx.pixels.errors import PixelDataError, SeriesNotFoundError, StorageError, UnsuitableSeriesError
from dbx.pixels.index import ServingIndex
from dbx.pixels.index.opening import opened
from dbx.pixels.storage.paths import is_remote
from dbx.pixels.table.principal import Principal

#: Frames of one object that are decoded one after the other; other threads take the next ones.
_FRAMES_AT_ONCE = 16

#: Slices that are fetched from a store at once: answers take longer than decoding.
_FETCHES_AT_ONCE = 16

#: Functional groups, of which a header would be long, and pixel data.
_NO_HEADER = ("52009229", "52009230", "7FE00010")


@dataclass(frozen=True, eq=False)
class Series:
    """A series whose images are parallel, of one size and evenly spaced.

    Attributes
    ----------
    StudyInstanceUID, SeriesInstanceUID, Modality : str
        As in its instances.
    slices : tuple of Slice
        In the order of their positions along the normal of the planes.
    shape : tuple of int
        Slices, rows and columns.
    affine : array of shape (4, 4)
        From voxels (column, row, slice) to millimetres in the patient's coordinates, which are LPS (PS3.3 section
        C.7.6.2.1.1). Its three axes are perpendicular and right-handed.
    metadata : mapping
        Of the first slice's instance, in the DICOM JSON model.
    """

    StudyInstanceUID: str
    SeriesInstanceUID: str
    Modality: str
    slices: tuple[Slice, ...]
    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    metadata: Json

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres from slice to slice, from row to row and from column to column."""
        column, row, between = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return between, row, column

    @cached_property
    def header(self) -> Dataset:
        """The data set of the first slice's instance, without pixel data, functional groups and other bulk."""
        header = Dataset()
        with quiet():
            for tag, element in self.metadata.items():
                if tag in _NO_HEADER or "BulkDataURI" in element:
                    continue
                with suppress(Exception):  # pydicom raises whatever a bad value leads to: that costs the element
                    header.update(Dataset.from_json({tag: element}, lambda _uri: None))
        return header

    @cached_property
    def fingerprint(self) -> str:
        """What changes when an object of the series does, or one comes or goes."""
        objects = {(one.instance.path, one.instance.modificationTime, one.instance.length) for one in self.slices}
        return hashlib.sha256(repr(sorted(objects)).encode()).hexdigest()

    def volume(self, on_slice: Callable[[], None] | None = None) -> NDArray[np.float32]:
        """Read the pixels: values of the modality, such as Hounsfield units, of shape (slices, rows, columns).

        Parameters
        ----------
        on_slice : callable, optional
            Called after each slice; what it raises ends the reading.

        Raises
        ------
        UnsuitableSeriesError
            If a frame cannot be decoded.
        StorageError
            If an object cannot be read, or is another one than was indexed. It names the series, not the object.
        """
        volume = np.empty(self.shape, np.float32)
        is_far = any(is_remote(one.instance.local_path) for one in self.slices)
        workers = _FETCHES_AT_ONCE if is_far else None
        with closing(map_ordered(lambda at: self._read(at, volume), self._portions(), workers=workers)) as read:
            for count in read:
                if on_slice:
                    for _ in range(count):
                        on_slice()
        return volume

    def _portions(self) -> Iterator[list[int]]:
        """Yield places of slices that are read one after the other: of one object, in the order of its frames."""
        places = sorted(range(len(self.slices)), key=lambda at: (self.slices[at].instance.path, self.slices[at].frame))
        for _, members in groupby(places, lambda at: self.slices[at].instance.path):
            frames = list(members)
            for start in range(0, len(frames), _FRAMES_AT_ONCE):
                yield frames[start : start + _FRAMES_AT_ONCE]

    def _read(self, places: Sequence[int], volume: NDArray[np.float32]) -> int:
        instance = self.slices[places[0]].instance
        try:
            image = ImagePixel.from_row(instance.pixels)
            with opened(instance) as source:
                for at in places:
                    values = decode(source, image, self.slices[at].frame)
                    if values.shape != self.shape[1:]:
                        raise PixelDataError("", "is not of the size that its header says")
                    np.multiply(values, self.slices[at].slope, out=volume[at], casting="unsafe")
                    volume[at] += self.slices[at].intercept
        except PixelDataError as error:
            raise UnsuitableSeriesError(
                self.SeriesInstanceUID, f"has an image that cannot be used: {error.problem}"
            ) from error
        except StorageError as error:
            raise type(error)(
                self.SeriesInstanceUID, f"has an object that cannot be read: {error.problem}", error.remedy
            ) from error
        return len(places)


def read_series(index: ServingIndex, series_uid: str, principal: Principal) -> Series:
    """Look a series up; its pixels are not read yet.

    Parameters
    ----------
    index : ServingIndex
        Where it is looked up.
    series_uid : str
        Series Instance UID.
    principal : Principal
        Who reads.

    Raises
    ------
    SeriesNotFoundError
        If there is no such series, or the principal may not see it.
    UnsuitableSeriesError
        If its images do not make one volume.
    """
    instances = index.instances(None, series_uid, None, principal)
    if not instances:
        raise SeriesNotFoundError(series_uid, "there is no such series", "Ingest it, or check its Series Instance UID.")
    studies = {instance.StudyInstanceUID for instance in instances}
    if len(studies) > 1:
        raise UnsuitableSeriesError(series_uid, f"is in {len(studies)} studies", "Give their series UIDs of their own.")
    (study,) = studies
    data_sets = map(orjson.loads, index.metadata(study, series_uid, None, principal))
    metadata = {text_of(data_set, "SOPInstanceUID"): data_set for data_set in data_sets}
    slices, affine = stack(
        [
            one
            for instance in instances
            if instance.SOPInstanceUID in metadata  # else it has left the index since
            for one in slices_of(instance, metadata[instance.SOPInstanceUID])
        ]
    )
    first = slices[0].instance
    return Series(
        StudyInstanceUID=study,
        SeriesInstanceUID=series_uid,
        Modality=text_of(metadata[first.SOPInstanceUID], "Modality") or "",
        slices=tuple(slices),
        shape=(len(slices), first.pixels["Rows"], first.pixels["Columns"]),
        affine=affine,
        metadata=metadata[first.SOPInstanceUID],
    )
