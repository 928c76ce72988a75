"""The serving index: a cache of the table, in SQLite or PostgreSQL, for those who ask for studies and instances."""

from dbx.pixels.index.model import BULK_ROOT, Found, Instance, Key, Level, Search
from dbx.pixels.index.packing import Pack
from dbx.pixels.index.serving import ServingIndex

__all__ = ["BULK_ROOT", "Found", "Instance", "Key", "Level", "Pack", "Search", "ServingIndex"]
