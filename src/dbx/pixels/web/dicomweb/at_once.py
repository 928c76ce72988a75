"""Frames that need not be waited for: the event loop answers with them, as a thread takes longer than they do."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from dbx.pixels.index.opening import read_at_once
from dbx.pixels.web.dicomweb import found
from dbx.pixels.web.dicomweb.frames import stored_place
from dbx.pixels.web.dicomweb.media import multipart_to_fill
from dbx.pixels.web.dicomweb.syntaxes import Representation, frame_representation

#: Bytes of a frame that others wait for in the meantime: moving them takes a tenth of a millisecond.
_MOST_BYTES = 1 << 20


def frame_at_once(request: Request) -> Response:
    """Answer with one frame as it is stored, if both index and object say at once what is needed.

    Raises
    ------
    BlockingIOError
        If the answer has to be waited for, or worked for.
    HttpError
        400, 404 and 406.
    """
    instance = found.instance_at_once(request)
    image = found.image_of(instance)
    numbers = found.frames(request, image)
    representation = frame_representation(
        request, instance.TransferSyntaxUID, bits_allocated=image.bits_allocated, single=len(numbers) == 1
    )
    place = stored_place(image, numbers[0], representation.transfer_syntax) if len(numbers) == 1 else None
    if place is None or place[1] > _MOST_BYTES:
        raise BlockingIOError("there is more to do than to read one frame")
    offset, length = place
    response, content = _to_fill(representation, length)
    read_at_once(instance, offset, content)
    return response


def _to_fill(representation: Representation, length: int) -> tuple[Response, memoryview]:
    if representation.media_type.multipart:
        return multipart_to_fill(representation.content_type, length, representation.media_type.name)
    content = memoryview(bytearray(length))
    return Response(content, headers={"Content-Type": representation.content_type}), content
