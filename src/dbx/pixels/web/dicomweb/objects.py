"""Retrieving whole instances: one, or all of a series or a study (PS3.18 10.4.1.1.1)."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import Response

from dbx.pixels.errors import PixelDataError
from dbx.pixels.index import Instance
from dbx.pixels.index.urls import resource_url
from dbx.pixels.web.dicomweb import found
from dbx.pixels.web.dicomweb.access import is_there, opened, stored_pieces
from dbx.pixels.web.dicomweb.media import DICOM, MediaType, Part, multipart_related
from dbx.pixels.web.dicomweb.syntaxes import AS_STORED, object_syntax, object_syntaxes
from dbx.pixels.web.dicomweb.transcoding import explicit_little_endian
from dbx.pixels.web.dicomweb.warning import warning_header
from dbx.pixels.web.errors import HttpError
from dbx.pixels.web.streaming import StreamedResponse, begun
from dbx.pixels.web.urls import dicomweb_root
from dbx.pixels.web.vanished import Vanished

_MULTIPART, _SINGLE = MediaType(DICOM, multipart=True), MediaType(DICOM)


def retrieve_objects(request: Request) -> Response:
    """Answer with the instances of a study or a series, or with one instance.

    Of several instances those that are there and can be had as the client wants them are sent, with status 206 if that
    is not all of them.

    Raises
    ------
    HttpError
        404 for what is unknown; 406 and 410, if nothing is left to send.
    """
    instances = found.instances(request)
    is_one = "instance" in request.path_params
    media_type, wanted = object_syntaxes(request, (_MULTIPART, _SINGLE) if is_one else (_MULTIPART,))
    suitable = [(one, syntax) for one in instances if (syntax := object_syntax(one.TransferSyntaxUID, wanted))]
    if not suitable:
        raise HttpError(406, "the instances cannot be had in this transfer syntax; ask for transfer-syntax=*")
    vanished = request.app.state.server.vanished
    if not media_type.multipart:
        return object_response(*suitable[0], vanished)
    if len(instances) == 1:  # what is wrong with it is told by the status
        parts = [_part(request, *suitable[0], object_pieces(*suitable[0], vanished))]
        return multipart_related(parts, DICOM)
    sent = [pair for pair in suitable if is_there(pair[0], vanished)]
    if not sent:
        raise HttpError(410, "the objects have vanished from their storage, or changed, since they were indexed")
    response = multipart_related(
        (_part(request, one, *_whatever_can_be_sent(one, syntax, vanished)) for one, syntax in sent), DICOM
    )
    if len(sent) < len(instances):
        response.status_code = 206
        missing = len(instances) - len(sent)
        response.headers.update(warning_header(request, [f"{missing} of {len(instances)} are left out"]))
    return response


def object_response(instance: Instance, syntax: str, vanished: Vanished) -> Response:
    """Answer with one object alone.

    Raises
    ------
    HttpError
        406, if it cannot be transcoded; 410, if it is not there.
    """
    headers = {"Content-Type": f"{DICOM}; transfer-syntax={syntax}"}
    if syntax == instance.TransferSyntaxUID:
        headers["Content-Length"] = str(instance.length)
    return StreamedResponse(object_pieces(instance, syntax, vanished), headers=headers)


def object_pieces(instance: Instance, syntax: str, vanished: Vanished) -> Iterator[bytes]:
    """Read an object in pieces, as stored or transcoded; the first of them at once.

    Raises
    ------
    HttpError
        406, if it cannot be transcoded; 410, if it is not there.
    """
    pieces = _pieces(instance, syntax, vanished)
    try:
        return begun(pieces)
    except PixelDataError as error:
        raise HttpError(
            406, f"the instance cannot be transcoded: {error.problem}; ask for transfer-syntax=*"
        ) from error


def _whatever_can_be_sent(instance: Instance, syntax: str, vanished: Vanished) -> tuple[str, Iterator[bytes]]:
    """Return pieces of one of several objects: as it is stored if transcoding fails, so that none gets lost."""
    try:
        return syntax, object_pieces(instance, syntax, vanished)
    except (HttpError, MemoryError) as error:
        stored = instance.TransferSyntaxUID
        is_gone = isinstance(error, HttpError) and error.status_code != 406
        if is_gone or stored is None or object_syntax(stored, [AS_STORED]) != stored:
            raise
        return stored, object_pieces(instance, stored, vanished)


def _part(request: Request, instance: Instance, syntax: str, pieces: Iterator[bytes]) -> Part:
    uids = instance.StudyInstanceUID, instance.SeriesInstanceUID, instance.SOPInstanceUID
    return Part(f"{DICOM}; transfer-syntax={syntax}", pieces, resource_url(dicomweb_root(request), *uids))


def _pieces(instance: Instance, syntax: str, vanished: Vanished) -> Iterator[bytes]:
    if syntax == instance.TransferSyntaxUID:
        yield from stored_pieces(instance, vanished, 0, instance.length)
        return
    with opened(instance, vanished) as source:
        yield from explicit_little_endian(source, instance.pixels)
