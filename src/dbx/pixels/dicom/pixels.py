"""The stored pixel values of one frame, in any transfer syntax, by reading no more than that frame's bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import uid
from pydicom.encaps import get_frame
from pydicom.pixels import pixel_array

from dbx.pixels.dicom.codecs import DECODERS, SCALING_DECODERS, Size, native_frame
from dbx.pixels.dicom.image import ImagePixel
from dbx.pixels.dicom.inflating import open_dicom
from dbx.pixels.dicom.quiet import quiet, reason
from dbx.pixels.dicom.room import check_ratio, room_for
from dbx.pixels.dicom.sources import Source, open_file, read_range
from dbx.pixels.dicom.video import VIDEO, video_frames
from dbx.pixels.errors import PixelDataError, PixelsError

#: Uncompressed transfer syntaxes with their byte order; without file meta information it is little endian. A deflated
#: data set is not here: it has to be inflated from its beginning, as pydicom does.
NATIVE = {
    "": "<",
    uid.ImplicitVRLittleEndian: "<",
    uid.ExplicitVRLittleEndian: "<",
    uid.ExplicitVRBigEndian: ">",
}


def decode_frame(source: Source, row: Mapping[str, Any], frame: int = 0) -> NDArray:
    """Decode one frame of an image.

    Parameters
    ----------
    source : str or Reader
        What the object is read through.
    row : mapping
        The typed columns of the object's row.
    frame : int
        From 0.

    Returns
    -------
    numpy.ndarray
        Rows, columns and, if there are several, samples of stored values; the samples of colour images are RGB, those
        of palette images indices.

    Raises
    ------
    PixelDataError
        If there is no such frame, or it cannot be decoded.
    StorageError
        If the object cannot be read.
    MemoryError
        If there is not enough memory now.
    """
    return decode(source, ImagePixel.from_row(row), frame)


def decode_frames(source: Source, row: Mapping[str, Any]) -> Iterator[NDArray]:
    """Decode all frames of an image, one after the other; see `decode_frame`."""
    image = ImagePixel.from_row(row)
    if image.transfer_syntax in VIDEO:
        yield from video_frames(_encoded_video(source, image))
    else:
        for frame in range(image.frames):
            yield decode(source, image, frame)


def decode(source: Source, image: ImagePixel, frame: int, *, size: Size | None = None) -> NDArray:
    """Decode one frame of an image whose pixel data is described; see `decode_frame`.

    With a `size`, the frame may come at any scale at which it is not smaller than that.
    """
    with room_for(image.decoded_bytes):
        return decode_in_room(source, image, frame, size=size)


def decode_in_room(source: Source, image: ImagePixel, frame: int, *, size: Size | None = None) -> NDArray:
    """Decode one frame while there is room for it, which the caller has taken; see `decode`."""
    if not 0 <= frame < image.frames:
        raise PixelDataError("", f"there is no frame {frame}: the image has {image.frames}")
    syntax = image.transfer_syntax
    try:
        if syntax in NATIVE:
            return _native(source, image, frame)
        if size is not None and syntax in SCALING_DECODERS:
            return SCALING_DECODERS[syntax](_plausible_frame(source, image, frame), image, size)
        if syntax in DECODERS:
            return DECODERS[syntax](_plausible_frame(source, image, frame), image)
        if syntax in VIDEO:
            return _video_frame(source, image, frame)
    except (PixelsError, MemoryError):
        raise
    except Exception as error:  # whatever the codecs raise: pydicom has other ones
        return _decode_with_pydicom(source, frame, error)
    return _decode_with_pydicom(source, frame)


def _plausible_frame(source: Source, image: ImagePixel, frame: int) -> bytes:
    encoded = encoded_frame(source, image, frame)
    check_ratio(image.decoded_bytes, len(encoded))
    return encoded


def encoded_frame(source: Source, image: ImagePixel, frame: int) -> bytes:
    """Read the bytes of one encapsulated frame (PS3.5 A.4)."""
    if image.fragments is None:
        with open_file(source) as file:
            file.seek(image.offset)
            return get_frame(file, frame, number_of_frames=image.frames)
    fragments = image.fragments.of_frame(frame)
    if not fragments:
        raise PixelDataError("", f"no fragment holds frame {frame}")
    # The fragments of a frame follow each other, so that one read gets them all, with the item tags between them.
    begin, end = fragments[0][0], sum(fragments[-1])
    data = read_range(source, begin, end - begin)
    return b"".join(data[offset - begin : offset - begin + length] for offset, length in fragments)


def _native(source: Source, image: ImagePixel, frame: int) -> NDArray:
    data, first_bit = read_native(source, image, frame)
    return native_frame(data, image, byte_order=NATIVE[image.transfer_syntax], first_bit=first_bit)


def read_native(source: Source, image: ImagePixel, frame: int) -> tuple[bytes, int]:
    """Read the bytes in which one frame of native pixel data lies.

    Returns
    -------
    data : bytes
        In the byte order of the object; single bytes are in order in any case.
    first_bit : int
        Where the frame begins in the first byte, if a pixel has one bit.

    Raises
    ------
    PixelDataError
        If the object ends before.
    StorageError
        If the object cannot be read.
    """
    first_byte, first_bit = divmod(frame * image.frame_bits, 8)
    length = (first_bit + image.frame_bits + 7) // 8
    if NATIVE[image.transfer_syntax] == ">" and image.bits_allocated <= 8 and is_word_data(source, image.offset):
        # Bytes were swapped within words, so that whole words are read (PS3.5 section 8.2).
        skipped = first_byte % 2
        words = read_range(source, image.offset + first_byte - skipped, (skipped + length + 1) // 2 * 2)
        return np.frombuffer(words, np.uint16).byteswap().tobytes()[skipped : skipped + length], first_bit
    return read_range(source, image.offset + first_byte, length), first_bit


def is_word_data(source: Source, offset: int) -> bool:
    """Tell whether the VR before pixel data at an offset is OW; it is eight bytes long (PS3.5 section 7.1.2)."""
    return read_range(source, offset - 8, 2) == b"OW"


def _encoded_video(source: Source, image: ImagePixel) -> bytes:
    """Read the codestream of a video; all its frames are in one (PS3.5 section 8.2.5)."""
    fragments = image.fragments.as_one_frame() if image.fragments else None
    return encoded_frame(source, replace(image, fragments=fragments, frames=1), 0)


def _video_frame(source: Source, image: ImagePixel, frame: int) -> NDArray:
    for index, values in enumerate(video_frames(_encoded_video(source, image))):
        if index == frame:
            return values
    raise PixelDataError("", f"the video ends before frame {frame}")


def _decode_with_pydicom(source: Source, frame: int, cause: Exception | None = None) -> NDArray:
    try:
        with quiet(), open_dicom(source) as file:
            return pixel_array(pydicom.dcmread(file, force=True), index=frame)
    except MemoryError:
        raise
    except Exception as error:  # pydicom's readers and codecs raise whatever bad data leads to
        raise PixelDataError("", f"cannot be decoded: {reason(cause or error)}") from error
