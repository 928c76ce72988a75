"""WADO-URI: an object or a picture of it, asked for by the query of a URL (PS3.18 section 9)."""

from __future__ import annotations

from dataclasses import replace

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from dbx.pixels.dicom.image import ImagePixel
from dbx.pixels.dicom.picture import Region, View
from dbx.pixels.index import Instance
from dbx.pixels.web.dicomweb import found
from dbx.pixels.web.dicomweb.media import DICOM, MediaType, negotiate
from dbx.pixels.web.dicomweb.numbers import whole_number
from dbx.pixels.web.dicomweb.objects import object_response
from dbx.pixels.web.dicomweb.pictures import picture_response
from dbx.pixels.web.dicomweb.rendered import (
    JPEG,
    LONGEST_EDGE,
    MOST_PIXELS,
    PNG,
    requested_quality,
    requested_view,
    requested_window,
)
from dbx.pixels.web.dicomweb.syntaxes import DEFAULT, object_syntax
from dbx.pixels.web.errors import HttpError

_PICTURES = (MediaType(JPEG), MediaType(PNG))


def retrieve_by_query(request: Request) -> Response:
    """Answer with one object, or one picture.

    Raises
    ------
    HttpError
        400, 404, 406 and 410.
    """
    query = request.query_params
    if query.get("requestType") != "WADO":
        raise HttpError(400, "requestType has to be WADO")
    if query.get("anonymize", "no") != "no":
        raise HttpError(406, "objects cannot be had without what identifies the patient: anonymize is not supported")
    instance = _instance(request)
    single_frame = instance.pixels["pixel_data"] is not None and (instance.pixels["NumberOfFrames"] or 1) == 1
    is_picture = single_frame or "frameNumber" in query
    offered = (*_PICTURES, MediaType(DICOM)) if is_picture else (MediaType(DICOM), *_PICTURES)
    media_type = _content_type(request, offered)
    if media_type.name != DICOM:
        image = found.image_of(instance)
        frame, quality = _frame(query, image.frames), requested_quality(query.get("imageQuality"))
        return picture_response(request, instance, frame, _view(query, image), media_type.name, quality)
    syntax = object_syntax(instance.TransferSyntaxUID, [query.get("transferSyntax") or DEFAULT])
    if syntax is None:
        raise HttpError(406, "the instance cannot be had in this transfer syntax")
    return object_response(instance, syntax, request.app.state.server.vanished)


def _instance(request: Request) -> Instance:
    uids = [request.query_params.get(name) for name in ("studyUID", "seriesUID", "objectUID")]
    if not all(uids):
        raise HttpError(400, "studyUID, seriesUID and objectUID are needed")
    server = request.app.state.server
    instances = server.index.instances(*uids, server.principal(request))
    if not instances:
        raise HttpError(404, "there is no such instance")
    return instances[0]


def _content_type(request: Request, offered: tuple[MediaType, ...]) -> MediaType:
    """Choose by the parameter ``contentType``, a list of media types, else by the Accept header."""
    text = request.query_params.get("contentType")
    if text is None:
        return negotiate(request, offered)
    for range_ in map(MediaType.parse, text.split(",")):
        for candidate in offered:
            if range_.admits(candidate):
                return candidate
    raise HttpError(406, f"can be had as {', '.join(map(str, offered))}")


def _frame(query: QueryParams, frames: int) -> int:
    text = query.get("frameNumber")
    if text is None:
        return frames // 2
    number = whole_number(text)
    if number is None or not 1 <= number <= frames:
        raise HttpError(400, f"frameNumber is a number from 1 to {frames}")
    return number - 1


def _view(query: QueryParams, image: ImagePixel) -> View:
    """Read how a picture is wanted (PS3.18 9.1.2.3)."""
    view = View()
    if "rows" in query or "columns" in query:
        columns, rows = query.get("columns", ""), query.get("rows", "")
        view = requested_view(QueryParams({"viewport": f"{columns or _longest(rows)},{rows or _longest(columns)}"}))
    if "windowCenter" in query or "windowWidth" in query:
        view = replace(view, window=requested_window(query.get("windowCenter", ""), query.get("windowWidth", "")))
    if "region" in query:
        view = replace(view, region=_region(query["region"], image))
    return view


def _longest(side: str) -> int:
    """Return what the other side of a picture may have."""
    return min(LONGEST_EDGE, MOST_PIXELS // (whole_number(side) or 1))


def _region(text: str, image: ImagePixel) -> Region:
    """Read left, top, right and bottom as parts of the image's width and height."""
    try:
        left, top, right, bottom = map(float, text.split(","))
    except ValueError:
        left = top = right = bottom = -1
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise HttpError(400, "region is xmin,ymin,xmax,ymax, each from 0 to 1")
    x, y = int(left * image.columns), int(top * image.rows)
    return Region(x, y, max(round(right * image.columns) - x, 1), max(round(bottom * image.rows) - y, 1))
