"""Types of columns: which are the same, and in which type Delta holds one of the user's own."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.types as pt

from dbx.pixels.errors import ArgumentError, TableError
from dbx.pixels.table.schema import IDENTITY, TABLE_SCHEMA

_HELD_AS = {
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.int64(),
    pa.float16(): pa.float32(),
    pa.date64(): pa.date32(),
}


#: Names that DuckDB gives the address of a row's file, and its number in there.
_PLACES = ("filename", "file_row_number")


def same_type(one: pa.DataType, other: pa.DataType) -> bool:
    """Compare types apart from nullability, names of list items and width of offsets."""
    if pt.is_struct(one) and pt.is_struct(other):
        return [field.name for field in one] == [field.name for field in other] and all(
            same_type(one.field(at).type, other.field(at).type) for at in range(one.num_fields)
        )
    if (pt.is_list(one) or pt.is_large_list(one)) and (pt.is_list(other) or pt.is_large_list(other)):
        return same_type(one.value_type, other.value_type)
    return _HELD_AS.get(one, one) == _HELD_AS.get(other, other)


def with_ours(columns: pa.Schema, table: str) -> pa.Schema:
    """Return a table's columns, and after them those that it lacks of the ones that Pixels writes.

    Raises
    ------
    TableError
        If the table has a column of another type, or none by which objects are recognised.
    """
    for name in IDENTITY:
        if name not in columns.names:
            raise TableError(table, f"has no column {name}, it is no table of objects", "Choose another table.")
    for field in columns:
        place = TABLE_SCHEMA.get_field_index(field.name)
        if place >= 0 and not same_type(field.type, TABLE_SCHEMA.field(place).type):
            raise TableError(
                table,
                f"column {field.name} is {field.type}, not {TABLE_SCHEMA.field(place).type}",
                "Choose another table.",
            )
    return pa.schema([*columns, *(field for field in TABLE_SCHEMA if field.name not in set(columns.names))])


def without_known(fields: Iterable[pa.Field], known: pa.Schema) -> list[pa.Field]:
    """Return the columns that a table lacks, as it would hold them.

    Raises
    ------
    ArgumentError
        If Delta cannot hold one of them, the table spells it otherwise, or its name means something else.
    """
    # A column of nothing but nulls may come without a type; it need not be there.
    names = set(known.names)
    lacking = [held_as(field) for field in fields if field.name not in names and field.type != pa.null()]
    for field in lacking:
        if field.name.lower() in _PLACES:
            raise ArgumentError(field.name, "is how DuckDB calls the place of a row", "Give the column another name.")
    spellings = {name.lower(): name for name in known.names}
    for field in lacking:
        if field.name.lower() in spellings:
            raise ArgumentError(
                field.name, f"the table has a column {spellings[field.name.lower()]}", "Spell it the same way."
            )
    return lacking


def held_as(field: pa.Field) -> pa.Field:
    """Return the nullable field by which a table holds a column, without features that other readers may lack.

    Raises
    ------
    ArgumentError
        If Delta has no such type.
    """
    return pa.field(field.name, _held_as(field.type, field.name))


def _held_as(held: pa.DataType, name: str) -> pa.DataType:
    if pt.is_dictionary(held):
        return _held_as(held.value_type, name)
    if pt.is_timestamp(held):  # without a time zone, or in nanoseconds, it would need a newer reader
        return pa.timestamp("us", tz="UTC")
    if pt.is_list(held) or pt.is_large_list(held) or pt.is_fixed_size_list(held):
        return pa.list_(_held_as(held.value_type, name))
    if pt.is_struct(held):
        return pa.struct([pa.field(child.name, _held_as(child.type, name)) for child in held])
    if pt.is_duration(held) or pt.is_time(held) or pt.is_interval(held) or pt.is_union(held) or pt.is_null(held):
        raise ArgumentError(name, f"a table cannot hold a column of type {held}", "Cast it, or leave it out.")
    return _HELD_AS.get(held, held)
