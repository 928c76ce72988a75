"""WADO-RS: the resources that can be retrieved, and frames (PS3.18 10.4)."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dbx.pixels.dicom.image import ImagePixel
from dbx.pixels.errors import PixelDataError
from dbx.pixels.index import Instance
from dbx.pixels.web.dicomweb import found
from dbx.pixels.web.dicomweb.access import opened, stored_pieces
from dbx.pixels.web.dicomweb.at_once import frame_at_once
from dbx.pixels.web.dicomweb.bulkdata import retrieve_bulk_data
from dbx.pixels.web.dicomweb.frames import frame_bytes, stored_place
from dbx.pixels.web.dicomweb.media import Part, multipart_related, one_part
from dbx.pixels.web.dicomweb.metadata import retrieve_metadata
from dbx.pixels.web.dicomweb.objects import retrieve_objects
from dbx.pixels.web.dicomweb.pictures import retrieve_rendered, retrieve_thumbnail
from dbx.pixels.web.dicomweb.syntaxes import Representation, frame_representation
from dbx.pixels.web.dicomweb.wado_uri import retrieve_by_query
from dbx.pixels.web.errors import HttpError
from dbx.pixels.web.streaming import READ_BYTES, begun
from dbx.pixels.web.threads import on_threads
from dbx.pixels.web.vanished import Vanished


async def _frames(request: Request) -> Response:
    try:
        return frame_at_once(request)
    except BlockingIOError:
        return await _frames_on_threads(request)


def _read_frames(request: Request) -> Response:
    instance = found.instance(request)
    image = found.image_of(instance)
    numbers = found.frames(request, image)
    representation = frame_representation(
        request, instance.TransferSyntaxUID, bits_allocated=image.bits_allocated, single=len(numbers) == 1
    )
    parts = begun(_frame_parts(instance, image, numbers, representation, request.app.state.server.vanished))
    if len(numbers) > 1:
        return multipart_related(parts, representation.media_type.name)
    (part,) = parts
    return one_part(part, representation.media_type)


def _frame_parts(
    instance: Instance, image: ImagePixel, numbers: list[int], representation: Representation, vanished: Vanished
) -> Iterator[Part]:
    with opened(instance, vanished) as source:
        for number in numbers:
            place = stored_place(image, number, representation.transfer_syntax)
            if place and place[1] > READ_BYTES and sum(place) <= instance.length:
                yield Part(representation.content_type, begun(stored_pieces(instance, vanished, *place)))
                continue
            try:
                data = frame_bytes(source, image, number, representation.transfer_syntax)
            except PixelDataError as error:
                is_stored = representation.transfer_syntax == image.transfer_syntax
                raise HttpError(404 if is_stored else 406, f"frame {number + 1}: {error.problem}") from error
            yield Part(representation.content_type, data)


_frames_on_threads = on_threads(_read_frames)

_STUDY = "/studies/{study}"
_SERIES = f"{_STUDY}/series/{{series}}"
_INSTANCE = f"{_SERIES}/instances/{{instance}}"
_FRAMES = f"{_INSTANCE}/frames/{{frames}}"

# What viewers ask for most comes first.
routes = [
    Route(_FRAMES, _frames),
    Route(f"{_SERIES}/metadata", retrieve_metadata),
    Route(f"{_INSTANCE}/metadata", retrieve_metadata),
    Route(f"{_STUDY}/metadata", retrieve_metadata),
    Route(f"{_INSTANCE}/bulkdata/{{path:path}}", on_threads(retrieve_bulk_data)),
    *(Route(f"{path}/rendered", on_threads(retrieve_rendered)) for path in (_FRAMES, _INSTANCE, _SERIES, _STUDY)),
    *(Route(f"{path}/thumbnail", on_threads(retrieve_thumbnail)) for path in (_FRAMES, _INSTANCE, _SERIES, _STUDY)),
    *(Route(path, on_threads(retrieve_objects)) for path in (_INSTANCE, _SERIES, _STUDY)),
    Route("/wado", on_threads(retrieve_by_query)),
]
