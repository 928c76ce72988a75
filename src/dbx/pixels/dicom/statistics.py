"""What is only known by reading an object to its end: statistics of its pixels, and its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from dbx.pixels.dicom.issues import add_pixel_issues
from dbx.pixels.dicom.schema import PIXEL_STATISTICS
from dbx.pixels.dicom.sources import Source, open_file
from dbx.pixels.engine.transformer import BatchRow
from dbx.pixels.errors import PixelsError


def add_statistics(sources: Sequence[Source], headers: pa.RecordBatch) -> dict[str, pa.Array]:
    """Compute `pixel_statistics` and `content_hash` of objects whose headers were read.

    Returns
    -------
    dict of str to pyarrow.Array
        The two columns, and `issues` with what was wrong with the pixel data.
    """
    statistics: list[dict[str, float] | None] = [None] * len(sources)
    messages: dict[int, str] = {}
    for index, has_pixels in enumerate(headers.column("pixel_data").is_valid().to_pylist()):
        if has_pixels:
            try:
                statistics[index] = pixel_statistics(sources[index], BatchRow(headers, index))
            except PixelsError as error:
                messages[index] = f"no pixel statistics: {error.problem}"
    return {
        "pixel_statistics": pa.array(statistics, PIXEL_STATISTICS),
        "content_hash": pa.array([_hash_if_readable(source) for source in sources], pa.string()),
        "issues": add_pixel_issues(headers, messages),
    }


def pixel_statistics(source: Source, row: Mapping[str, Any]) -> dict[str, float] | None:
    """Compute minimum, maximum, mean and standard deviation of the stored values, one frame in memory at a time.

    Returns
    -------
    dict of str to float, optional
        ``min``, ``max``, ``mean`` and ``std``; None if no value is a finite number.

    Raises
    ------
    PixelDataError
        If a frame cannot be decoded.
    StorageError
        If the object cannot be read.
    """
    # Imported here because it loads the codecs.
    from dbx.pixels.dicom.pixels import decode_frames

    least, greatest = np.inf, -np.inf
    count, mean, squares = 0, 0.0, 0.0  # squares: sum of squared distances from the mean
    for frame in decode_frames(source, row):
        values = frame[np.isfinite(frame)] if frame.dtype.kind == "f" else frame
        if not values.size:
            continue
        least, greatest = min(least, values.min()), max(greatest, values.max())
        # Merging the moments of parts (Chan, Golub, LeVeque) keeps precision where sums of squares lose it.
        distance = values.mean(dtype=np.float64) - mean
        total = count + values.size
        squares += values.var(dtype=np.float64) * values.size + distance**2 * count * values.size / total
        mean += distance * values.size / total
        count = total
    if not count:
        return None
    return {"min": float(least), "max": float(greatest), "mean": float(mean), "std": float(np.sqrt(squares / count))}


def content_hash(source: Source) -> str:
    """Hash the whole object, as ``sha256:`` and hexadecimal digits.

    Raises
    ------
    OSError
        If the object cannot be read.
    """
    with open_file(source) as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _hash_if_readable(source: Source) -> str | None:
    try:
        return content_hash(source)
    except OSError:  # the object's row says so: StorageError is one
        return None
