"""Retrieving pictures of studies, series, instances and frames, and thumbnails of them (PS3.18 10.4.1.1.3, 4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from dbx.pixels.dicom.picture import View, render
from dbx.pixels.errors import PixelDataError
from dbx.pixels.index import Instance
from dbx.pixels.web.dicomweb import found
from dbx.pixels.web.dicomweb.access import opened
from dbx.pixels.web.dicomweb.media import MediaType, Part, multipart_related, negotiate
from dbx.pixels.web.dicomweb.rendered import (
    GIF,
    JPEG,
    PNG,
    animation,
    display_row,
    encoded,
    frame_time,
    requested_quality,
    requested_view,
)
from dbx.pixels.web.errors import HttpError
from dbx.pixels.web.server import Server

_SINGLE = tuple(MediaType(name) for name in (JPEG, PNG, GIF))
_MULTIPART = tuple(MediaType(name, multipart=True) for name in (JPEG, PNG, GIF))
_THUMBNAIL_BOX = (256, 256)


class _Target(NamedTuple):
    """A frame of an instance that is to be shown."""

    instance: Instance
    frame: int


def retrieve_rendered(request: Request) -> Response:
    """Answer with pictures: of all frames if the client takes several parts, else of the one in the middle.

    Raises
    ------
    HttpError
        400, 404, 406 and 410.
    """
    targets = _targets(request)
    several_asked = len(targets) > 1 and "frames" in request.path_params
    media_type = negotiate(request, _MULTIPART if several_asked else (*_SINGLE, *_MULTIPART))
    view, quality = requested_view(request.query_params), requested_quality(request.query_params.get("quality"))
    if media_type.multipart:
        parts = _parts(request, targets, view, media_type.name, quality)
        return multipart_related(chain([next(parts)], parts), media_type.name)
    if media_type.name == GIF and "instance" in request.path_params and len(targets) > 1:
        return Response(_animation(request, targets, view), media_type=GIF)
    return picture_response(request, _middle(targets), view, media_type.name, quality)


def retrieve_thumbnail(request: Request) -> Response:
    """Answer with a small picture of the middle frame of what is asked for.

    Raises
    ------
    HttpError
        400, 404, 406 and 410.
    """
    target = _middle(_targets(request))
    media_type = negotiate(request, _SINGLE)
    view = requested_view(request.query_params, _THUMBNAIL_BOX)
    return picture_response(request, target, view, media_type.name, requested_quality(None))


def picture_response(request: Request, target: tuple[Instance, int], view: View, name: str, quality: int) -> Response:
    """Answer with one picture.

    Raises
    ------
    HttpError
        406, if the frame cannot be displayed; 410, if its object is not there.
    """
    (picture,) = _pictures(request, [_Target(*target)], view)
    return Response(encoded(picture, name, quality), media_type=name)


def _targets(request: Request) -> list[_Target]:
    """Find the frames that a path names; instances without pixel data have none."""
    instances = found.instances(request)
    if "frames" in request.path_params:
        return [_Target(instances[0], frame) for frame in found.frames(request, found.image_of(instances[0]))]
    images = [one for one in instances if one.pixels["pixel_data"] is not None]
    if not images:
        raise HttpError(406, "there is no pixel data to make a picture of")
    return [_Target(one, frame) for one in images for frame in range(max(one.pixels["NumberOfFrames"] or 1, 1))]


def _middle(targets: list[_Target]) -> _Target:
    return targets[len(targets) // 2]


def _parts(request: Request, targets: list[_Target], view: View, name: str, quality: int) -> Iterator[Part]:
    for picture in _pictures(request, targets, view):
        yield Part(name, encoded(picture, name, quality))


def _animation(request: Request, targets: list[_Target], view: View) -> bytes:
    server: Server = request.app.state.server
    milliseconds = frame_time(_metadata(request, targets[0].instance, server))
    return animation(_pictures(request, targets, view), len(targets), milliseconds)


def _pictures(request: Request, targets: list[_Target], view: View) -> Iterator[NDArray[np.uint8]]:
    server: Server = request.app.state.server
    known: Instance | None = None
    for instance, frame in targets:
        if instance is not known:
            row, known = display_row(instance, _metadata(request, instance, server)), instance
        try:
            with opened(instance, server.vanished) as source:
                yield render(source, row, replace(view, frame=frame))
        except PixelDataError as error:
            raise HttpError(406, f"frame {frame + 1} cannot be displayed: {error.problem}") from error


def _metadata(request: Request, instance: Instance, server: Server) -> bytes:
    uids = instance.StudyInstanceUID, instance.SeriesInstanceUID, instance.SOPInstanceUID
    for metadata in server.index.metadata(*uids, server.principal(request)):
        return metadata
    raise HttpError(404, "there is no such instance")
