"""Retrieving metadata: JSON as the index has packed it, or XML (PS3.18 10.4.1.1.2)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from itertools import chain

import orjson
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from dbx.pixels.index import BULK_ROOT, PackedSeries
from dbx.pixels.index.packing import open_text
from dbx.pixels.web.dicomweb.media import DICOM_JSON, DICOM_XML, MediaType, Part, multipart_related, negotiate
from dbx.pixels.web.dicomweb.native_xml import native_xml
from dbx.pixels.web.dicomweb.streaming import PIECE, StreamedResponse, answer_with
from dbx.pixels.web.dicomweb.urls import service_root
from dbx.pixels.web.errors import HttpError

_OFFERED = (MediaType(DICOM_JSON), MediaType("application/json"), MediaType(DICOM_XML, multipart=True))

_ENCODING = "zstd"


async def retrieve_metadata(request: Request) -> Response:
    """Answer with the metadata of all instances of a study, a series, or of one instance.

    While a slow client is waited for, no connection to the index is open, and little is in memory.

    Raises
    ------
    HttpError
        404 for what is unknown, 406.
    """
    media_type = negotiate(request, _OFFERED)
    if media_type.multipart:
        return await run_in_threadpool(_xml, request)
    headers = {"Content-Type": media_type.name, "Vary": "Accept, Accept-Encoding"}
    if "instance" in request.path_params:
        return await run_in_threadpool(_one, request, headers)
    if "series" in request.path_params and _accepts_encoding(request):
        stored = await run_in_threadpool(_as_stored, request, headers)
        if stored:
            return stored
    return await answer_with(_array(request), headers)


def _xml(request: Request) -> Response:
    data_sets = _found(_data_sets(request, request.path_params.get("series")))
    return multipart_related((Part(DICOM_XML, native_xml(orjson.loads(text))) for text in data_sets), DICOM_XML)


def _one(request: Request, headers: dict[str, str]) -> Response:
    (data_set,) = _found(_data_sets(request, request.path_params["series"]))
    return Response(b"[" + data_set + b"]", headers=headers)


def _as_stored(request: Request, headers: dict[str, str]) -> Response | None:
    """Answer with a series as it is stored, if it is known and all of it may be seen."""
    packed = _packed(request, request.path_params["series"])
    if packed is None or packed.has_bulk:
        return None
    headers |= {"Content-Encoding": _ENCODING}
    second = next(packed.others, None)
    if second is None:
        return Response(packed.first, headers=headers)
    return StreamedResponse(chain([packed.first, second], packed.others), headers=headers)


async def _array(request: Request) -> AsyncGenerator[bytes]:
    """Yield one JSON array of all data sets, in pieces.

    Raises
    ------
    HttpError
        404, before the first piece, if there are none.
    """
    before = b"["
    for uid in await run_in_threadpool(_series_uids, request):
        packed = await run_in_threadpool(_packed, request, uid)
        pieces: AsyncIterator[bytes]
        if packed:
            pieces = _unpacked(packed, service_root(request).encode())
        else:  # not all of it may be seen
            pieces = iterate_in_threadpool(_gathered(_data_sets(request, uid)))
        async for piece in pieces:
            if before:
                yield before
                before = b""
            yield piece
        before = before or b","
    if before == b"[":
        raise HttpError(404, "there is no such study or series")
    yield b"]"


async def _unpacked(packed: PackedSeries, root: bytes) -> AsyncGenerator[bytes]:
    """Yield what is inside the brackets of a series' array. Decompressing a piece takes less than going to a thread."""
    rest, left = b"", packed.size - 2
    text = open_text(packed.first)
    text.read(1)
    while left:
        piece = text.read(min(PIECE, left))
        if not piece:
            text = open_text(await run_in_threadpool(next, packed.others))
            continue
        left -= len(piece)
        if packed.has_bulk:  # roots are inside of quotation marks, so that none is cut in two
            piece, quote, rest = (rest + piece).rpartition(b'"')
            piece = (piece + quote).replace(BULK_ROOT, root)
        yield piece
    yield rest


def _gathered(data_sets: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what is inside the brackets of an array of data sets, in pieces that are not small."""
    separator, some = b"", []
    for data_set in data_sets:
        some.append(data_set)
        if sum(map(len, some)) >= PIECE:
            yield separator + b",".join(some)
            separator, some = b",", []
    if some:
        yield separator + b",".join(some)


def _data_sets(request: Request, series: str | None) -> Iterator[bytes]:
    server, uids = request.app.state.server, request.path_params
    root = service_root(request).encode()
    for text in server.index.metadata(uids["study"], series, uids.get("instance"), server.principal(request)):
        yield text.replace(BULK_ROOT, root)


def _found(data_sets: Iterator[bytes]) -> Iterator[bytes]:
    """Return data sets, of which there must be one at least."""
    for first in data_sets:
        return chain([first], data_sets)
    raise HttpError(404, "there is no such study, series or instance")


def _series_uids(request: Request) -> list[str]:
    server, uids = request.app.state.server, request.path_params
    return [uids["series"]] if "series" in uids else server.index.series_uids(uids["study"], server.principal(request))


def _packed(request: Request, series: str) -> PackedSeries | None:
    server = request.app.state.server
    return server.index.packed_metadata(request.path_params["study"], series, server.principal(request))


def _accepts_encoding(request: Request) -> bool:
    for text in request.headers.getlist("accept-encoding"):
        for coding in text.lower().split(","):
            name, _, parameters = coding.partition(";")
            if name.strip() == _ENCODING:
                return parameters.replace(" ", "").rstrip("0.") != "q="
    return False
