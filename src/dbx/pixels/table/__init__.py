"""The Delta table of objects: saving with one live row per path, upkeep, and SQL."""

from dbx.pixels.table.names import TableName, table_location
from dbx.pixels.table.objects import Committed, ObjectTable, StreamTransaction
from dbx.pixels.table.principal import EVERYTHING, Principal
from dbx.pixels.table.sql import query
from dbx.pixels.table.upkeep import Upkept, optimize, optimize_if_due

__all__ = [
    "EVERYTHING",
    "Committed",
    "ObjectTable",
    "Principal",
    "StreamTransaction",
    "TableName",
    "Upkept",
    "optimize",
    "optimize_if_due",
    "query",
    "table_location",
]
