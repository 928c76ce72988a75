"""Opening the objects of instances for a request, and telling the client about those that are not as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dbx.pixels.dicom.sources import Source, read_range
from dbx.pixels.errors import ObjectChangedError, ObjectNotFoundError, StorageError
from dbx.pixels.index import Instance, opening
from dbx.pixels.web.errors import HttpError
from dbx.pixels.web.streaming import READ_BYTES
from dbx.pixels.web.vanished import Vanished


@contextmanager
def opened(instance: Instance, vanished: Vanished) -> Iterator[Source]:
    """Open the object of an instance.

    Parameters
    ----------
    instance : Instance
        As the index knows it.
    vanished : Vanished
        Told if the object is not there.

    Yields
    ------
    str or Reader
        What its bytes are read through.

    Raises
    ------
    HttpError
        410, if it has vanished, or is another one than was indexed.
    """
    try:
        with opening.opened(instance) as source:
            yield source
    except ObjectNotFoundError as error:
        vanished.note(instance.path)
        raise HttpError(410, "the object has vanished from its storage since it was indexed") from error
    except ObjectChangedError as error:
        raise HttpError(410, "the object has changed since it was indexed; another ingest is needed") from error


def stored_pieces(instance: Instance, vanished: Vanished, offset: int, length: int) -> Iterator[bytes]:
    """Read a range of the object of an instance in pieces; see `opened`.

    Raises
    ------
    PixelDataError
        If the object ends before.
    """
    with opened(instance, vanished) as source:
        for start in range(0, length, READ_BYTES):
            yield read_range(source, offset + start, min(READ_BYTES, length - start))


def is_there(instance: Instance, vanished: Vanished) -> bool:
    """Tell whether the object of an instance is as it was indexed, as far as opening it tells."""
    try:
        with opened(instance, vanished):
            return True
    except (HttpError, StorageError):
        return False
