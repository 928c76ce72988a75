"""Videos that browsers play: MPEG-4 and HEVC streams as they are stored, if in an MP4 container (PS3.18 8.7.4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from dbx.pixels.dicom.sources import read_range
from dbx.pixels.index import Instance
from dbx.pixels.web.dicomweb import found
from dbx.pixels.web.dicomweb.access import opened
from dbx.pixels.web.dicomweb.byte_ranges import requested_range
from dbx.pixels.web.dicomweb.media import MediaType
from dbx.pixels.web.streaming import READ_BYTES, StreamedResponse, begun
from dbx.pixels.web.vanished import Vanished

MP4 = MediaType("video/mp4")

#: MPEG-4 AVC/H.264 and HEVC/H.265, whose streams may be in an MP4 container (PS3.5 8.2.7 to 8.2.11).
_SYNTAXES = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in range(102, 109))

#: The type of an MP4 file's first box, after four bytes of its length (ISO 14496-12).
_FIRST_BOX = b"ftyp"


@dataclass(frozen=True)
class Video:
    """A video in the pixel data of an instance.

    Attributes
    ----------
    instance : Instance
        Whose it is.
    fragments : list of tuple of int
        Offset and length of the pieces that it is stored in, in order.
    vanished : Vanished
        Told if the object is not there.
    """

    instance: Instance
    fragments: list[tuple[int, int]]
    vanished: Vanished

    def pieces(self, first: int, end: int) -> Iterator[bytes]:
        """Read a range of it."""
        with opened(self.instance, self.vanished) as source:
            at = 0  # where the fragment begins in the video
            for offset, length in self.fragments:
                for begin in range(max(first - at, 0), min(end - at, length), READ_BYTES):
                    yield read_range(source, offset + begin, min(READ_BYTES, min(end - at, length) - begin))
                at += length


def find_video(request: Request, instance: Instance) -> Video | None:
    """Find the video of an instance; None if it has none that browsers play.

    Raises
    ------
    HttpError
        410, if the object is not there.
    """
    if instance.TransferSyntaxUID not in _SYNTAXES:
        return None
    fragments = found.image_of(instance).fragments
    if fragments is None:
        return None
    video = Video(instance, fragments.as_one_frame().of_frame(0), request.app.state.server.vanished)
    return video if b"".join(video.pieces(4, 8)) == _FIRST_BOX else None


def video_response(request: Request, video: Video) -> Response:
    """Answer with a video, or with the range of it that the client asks for.

    Raises
    ------
    HttpError
        410, if the object is not there; 416.
    """
    wanted = requested_range(request, sum(length for _, length in video.fragments))
    pieces = begun(video.pieces(wanted.first, wanted.end))
    headers = {**wanted.headers, "Content-Type": MP4.name, "Content-Length": str(wanted.end - wanted.first)}
    return StreamedResponse(pieces, wanted.status, headers)
