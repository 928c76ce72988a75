"""Storing what is made here by the door that uploads come through."""

from __future__ import annotations

from io import BytesIO

from pydicom.dataset import Dataset

from dbx.pixels.catalog.arrivals import LabelState
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
    content = BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    file = uploads.receive()
    try:
        file.write(content.getvalue())
        file.finish()
        (outcome,) = uploads.store([file.path], label_state=label_state)
    finally:
        file.discard()
    if outcome.failure is not None:
        raise StorageError(dataset.SOPInstanceUID, f"cannot be stored: {outcome.failure.name.lower()}")
