"""Decoders of one frame's encoded bytes, by transfer syntax (PS3.5 section 10 and annex A)."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from pydicom import uid
from pydicom.pixels.utils import get_j2k_parameters

from dbx.pixels.dicom.codestream import check_jpeg, check_jpeg_2000
from dbx.pixels.dicom.image import ImagePixel
from dbx.pixels.errors import PixelDataError

#: Width and height in pixels, as Pillow orders them.
Size = tuple[int, int]

Decoder = Callable[[bytes, ImagePixel], NDArray]
ScalingDecoder = Callable[[bytes, ImagePixel, Size], NDArray]

#: Colour spaces in which samples of decoded frames may be, other than RGB; JPEG 2000's own are undone by its decoder.
YBR = ("YBR_FULL", "YBR_FULL_422")

#: Two bytes of RLE are at most a run of 128 (PS3.5 annex G.3.1).
_MOST_OF_A_RUN = 64

#: Bytes that a frame of RLE with too long segments may become while it is decoded.
_MOST_FORGIVEN = 2**28


def native_frame(data: bytes, image: ImagePixel, *, byte_order: str = "<", first_bit: int = 0) -> NDArray:
    """Arrange uncompressed values in rows and columns (PS3.5 section 8.1.1).

    Parameters
    ----------
    data : bytes
        The bytes in which the frame lies.
    byte_order : str
        As numpy writes it.
    first_bit : int
        Where the frame begins in the first byte, if a pixel has one bit.
    """
    if image.bits_allocated == 1:
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        return bits[first_bit : first_bit + image.frame_bits].reshape(image.rows, image.columns)
    values = np.frombuffer(data, byte_order + image.dtype, image.frame_bits // image.bits_allocated)
    if image.photometric == "YBR_FULL_422":
        return _rgb(_with_shared_chrominance(values).reshape(image.rows, image.columns, 3))
    if image.samples == 1:
        return _stored_bits(values, image).reshape(image.rows, image.columns)
    return _colour(_arranged(values, image, image.planar), image)


def _with_shared_chrominance(values: NDArray) -> NDArray:
    """Give each of two pixels, stored as Y1 Y2 Cb Cr, the chrominance that they share (PS3.3 C.7.6.3.1.2)."""
    return values.reshape(-1, 4)[:, [0, 2, 3, 1, 2, 3]]


def _arranged(values: NDArray, image: ImagePixel, planar: bool) -> NDArray:
    if planar:
        return values.reshape(image.samples, image.rows, image.columns).transpose(1, 2, 0)
    return values.reshape(image.rows, image.columns, image.samples)


def _stored_bits(values: NDArray, image: ImagePixel) -> NDArray:
    """Drop the bits above the stored ones, and take the sign from the highest of these (PS3.5 section 8.1.1)."""
    values = values.astype(image.dtype, copy=False)
    unused_bits = 8 * values.dtype.itemsize - image.bits_stored
    if values.dtype.kind == "f" or unused_bits <= 0:
        return values
    return (values << unused_bits) >> unused_bits


def _colour(values: NDArray, image: ImagePixel) -> NDArray:
    return _rgb(values) if image.photometric in YBR and values.dtype == np.uint8 else values


def _rgb(values: NDArray) -> NDArray:
    # YBR_FULL is JPEG's YCbCr (PS3.3 C.7.6.3.1.2).
    rows, columns, _ = values.shape
    picture = Image.frombytes("YCbCr", (columns, rows), np.ascontiguousarray(values).tobytes())
    return np.asarray(picture.convert("RGB"))


def _jpeg(encoded: bytes, image: ImagePixel, size: Size | None = None) -> NDArray:
    check_jpeg(encoded, image)
    if image.bits_allocated > 8:
        return _decoded(imagecodecs.jpeg8_decode(encoded), image)
    picture = JpegImageFile(io.BytesIO(encoded))  # whose size was looked at; Image.open has limits of its own
    # Without a marker that tells, decoders take three components for YCbCr; the object knows better.
    mode = picture.mode
    if mode == "RGB" and image.photometric == "RGB" and not {"jfif", "adobe_transform"} & picture.info.keys():
        mode = "YCbCr"
    picture.draft(mode, size or picture.size)
    return np.asarray(picture)


def _jpeg_lossless(encoded: bytes, image: ImagePixel) -> NDArray:
    check_jpeg(encoded, image)
    return _decoded(imagecodecs.jpeg8_decode(encoded), image)


def _jpeg_ls(encoded: bytes, image: ImagePixel) -> NDArray:
    check_jpeg(encoded, image)
    return _decoded(imagecodecs.jpegls_decode(encoded), image)


def _jpeg_2000(encoded: bytes, image: ImagePixel) -> NDArray:
    check_jpeg_2000(encoded, image)
    return _decoded(imagecodecs.jpeg2k_decode(encoded), image)


def _small_jpeg_2000(encoded: bytes, image: ImagePixel, size: Size) -> NDArray:
    try:
        return _coarse_jpeg_2000(encoded, image, size)
    except (KeyError, OSError, ValueError):  # Pillow knows fewer kinds of codestreams
        return _jpeg_2000(encoded, image)


def _coarse_jpeg_2000(encoded: bytes, image: ImagePixel, size: Size) -> NDArray:
    """Decode a JPEG 2000 codestream without the resolutions that are finer than needed."""
    check_jpeg_2000(encoded, image)
    codestream = get_j2k_parameters(encoded)
    if image.samples > 1 and codestream["precision"] > 8:
        raise ValueError("Pillow keeps no more than 8 bits of colours")
    if image.samples == 1 and codestream["is_signed"] != (image.dtype[0] == "i"):
        raise ValueError("values cannot be averaged before their sign is known")

    left_out = max(min(image.columns // size[0], image.rows // size[1]).bit_length() - 1, 0)
    values = np.asarray(_open_jpeg_2000(encoded, left_out))
    if values.ndim == 3:
        return _colour(values, image)
    # Pillow moves values to the top of 8 or 16 bits, and signed ones up, so that the least is 0.
    bits = 8 * values.dtype.itemsize
    if codestream["is_signed"]:
        values = (values ^ (1 << (bits - 1))).view(f"i{bits // 8}")
    return values >> (bits - codestream["precision"])


def _open_jpeg_2000(encoded: bytes, left_out: int) -> Image.Image:
    picture = Jpeg2KImageFile(io.BytesIO(encoded))
    picture.reduce = left_out
    try:
        picture.load()
    except OSError:
        if left_out == 0:
            raise
        return _open_jpeg_2000(encoded, left_out - 1)  # it may have fewer resolutions
    return picture


def _jpeg_xl(encoded: bytes, image: ImagePixel) -> NDArray:
    frame: Any = bytearray(image.decoded_bytes)  # of a buffer that is too small the decoder says so at once
    try:
        return _decoded(imagecodecs.jpegxl_decode(encoded, index=0, out=frame), image)
    except ValueError as error:
        raise PixelDataError("", "cannot be decoded: the codestream is larger than the object says") from error


def _rle(encoded: bytes, image: ImagePixel) -> NDArray:
    length = image.decoded_bytes
    if length > _MOST_OF_A_RUN * len(encoded):
        raise PixelDataError("", f"cannot be decoded: {len(encoded)} bytes of RLE cannot hold a frame of {length}")
    try:
        decoded = imagecodecs.dicomrle_decode(encoded, "<" + image.dtype, out=bytearray(length))
    except (RuntimeError, ValueError) as error:
        # pydicom forgives more than imagecodecs, such as segments that are too long, but decodes all there is.
        if _MOST_OF_A_RUN * len(encoded) > _MOST_FORGIVEN:
            raise PixelDataError("", f"cannot be decoded: {error}") from error
        raise
    values = np.frombuffer(decoded, "<" + image.dtype)
    return _decoded(_arranged(values, image, planar=True) if image.samples > 1 else values, image)


def _deflated_frame(encoded: bytes, image: ImagePixel) -> NDArray:
    length = (image.frame_bits + 7) // 8
    try:
        frame = zlib.decompressobj(-zlib.MAX_WBITS).decompress(encoded, length)
    except zlib.error as error:
        raise PixelDataError("", f"cannot be decoded: {error}") from error
    if len(frame) < length:
        raise PixelDataError("", f"cannot be decoded: {len(frame)} bytes were deflated, a frame has {length}")
    return native_frame(frame, image)


def _decoded(values: NDArray, image: ImagePixel) -> NDArray:
    if values.ndim == 3:
        return _colour(values, image)
    # A codestream need not know whether its values are signed; if it does and disagrees, the object is right.
    if values.dtype.kind != image.dtype[0]:
        values = _stored_bits(values, image)
    return values.reshape(image.rows, image.columns) if values.ndim == 1 else values


#: Decoders by transfer syntax. Native syntaxes are not here, nor is video, whose frames cannot be decoded one by one.
DECODERS: dict[str, Decoder] = {
    "1.2.840.10008.1.2.1.98": native_frame,  # Encapsulated Uncompressed Explicit VR Little Endian
    uid.JPEGBaseline8Bit: _jpeg,
    uid.JPEGExtended12Bit: _jpeg,
    uid.JPEGLossless: _jpeg_lossless,
    uid.JPEGLosslessSV1: _jpeg_lossless,
    uid.JPEGLSLossless: _jpeg_ls,
    uid.JPEGLSNearLossless: _jpeg_ls,
    uid.JPEG2000Lossless: _jpeg_2000,
    uid.JPEG2000: _jpeg_2000,
    uid.HTJ2KLossless: _jpeg_2000,
    uid.HTJ2KLosslessRPCL: _jpeg_2000,
    uid.HTJ2K: _jpeg_2000,
    uid.RLELossless: _rle,
    "1.2.840.10008.1.2.4.110": _jpeg_xl,  # JPEG XL Lossless
    "1.2.840.10008.1.2.4.111": _jpeg_xl,  # JPEG XL JPEG Recompression
    "1.2.840.10008.1.2.4.112": _jpeg_xl,  # JPEG XL
    "1.2.840.10008.1.2.8.1": _deflated_frame,  # Deflated Image Frame Compression
}

#: Decoders that can decode at a smaller scale, though not below a size, for a fraction of the work.
SCALING_DECODERS: dict[str, ScalingDecoder] = {
    uid.JPEGBaseline8Bit: _jpeg,
    uid.JPEGExtended12Bit: _jpeg,
    uid.JPEG2000Lossless: _small_jpeg_2000,
    uid.JPEG2000: _small_jpeg_2000,
    uid.HTJ2KLossless: _small_jpeg_2000,
    uid.HTJ2KLosslessRPCL: _small_jpeg_2000,
    uid.HTJ2K: _small_jpeg_2000,
}
