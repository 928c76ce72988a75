"""The instances that the path of a request names, or the answer that there are none."""

from __future__ import annotations

from starlette.requests import Request

from dbx.pixels.dicom.image import ImagePixel
from dbx.pixels.errors import PixelDataError
from dbx.pixels.index import Instance
from dbx.pixels.web.dicomweb.numbers import whole_number
from dbx.pixels.web.errors import HttpError


def instances(request: Request) -> list[Instance]:
    """Find the instances of the study, the series or the instance of a path.

    Raises
    ------
    HttpError
        404, if there are none that who asks may see.
    """
    server = request.app.state.server
    study, series, sop = (request.path_params.get(name) for name in ("study", "series", "instance"))
    found = server.index.instances(study, series, sop, server.principal(request))
    if not found:
        raise HttpError(404, "there is no such study, series or instance")
    return found


def instance(request: Request) -> Instance:
    """Find the one instance of a path; see `instances`."""
    return instances(request)[0]


def instance_at_once(request: Request) -> Instance:
    """Find the one instance of a path without waiting; see `instances`.

    Raises
    ------
    BlockingIOError
        If it may be there nevertheless.
    """
    server, uids = request.app.state.server, request.path_params
    found = server.index.look_up(uids["study"], uids["series"], uids["instance"], server.principal(request))
    if found is None:
        raise BlockingIOError("the index may have to be waited for")
    return found


def image_of(found: Instance) -> ImagePixel:
    """Return how the pixel data of an instance is stored.

    Raises
    ------
    HttpError
        404, if it has no frames.
    """
    try:
        return ImagePixel.from_row(found.pixels)
    except PixelDataError as error:
        raise HttpError(404, f"there are no frames: {error.problem}") from error


def frames(request: Request, image: ImagePixel) -> list[int]:
    """Return the frames of a path, from 0.

    Raises
    ------
    HttpError
        400, if they are no list of numbers from 1; 404, if the image has not so many.
    """
    numbers = [(whole_number(text) or 0) - 1 for text in request.path_params["frames"].split(",")]
    if min(numbers) < 0:
        raise HttpError(400, "frames are numbers from 1, separated by commas")
    if max(numbers) >= image.frames:
        raise HttpError(404, f"the instance has no more than {image.frames} frames")
    return numbers
