"""Pixels: folders, buckets and archives of DICOM as one open table for SQL."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dbx.pixels.catalog import Catalog

__version__ = version("dbx-pixels")
__all__ = ["Catalog", "__version__"]


def __getattr__(name: str) -> Any:
    # Loaded when first asked for: whoever needs one lower floor only, such as a Spark executor, does not load them all.
    if name == "Catalog":
        from dbx.pixels.catalog import Catalog

        return Catalog
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
