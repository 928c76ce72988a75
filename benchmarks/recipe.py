"""The baseline of headers: what Spark pipelines that are published do for each file, with pydicom."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from multiprocessing.pool import Pool

import pydicom


def header_to_json(path: str) -> str:
    """Read one header, binaries inline, pixel data left out."""
    return json.dumps(pydicom.dcmread(path, defer_size=1000, stop_before_pixels=True).to_json_dict())


def headers_to_json(paths: Sequence[str]) -> None:
    """Read these headers one after the other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in paths:
            header_to_json(path)


def headers_to_json_in(pool: Pool, paths: Sequence[str]) -> None:
    """Read these headers in all processes of the pool."""
    for _ in pool.imap_unordered(header_to_json, paths, chunksize=16):
        pass
