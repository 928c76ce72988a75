"""Retrieving metadata: JSON as the index has packed it, or XML (PS3.18 10.4.1.1.2)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from itertools import chain
from typing import TypeVar

import orjson
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from dbx.pixels.index import Pack
from dbx.pixels.index.packing import array, is_short, resolved
from dbx.pixels.web.codings import accepted_coding
from dbx.pixels.web.dicomweb.media import DICOM_JSON, DICOM_XML, MediaType, Part, multipart_related, negotiate
from dbx.pixels.web.dicomweb.native_xml import native_xml
from dbx.pixels.web.errors import HttpError
from dbx.pixels.web.streaming import answer_with
from dbx.pixels.web.urls import dicomweb_root

_OFFERED = (MediaType(DICOM_JSON), MediaType("application/json"), MediaType(DICOM_XML, multipart=True))

_Some = TypeVar("_Some")

_CODING = "zstd"


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
    packs = await run_in_threadpool(_found, _packs(request))
    root = dicomweb_root(request).encode()
    if accepted_coding(request, [_CODING]) and is_short(root):
        headers["Content-Encoding"] = _CODING
        pieces = array((resolved(pack.data, root) for pack in packs), compressed=True)
    else:
        pieces = array((resolved(pack.text(), root) for pack in packs), compressed=False)
    return await answer_with(_made_on_threads(pieces), headers)


def _xml(request: Request) -> Response:
    data_sets = _found(_data_sets(request, request.path_params.get("series")))
    return multipart_related((Part(DICOM_XML, native_xml(orjson.loads(text))) for text in data_sets), DICOM_XML)


def _one(request: Request, headers: dict[str, str]) -> Response:
    (data_set,) = _found(_data_sets(request, request.path_params["series"]))
    return Response(b"[" + data_set + b"]", headers=headers)


async def _made_on_threads(pieces: Iterator[bytes]) -> AsyncGenerator[bytes]:
    async for piece in iterate_in_threadpool(pieces):
        yield piece


def _packs(request: Request) -> Iterator[Pack]:
    """Yield the metadata of a series, or of all series of a study."""
    server, uids = request.app.state.server, request.path_params
    study, principal = uids["study"], server.principal(request)
    for series in [uids["series"]] if "series" in uids else server.index.series_uids(study, principal):
        yield from server.index.packed_metadata(study, series, principal)


def _data_sets(request: Request, series: str | None) -> Iterator[bytes]:
    server, uids = request.app.state.server, request.path_params
    root = dicomweb_root(request).encode()
    for text in server.index.metadata(uids["study"], series, uids.get("instance"), server.principal(request)):
        yield resolved(text, root)


def _found(some: Iterator[_Some]) -> Iterator[_Some]:
    """Return what is found, of which there must be something."""
    for first in some:
        return chain([first], some)
    raise HttpError(404, "there is no such study, series or instance")
