"""Storing what is made here by the door that uploads come through."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset

from dbx.pixels.catalog.arrivals import LabelState
from dbx.pixels.catalog.incoming import IncomingFile
from dbx.pixels.catalog.uploads import Uploads
from dbx.pixels.errors import StorageError


def store(dataset: Dataset, uploads: Uploads, label_state: LabelState) -> None:
    """Store a data set as a file of the volume: then it is in the table and in the index.

    Parameters
    ----------
    dataset : pydicom.Dataset
        With file meta information.
    uploads : Uploads
        The door.
    label_state : LabelState
        What it is worth as a label, if it is a segmentation.

    Raises
    ------
    StorageError
        If the volume cannot be written, or does not take the object.
    TableError
        If the table cannot be written.
    """
    store_file(write_file(dataset, uploads.folder()), uploads, label_state)


def write_file(dataset: Dataset, folder: Path) -> Path:
    """Write a data set into the folder where a process, this or another one, receives files.

    Raises
    ------
    StorageError
        If the folder cannot be written.
    """
    content = BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    file = IncomingFile.create(folder)
    try:
        file.write(content.getvalue())
        file.finish()
    except BaseException:
        file.discard()
        raise
    return file.path


def store_file(file: Path, uploads: Uploads, label_state: LabelState) -> str:
    """Store what `write_file` wrote, and return its SOP Instance UID; the file is gone afterwards.

    Raises
    ------
    StorageError
        If the volume cannot be written, or does not take the object.
    TableError
        If the table cannot be written.
    """
    try:
        (outcome,) = uploads.store([file], label_state=label_state)
    finally:
        file.unlink(missing_ok=True)
    if outcome.failure is not None:
        raise StorageError(str(outcome.SOPInstanceUID), f"cannot be stored: {outcome.failure.name.lower()}")
    return str(outcome.SOPInstanceUID)
