"""Types of columns: which are the same, and in which type Delta holds one of the user's own."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.types as pt

from dbx.pixels.errors import ArgumentError

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


def same_type(one: pa.DataType, other: pa.DataType) -> bool:
    """Compare types apart from nullability, names of list items and width of offsets."""
    if pt.is_struct(one) and pt.is_struct(other):
        return [field.name for field in one] == [field.name for field in other] and all(
            same_type(one.field(at).type, other.field(at).type) for at in range(one.num_fields)
        )
    if (pt.is_list(one) or pt.is_large_list(one)) and (pt.is_list(other) or pt.is_large_list(other)):
        return same_type(one.value_type, other.value_type)
    return _HELD_AS.get(one, one) == _HELD_AS.get(other, other)


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
