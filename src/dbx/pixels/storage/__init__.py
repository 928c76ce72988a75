"""Storage: listing, opening and reading ranges of objects in folders, object stores and zip archives."""

from dbx.pixels.storage.home import Home, volume_path
from dbx.pixels.storage.listing import LISTING_SCHEMA, Listing, Problem, list_objects
from dbx.pixels.storage.opening import open_object, sources
from dbx.pixels.storage.reader import Reader

__all__ = [
    "LISTING_SCHEMA",
    "Home",
    "Listing",
    "Problem",
    "Reader",
    "list_objects",
    "open_object",
    "sources",
    "volume_path",
]
