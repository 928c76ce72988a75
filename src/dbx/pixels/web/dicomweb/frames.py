"""The bytes of single frames as they are sent: as stored, or uncompressed in little endian (PS3.18 8.7.3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless

from dbx.pixels.dicom.codecs import DECODERS
from dbx.pixels.dicom.image import ImagePixel
from dbx.pixels.dicom.pixels import NATIVE, decode, encoded_frame, read_native
from dbx.pixels.dicom.sources import Source
from dbx.pixels.dicom.video import VIDEO
from dbx.pixels.errors import PixelDataError
from dbx.pixels.web.dicomweb.media import OCTET_STREAM

#: Media types of encapsulated frames, by transfer syntax (PS3.18 8.7.3.3, table 8.7.3-5).
_IMAGE_TYPES = {
    f"1.2.840.10008.1.2.{syntax}": media_type
    for media_type, syntaxes in {
        "image/jpeg": ("4.50", "4.51", "4.57", "4.70"),
        "image/jls": ("4.80", "4.81"),
        "image/jp2": ("4.90", "4.91"),
        "image/jphc": ("4.201", "4.202", "4.203"),
        "image/jxl": ("4.110", "4.111", "4.112"),
        "image/dicom-rle": ("5",),
    }.items()
    for syntax in syntaxes
}

#: Transfer syntaxes that viewers in browsers do not decode: encapsulated uncompressed, deflated frames, JPEG XL.
_RARE = frozenset(f"1.2.840.10008.1.2.{syntax}" for syntax in ("1.98", "8.1", "4.110", "4.111", "4.112"))


def media_type_of(transfer_syntax: str) -> str:
    """Return the media type of frames in a transfer syntax."""
    return _IMAGE_TYPES.get(transfer_syntax, OCTET_STREAM)


def can_be_decoded(transfer_syntax: str) -> bool:
    """Tell whether frames in a transfer syntax can be sent uncompressed; videos are too large for that."""
    return transfer_syntax in NATIVE or transfer_syntax in DECODERS or transfer_syntax == DeflatedExplicitVRLittleEndian


def is_widely_decoded(transfer_syntax: str, bits_allocated: int) -> bool:
    """Tell whether viewers can be expected to decode frames: RLE of doses, with 32 bits, they cannot."""
    return transfer_syntax not in _RARE and not (transfer_syntax == RLELossless and bits_allocated > 16)


def syntax_as_stored(transfer_syntax: str) -> str | None:
    """Return the transfer syntax that frames have which are sent as they are stored.

    Native frames are little endian in any case, which is how clients know them. None for those that cannot be taken
    out of what they are stored in: videos.
    """
    if transfer_syntax in NATIVE or transfer_syntax == DeflatedExplicitVRLittleEndian:
        return ExplicitVRLittleEndian
    return None if transfer_syntax in VIDEO else transfer_syntax


def stored_place(image: ImagePixel, frame: int, transfer_syntax: str) -> tuple[int, int] | None:
    """Return where a frame lies that is sent byte for byte as it is stored; None for all others.

    Returns
    -------
    tuple of int or None
        Offset and length in the object.
    """
    if image.transfer_syntax in NATIVE:
        if NATIVE[image.transfer_syntax] == ">" or image.frame_bits % 8:
            return None
        length = image.frame_bits // 8
        return image.offset + frame * length, length
    if transfer_syntax != image.transfer_syntax or image.fragments is None:
        return None
    fragments = image.fragments.of_frame(frame)
    return fragments[0] if len(fragments) == 1 else None


def frame_bytes(source: Source, image: ImagePixel, frame: int, transfer_syntax: str) -> bytes:
    """Read one frame, and decode it if need be.

    Parameters
    ----------
    source : str or Reader
        What the object is read through.
    image : ImagePixel
        How its pixel data is stored.
    frame : int
        From 0; not checked.
    transfer_syntax : str
        Explicit VR Little Endian, or as stored.

    Raises
    ------
    PixelDataError
        If the frame's bytes are not there, or cannot be decoded.
    StorageError
        If the object cannot be read.
    """
    if image.transfer_syntax in NATIVE:
        return _native_frame(source, image, frame)
    if transfer_syntax == image.transfer_syntax:
        return encoded_frame(source, image, frame)
    return little_endian(decode(source, image, frame), image)


def _native_frame(source: Source, image: ImagePixel, frame: int) -> bytes:
    data, first_bit = read_native(source, image, frame)
    if image.bits_allocated == 1:
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        return np.packbits(bits[first_bit : first_bit + image.frame_bits], bitorder="little").tobytes()
    if NATIVE[image.transfer_syntax] == ">" and image.bits_allocated > 8:
        return np.frombuffer(data, f"u{image.bits_allocated // 8}").byteswap().tobytes()
    return data


def little_endian(values: NDArray, image: ImagePixel) -> bytes:
    """Write decoded values as native pixel data holds them, colours by pixel."""
    if values.size != image.rows * image.columns * image.samples:
        raise PixelDataError("", "the decoded frame has another size than the header says")
    if image.bits_allocated == 1:
        return np.packbits(values.ravel() != 0, bitorder="little").tobytes()
    return values.astype(f"<{image.dtype}", copy=False).tobytes()
