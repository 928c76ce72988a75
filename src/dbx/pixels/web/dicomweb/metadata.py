"""Retrieving metadata: JSON as the index has packed it, or XML (PS3.18 10.4.1.1.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from dbx.pixels.index import BULK_ROOT, Level, PackedSeries, Search, ServingIndex
from dbx.pixels.index.packing import decompress
from dbx.pixels.table.principal import Principal
from dbx.pixels.web.dicomweb.media import DICOM_JSON, DICOM_XML, MediaType, Part, multipart_related, negotiate
from dbx.pixels.web.dicomweb.native_xml import native_xml
from dbx.pixels.web.dicomweb.urls import service_root
from dbx.pixels.web.errors import HttpError

_OFFERED = (MediaType(DICOM_JSON), MediaType("application/json"), MediaType(DICOM_XML, multipart=True))

_SERIES_UID = "0020000E"
_ENCODING = "zstd"


def retrieve_metadata(request: Request) -> Response:
    """Answer with the metadata of all instances of a study, a series, or of one instance.

    Raises
    ------
    HttpError
        404 for what is unknown, 406.
    """
    media_type = negotiate(request, _OFFERED)
    server = request.app.state.server
    principal = server.principal(request)
    study = request.path_params["study"]
    series, sop = request.path_params.get("series"), request.path_params.get("instance")
    root = service_root(request).encode()
    if media_type.multipart:
        datasets = _found(server.index.metadata(study, series, sop, principal))
        parts = (Part(DICOM_XML, native_xml(orjson.loads(_resolved(text, root)))) for text in datasets)
        return multipart_related(parts, DICOM_XML)
    headers = {"Content-Type": media_type.name, "Vary": "Accept, Accept-Encoding"}
    if sop is None and series is not None:
        packed = server.index.packed_metadata(study, series, principal)
        if packed:
            return _series(request, packed, root, headers)
    if sop is None and series is None:
        return _study(server.index, study, principal, root, headers)
    datasets = _found(server.index.metadata(study, series, sop, principal))
    return Response(_resolved(b"[" + b",".join(datasets) + b"]", root), headers=headers)


def _series(request: Request, packed: PackedSeries, root: bytes, headers: dict[str, str]) -> Response:
    if not packed.has_bulk and _accepts_encoding(request):
        return Response(packed.data, headers={**headers, "Content-Encoding": _ENCODING})
    return Response(_text(packed, root), headers=headers)


def _study(index: ServingIndex, study: str, principal: Principal, root: bytes, headers: dict[str, str]) -> Response:
    found = index.search(Search(Level.SERIES, study=study), principal)
    uids = [dataset[_SERIES_UID]["Value"][0] for dataset in found.datasets]
    if not uids:
        raise HttpError(404, "there is no such study")

    def arrays() -> Iterator[bytes]:
        for uid in uids:
            packed = index.packed_metadata(study, uid, principal)
            if packed:
                yield _text(packed, root)
            else:
                yield _resolved(b"[" + b",".join(index.metadata(study, uid, None, principal)) + b"]", root)

    return StreamingResponse(_joined(arrays()), headers=headers)


def _joined(arrays: Iterable[bytes]) -> Iterator[memoryview]:
    """Make one JSON array of several, without copying them."""
    separator = b"["
    for array in arrays:
        if len(array) > 2:  # what was there a moment ago may have been removed
            yield memoryview(separator)
            yield memoryview(array)[1:-1]
            separator = b","
    yield memoryview(b"]" if separator == b"," else b"[]")


def _text(packed: PackedSeries, root: bytes) -> bytes:
    text = decompress(packed.data, packed.size)
    return _resolved(text, root) if packed.has_bulk else text


def _resolved(text: bytes, root: bytes) -> bytes:
    return text.replace(BULK_ROOT, root)


def _found(datasets: Iterator[bytes]) -> Iterator[bytes]:
    """Return the data sets, of which there must be one at least."""
    for first in datasets:
        return chain([first], datasets)
    raise HttpError(404, "there is no such study, series or instance")


def _accepts_encoding(request: Request) -> bool:
    for text in request.headers.getlist("accept-encoding"):
        for coding in text.lower().split(","):
            name, _, parameters = coding.partition(";")
            if name.strip() == _ENCODING:
                return parameters.replace(" ", "").rstrip("0.") != "q="
    return False
