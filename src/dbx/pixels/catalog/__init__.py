"""The catalog: the public API and the one door by which objects enter the table."""

from dbx.pixels.catalog.catalog import Catalog

__all__ = ["Catalog"]
