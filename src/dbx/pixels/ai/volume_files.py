"""Volumes as files that other programs read and write: NRRD and NIfTI."""

from __future__ import annotations

import gzip
import io
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbx.pixels.ai.extra import extra_ai
from dbx.pixels.errors import ArgumentError

#: What turns the coordinates of a NRRD's space into those of DICOM: to the left, to the back, to the head.
_TO_LPS: Final = {
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
}
_ENCODINGS = ("raw", "gzip", "gz")
_REMEDY = "Write a volume of three axes as NRRD (.nrrd) or NIfTI (.nii, .nii.gz)."


class Volume(NamedTuple):
    """Voxels, and where they lie.

    Attributes
    ----------
    values : array of shape (slices, rows, columns)
        As they are in the file.
    affine : array of shape (4, 4), or None
        From voxels (column, row, slice) to millimetres in the patient's coordinates, which are LPS (PS3.3 section
        C.7.6.2.1.1); None if the file does not say.
    """

    values: NDArray[Any]
    affine: NDArray[np.float64] | None


def write_nrrd(values: NDArray[Any], affine: NDArray[np.float64], *, compress: bool = False) -> io.BytesIO:
    """Write a volume as NRRD: columns fastest, coordinates as DICOM's, not compressed unless told.

    Parameters
    ----------
    values : array of shape (slices, rows, columns)
        Voxels.
    affine : array of shape (4, 4)
        As of `Volume`.
    compress : bool
        Whether to compress with gzip.

    Raises
    ------
    EngineError
        If pynrrd is not installed.
    """
    with extra_ai():
        import nrrd
    header = {
        "space": "left-posterior-superior",
        "space directions": affine[:3, :3].T,
        "space origin": affine[:3, 3],
        "kinds": ["domain"] * 3,
        "encoding": "gzip" if compress else "raw",
    }
    file = io.BytesIO()
    nrrd.write(file, values.transpose(2, 1, 0), header, index_order="F")
    file.seek(0)
    return file


def read_volume(file: BinaryIO, name: str, most_voxels: int) -> Volume:
    """Read a volume from a file that somebody sent.

    Parameters
    ----------
    file : binary file
        Its content.
    name : str
        Its name, whose ending tells what it is.
    most_voxels : int
        What is larger is refused, before it is read: compressed files are small.

    Raises
    ------
    ArgumentError
        If it is no such file, or larger.
    EngineError
        If what reads it is not installed.
    """
    endings = {".nrrd": _read_nrrd, ".nii": _read_nifti, ".nii.gz": _read_nifti}
    for ending, read in endings.items():
        if name.lower().endswith(ending):
            volume = read(file, most_voxels)
            if volume.values.dtype.kind not in "biuf":
                raise ArgumentError("the file", f"has voxels of type {volume.values.dtype}, no numbers", _REMEDY)
            return volume
    raise ArgumentError("the file", "is of a kind that is not read", _REMEDY)


def _read_nrrd(file: BinaryIO, most_voxels: int) -> Volume:
    with extra_ai():
        import nrrd
    with _understood("NRRD"):
        header = nrrd.read_header(file)
        sizes = [int(size) for size in header["sizes"]]
        _check(sizes, most_voxels)
        if {"data file", "datafile"} & header.keys() or header["encoding"] not in _ENCODINGS:
            raise ValueError("its data are elsewhere, or of an encoding besides raw and gzip")
        if header["encoding"] != "raw":
            # One byte more than there can be shows that there are more: eight is the longest of a voxel.
            most = 8 * math.prod(sizes) + 1
            file = io.BytesIO(zlib.decompressobj(wbits=31).decompress(file.read(), most))
        values = nrrd.read_data({**header, "encoding": "raw"}, io.BytesIO(file.read()))
        return Volume(values.transpose(2, 1, 0), _affine(header))


def _affine(header: Any) -> NDArray[np.float64] | None:
    """Return where the voxels of a NRRD lie."""
    if "space" not in header or "space directions" not in header:
        return None
    signs = _TO_LPS.get(str(header["space"]).lower())
    if signs is None:
        raise ValueError(f"its space is {header['space']}")
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(header["space directions"], float).T
    affine[:3, 3] = np.asarray(header.get("space origin", (0, 0, 0)), float)
    return np.diag([*signs, 1]) @ affine


def _read_nifti(file: BinaryIO, most_voxels: int) -> Volume:
    with extra_ai():
        from nibabel import Nifti1Image
    with _understood("NIfTI"):
        is_compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        # Only as much is unpacked as the header says that there is.
        stream: Any = gzip.GzipFile(fileobj=file, mode="rb") if is_compressed else file
        image = Nifti1Image.from_stream(stream)
        _check(list(image.shape), most_voxels)
        values = np.asanyarray(image.dataobj)
        return Volume(values.transpose(2, 1, 0), np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine)


def _check(sizes: list[int], most_voxels: int) -> None:
    if len(sizes) != 3 or min(sizes) < 1:
        raise ValueError(f"it has {len(sizes)} axes")
    if math.prod(sizes) > most_voxels:
        raise ValueError(f"it has {' x '.join(map(str, sizes))} voxels, and {most_voxels} are the most")


@contextmanager
def _understood(kind: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # what is read may be anything, and the libraries raise whatever it leads to
        problem = f"cannot be read as {kind}: {' '.join(str(error).split())}"
        raise ArgumentError("the file", problem, _REMEDY) from error
