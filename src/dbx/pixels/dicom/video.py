"""Decoding of video pixel data (PS3.5 section 8.2.5 to 8.2.12) with PyAV, where that is installed."""

from __future__ import annotations

import io
from collections.abc import Iterator

from numpy.typing import NDArray
from pydicom.uid import HEVCM10P51, HEVCMP51, MPEGTransferSyntaxes

from dbx.pixels.errors import PixelDataError

VIDEO = frozenset({*MPEGTransferSyntaxes, HEVCMP51, HEVCM10P51})


def video_frames(codestream: bytes) -> Iterator[NDArray]:
    """Decode the frames of a video, in order, to RGB.

    Raises
    ------
    PixelDataError
        If PyAV is not installed, or the video cannot be decoded.
    """
    try:
        import av
    except ImportError as error:
        raise PixelDataError("", "video needs PyAV", "pip install 'dbx-pixels[video]'") from error
    try:
        with av.open(io.BytesIO(codestream), "r") as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
    except av.FFmpegError as error:
        raise PixelDataError("", f"the video cannot be decoded: {error}") from error
