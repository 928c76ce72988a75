"""STOW-RS: storing instances (PS3.18 10.5), and deleting what was stored."""

from __future__ import annotations

from functools import partial

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dbx.pixels.catalog.arrivals import is_uid
from dbx.pixels.index import Instance
from dbx.pixels.web.dicomweb.media import DICOM_JSON, DICOM_XML, MediaType, negotiate
from dbx.pixels.web.dicomweb.native_xml import native_xml
from dbx.pixels.web.dicomweb.receiving import received, run_storing
from dbx.pixels.web.dicomweb.store_response import status_of, store_response
from dbx.pixels.web.errors import HttpError
from dbx.pixels.web.server import Server
from dbx.pixels.web.urls import dicomweb_root

_OFFERED = (MediaType(DICOM_JSON), MediaType("application/json"), MediaType(DICOM_XML))


async def _store(request: Request) -> Response:
    server: Server = request.app.state.server
    media_type = negotiate(request, _OFFERED)
    study = request.path_params.get("study")
    if study is not None and not is_uid(study):
        raise HttpError(400, "the study in the URL is no UID")
    async with received(request, server.uploads) as files:
        outcomes = await run_storing(server.uploads.store, files, study)
    dataset = store_response(outcomes, dicomweb_root(request))
    content = native_xml(dataset) if media_type.name == DICOM_XML else orjson.dumps(dataset)
    return Response(content, status_of(outcomes), media_type=media_type.name)


async def _delete(request: Request) -> Response:
    server: Server = request.app.state.server
    uids = [request.path_params.get(level) for level in ("study", "series", "instance")]
    await run_storing(server.uploads.delete, partial(_uploads, server, uids, request))
    return Response(status_code=204)


def _uploads(server: Server, uids: list[str | None], request: Request) -> list[Instance]:
    study, series, instance = uids
    found = server.index.instances(study, series, instance, server.principal(request))
    if not found:
        raise HttpError(404, "there is no such object")
    if not all(map(server.uploads.holds, found)):
        raise HttpError(403, "not all of it was uploaded: what was indexed where it lies is deleted there")
    return found


routes = [
    Route("/studies", _store, methods=["POST"]),
    Route("/studies/{study}", _store, methods=["POST"]),
    Route("/studies/{study}", _delete, methods=["DELETE"]),
    Route("/studies/{study}/series/{series}", _delete, methods=["DELETE"]),
    Route("/studies/{study}/series/{series}/instances/{instance}", _delete, methods=["DELETE"]),
]
