"""Retrieving pictures of studies, series, instances and frames, and thumbnails of them (PS3.18 10.4.1.1.3, 4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
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
    ignored,
    requested_quality,
    requested_view,
)
from dbx.pixels.web.dicomweb.video import MP4, find_video, video_response
from dbx.pixels.web.dicomweb.warning import warning_header
from dbx.pixels.web.errors import HttpError
from dbx.pixels.web.server import Server
from dbx.pixels.web.streaming import begun

_SINGLE = tuple(MediaType(name) for name in (JPEG, PNG, GIF))
_MULTIPART = tuple(MediaType(name, multipart=True) for name in (JPEG, PNG, GIF))
_THUMBNAIL_BOX = (256, 256)


class _Frames(NamedTuple):
    """Frames of an instance that are to be shown; a header may claim any number of them."""

    instance: Instance
    numbers: Sequence[int]


def retrieve_rendered(request: Request) -> Response:
    """Answer with pictures: of all frames if the client takes several parts, else of the one in the middle.

    A video is answered as one, if the client takes it.

    Raises
    ------
    HttpError
        400, 404, 406 and 410.
    """
    images = _images(request)
    if "instance" in request.path_params and "frames" not in request.path_params:
        video = find_video(request, images[0].instance)
        if video and negotiate(request, (MP4, *_SINGLE, *_MULTIPART)).name == MP4.name:
            return video_response(request, video)
    count = _count(images)
    several_asked = count > 1 and "frames" in request.path_params
    media_type = negotiate(request, _MULTIPART if several_asked else (*_SINGLE, *_MULTIPART))
    view, quality = requested_view(request.query_params), requested_quality(request.query_params.get("quality"))
    if media_type.multipart:
        parts = _parts(request, images, view, media_type.name, quality)
        response = multipart_related(begun(parts), media_type.name)
        response.headers.update(_warning(request))
        return response
    if media_type.name == GIF and "instance" in request.path_params and count > 1:
        return Response(_animation(request, images, view), headers=_warning(request), media_type=GIF)
    return picture_response(request, *_middle(images), view, media_type.name, quality)


def retrieve_thumbnail(request: Request) -> Response:
    """Answer with a small picture of the middle frame of what is asked for.

    Raises
    ------
    HttpError
        400, 404, 406 and 410.
    """
    instance, frame = _middle(_images(request))
    media_type = negotiate(request, _SINGLE)
    view = requested_view(request.query_params, _THUMBNAIL_BOX)
    return picture_response(request, instance, frame, view, media_type.name, requested_quality(None))


def picture_response(request: Request, instance: Instance, frame: int, view: View, name: str, quality: int) -> Response:
    """Answer with one picture.

    Raises
    ------
    HttpError
        406, if the frame cannot be displayed; 410, if its object is not there.
    """
    (picture,) = _pictures(request, [_Frames(instance, [frame])], view)
    return Response(encoded(picture, name, quality), headers=_warning(request), media_type=name)


def _warning(request: Request) -> dict[str, str]:
    return warning_header(request, ignored(request.query_params))


def _images(request: Request) -> list[_Frames]:
    """Find the frames that a path names; instances without pixel data have none."""
    instances = found.instances(request)
    if "frames" in request.path_params:
        return [_Frames(instances[0], found.frames(request, found.image_of(instances[0])))]
    images = [one for one in instances if one.pixels["pixel_data"] is not None]
    if not images:
        raise HttpError(406, "there is no pixel data to make a picture of")
    return [_Frames(one, range(max(one.pixels["NumberOfFrames"] or 1, 1))) for one in images]


def _count(images: list[_Frames]) -> int:
    return sum(len(image.numbers) for image in images)


def _middle(images: list[_Frames]) -> tuple[Instance, int]:
    before, left = _count(images) // 2, iter(images)
    image = next(left)
    while before >= len(image.numbers):
        before -= len(image.numbers)
        image = next(left)
    return image.instance, image.numbers[before]


def _parts(request: Request, images: list[_Frames], view: View, name: str, quality: int) -> Iterator[Part]:
    for picture in _pictures(request, images, view):
        yield Part(name, encoded(picture, name, quality))


def _animation(request: Request, images: list[_Frames], view: View) -> bytes:
    server: Server = request.app.state.server
    milliseconds = frame_time(_metadata(request, images[0].instance, server))
    return animation(_pictures(request, images, view), _count(images), milliseconds)


def _pictures(request: Request, images: list[_Frames], view: View) -> Iterator[NDArray[np.uint8]]:
    server: Server = request.app.state.server
    for instance, numbers in images:
        row = display_row(instance, _metadata(request, instance, server))
        for frame in numbers:
            try:
                with opened(instance, server.vanished) as source:
                    picture = render(source, row, replace(view, frame=frame))
            except PixelDataError as error:
                raise HttpError(406, f"frame {frame + 1} cannot be displayed: {error.problem}") from error
            yield picture


def _metadata(request: Request, instance: Instance, server: Server) -> bytes:
    uids = instance.StudyInstanceUID, instance.SeriesInstanceUID, instance.SOPInstanceUID
    for metadata in server.index.metadata(*uids, server.principal(request)):
        return metadata
    raise HttpError(404, "there is no such instance")
