"""Values that metadata only address: bulk data, by the path of tags and item numbers (PS3.18 10.4.1.1.5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from dbx.pixels.dicom.elements import find_value, open_data_set
from dbx.pixels.dicom.inflating import open_dicom
from dbx.pixels.dicom.quiet import reason
from dbx.pixels.dicom.sources import Source
from dbx.pixels.errors import DicomError, PixelsError
from dbx.pixels.index import Instance
from dbx.pixels.web.dicomweb import found
from dbx.pixels.web.dicomweb.access import opened
from dbx.pixels.web.dicomweb.byte_ranges import requested_range
from dbx.pixels.web.dicomweb.media import OCTET_STREAM, MediaType, Part, multipart_related, negotiate
from dbx.pixels.web.dicomweb.transcoding import swapped
from dbx.pixels.web.errors import HttpError
from dbx.pixels.web.streaming import READ_BYTES, StreamedResponse, begun
from dbx.pixels.web.vanished import Vanished

_OFFERED = (MediaType(OCTET_STREAM), MediaType(OCTET_STREAM, multipart=True))

#: VRs whose values are bytes; where the VR depends on other attributes, it is one of these.
_BINARY_VRS = {"OB", "OD", "OF", "OL", "OV", "OW", "UN", "OB or OW", "US or OW", "US or SS or OW"}

_PATH = re.compile(r"[0-9A-Fa-f]{8}(/\d{1,9}/[0-9A-Fa-f]{8})*")


@dataclass(frozen=True)
class BulkValue:
    """A value of bytes, which are read when they are sent.

    Attributes
    ----------
    vr : str
        Its value representation.
    offset, length : int
        Where it lies, in the object or what that inflates to.
    is_big_endian : bool
        How the object is written.
    """

    vr: str
    offset: int
    length: int
    is_big_endian: bool

    def pieces(self, source: Source, first: int, end: int) -> Iterator[bytes]:
        """Read a range of the value, in little endian."""
        with open_dicom(source) as file:
            begin, last = first - first % 8, min(end + -end % 8, self.length)  # whole units, of whatever length
            for at in range(begin, last, READ_BYTES):
                file.seek(self.offset + at)
                piece = file.read(min(READ_BYTES, last - at))
                if self.is_big_endian:
                    piece = swapped(piece, self.vr)
                yield piece[max(first - at, 0) : end - at]


def find_bulk_value(source: Source, path: str) -> BulkValue | None:
    """Find one value.

    Parameters
    ----------
    source : str or Reader
        What the object is read through.
    path : str
        Such as ``00420011``, or ``00880200/0/00282000``: tags, and between them numbers of items from 0.

    Returns
    -------
    BulkValue or None
        None if there is no such value, or it is not binary.

    Raises
    ------
    DicomError
        If the object cannot be read as DICOM.
    StorageError
        If the object cannot be read.
    """
    if not _PATH.fullmatch(path):
        return None
    steps = [int(step, 10 if place % 2 else 16) for place, step in enumerate(path.split("/"))]
    try:
        with open_dicom(source) as file:
            data_set = open_data_set(file)
            value = find_value(data_set, steps)
    except (PixelsError, MemoryError):
        raise
    except Exception as error:  # pydicom raises whatever bad data leads to
        raise DicomError("", f"cannot be read: {reason(error)}") from error
    if value is None or value.vr not in _BINARY_VRS:
        return None
    return BulkValue(*value, is_big_endian=data_set.big_endian)


def retrieve_bulk_data(request: Request) -> Response:
    """Answer with a value, or with a range of it (RFC 9110 section 14).

    Raises
    ------
    HttpError
        404 for what is unknown; 406, 410 and 416.
    """
    instance = found.instance(request)
    media_type = negotiate(request, _OFFERED)
    vanished = request.app.state.server.vanished
    with opened(instance, vanished) as source:
        value = find_bulk_value(source, request.path_params["path"])
    if value is None:
        raise HttpError(404, "the instance has no such bulk data")
    wanted = requested_range(request, value.length)
    pieces = begun(_pieces(instance, vanished, value, wanted.first, wanted.end))
    if media_type.multipart:
        response = multipart_related([Part(OCTET_STREAM, pieces, str(request.url))], OCTET_STREAM)
        response.status_code = wanted.status
        response.headers.update(wanted.headers)
        return response
    headers = {**wanted.headers, "Content-Type": OCTET_STREAM, "Content-Length": str(wanted.end - wanted.first)}
    return StreamedResponse(pieces, wanted.status, headers)


def _pieces(instance: Instance, vanished: Vanished, value: BulkValue, first: int, end: int) -> Iterator[bytes]:
    with opened(instance, vanished) as source:
        yield from value.pieces(source, first, end)
