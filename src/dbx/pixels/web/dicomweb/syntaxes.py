"""Which transfer syntax an answer has: what the client accepts, and what can be made of what is stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from pydicom.uid import ExplicitVRLittleEndian
from starlette.requests import Request

from dbx.pixels.catalog.arrivals import is_uid
from dbx.pixels.dicom.video import VIDEO
from dbx.pixels.web.dicomweb.frames import can_be_decoded, is_widely_decoded, media_type_of, syntax_as_stored
from dbx.pixels.web.dicomweb.media import OCTET_STREAM, MediaType, accept_texts, accepted, negotiate, ranges_of
from dbx.pixels.web.errors import HttpError

AS_STORED = "*"
DEFAULT = ""


class Representation(NamedTuple):
    """How an answer is written.

    Attributes
    ----------
    media_type : MediaType
        Of the answer.
    transfer_syntax : str
        UID of that of the instances or frames in it.
    """

    media_type: MediaType
    transfer_syntax: str

    @property
    def content_type(self) -> str:
        """The media type of one part, with its transfer syntax."""
        return f"{self.media_type.name}; transfer-syntax={self.transfer_syntax}"


def object_syntaxes(request: Request, offered: Sequence[MediaType]) -> tuple[MediaType, list[str]]:
    """Choose the media type of whole objects.

    Returns
    -------
    media_type : MediaType
        One of those offered.
    transfer_syntaxes : list of str
        That the client takes objects of this type in, what it prefers first: UIDs, `AS_STORED` or `DEFAULT`.

    Raises
    ------
    HttpError
        406, if the client takes none of the types.
    """
    chosen = negotiate(request, offered)
    ranges = (range_ for range_ in accepted(request) if range_.quality and range_.admits(chosen))
    return chosen, [range_.transfer_syntax or DEFAULT for range_ in ranges]


def object_syntax(stored: str | None, wanted: Iterable[str]) -> str | None:
    """Return the first wanted transfer syntax that an object can be sent in, None if there is none.

    The default is Explicit VR Little Endian, but as they are stored for videos, which are lossy (PS3.18 8.7.3).
    Objects without file meta information have no transfer syntax, nor have those whose UID is none, which no header can
    hold; they are sent as files that have one.
    """
    stored = stored if is_uid(stored) else None
    for syntax in wanted:
        if stored and syntax in (AS_STORED, stored):
            return stored
        if syntax in (DEFAULT, ExplicitVRLittleEndian) and can_be_decoded(stored or ""):
            return ExplicitVRLittleEndian
        if syntax == DEFAULT and stored in VIDEO:
            return stored
        if not stored and syntax == AS_STORED:
            return ExplicitVRLittleEndian
    return None


def frame_representation(request: Request, stored: str | None, *, bits_allocated: int, single: bool) -> Representation:
    """Choose how frames are sent.

    Parameters
    ----------
    request : Request
        Whose Accept header says what the client takes.
    stored : str or None
        Transfer syntax of the object.
    bits_allocated : int
        Of a sample.
    single : bool
        Whether it is one frame, which needs no multipart answer.

    Raises
    ------
    HttpError
        406, if the client takes nothing that can be had.
    """
    return _frame_representation(accept_texts(request), stored or "", bits_allocated, single=single)


@lru_cache(maxsize=1024)  # a client says the same for all frames of a series
def _frame_representation(texts: tuple[str, ...], stored: str, bits_allocated: int, *, single: bool) -> Representation:
    stored = stored if is_uid(stored) else ""
    as_stored = syntax_as_stored(stored)
    by_type = {OCTET_STREAM: _octet_stream_syntaxes(stored, as_stored, bits_allocated)}
    if as_stored and (image_type := media_type_of(as_stored)) != OCTET_STREAM:
        by_type[image_type] = {None: as_stored, AS_STORED: as_stored, as_stored: as_stored}
    offered = [MediaType(name, multipart) for multipart in (True, False)[: 1 + single] for name in by_type]
    for range_ in ranges_of(texts):
        for candidate in offered:
            syntax = by_type[candidate.name].get(range_.transfer_syntax)
            if range_.quality and syntax and range_.admits(candidate):
                return Representation(candidate, syntax)
    known = ", ".join(sorted({syntax for syntaxes in by_type.values() for syntax in syntaxes.values()}))
    raise HttpError(406, f"can be had as {', '.join(map(str, offered))}, in transfer syntax {known or 'none'}")


def _octet_stream_syntaxes(stored: str, as_stored: str | None, bits_allocated: int) -> dict[str | None, str]:
    syntaxes: dict[str | None, str] = {}
    if as_stored:
        syntaxes = {AS_STORED: as_stored, as_stored: as_stored}
    if can_be_decoded(stored):
        syntaxes |= {None: ExplicitVRLittleEndian, ExplicitVRLittleEndian: ExplicitVRLittleEndian}
        if not is_widely_decoded(stored, bits_allocated):
            syntaxes[AS_STORED] = ExplicitVRLittleEndian  # any syntax will do (PS3.18 8.7.3.5.2): one that is of use
    return syntaxes
