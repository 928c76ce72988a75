"""Schemas in Spark's types and in Arrow's, without a session and for all versions of Spark that have `mapInArrow`."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.types as pt
from pyspark.sql import types as st

from dbx.pixels.errors import EngineError

#: Spark's types that have no parameters.
_SIMPLE = {
    st.StringType: pa.string(),
    st.BinaryType: pa.binary(),
    st.BooleanType: pa.bool_(),
    st.ByteType: pa.int8(),
    st.ShortType: pa.int16(),
    st.IntegerType: pa.int32(),
    st.LongType: pa.int64(),
    st.FloatType: pa.float32(),
    st.DoubleType: pa.float64(),
    st.DateType: pa.date32(),
    st.TimestampType: pa.timestamp("us", tz="UTC"),
    st.NullType: pa.null(),
}
_OF_ARROW = {arrow: spark for spark, arrow in _SIMPLE.items()}


def arrow_schema(schema: Any) -> pa.Schema:
    """Return the Arrow schema of a DataFrame's columns; times are in UTC.

    Parameters
    ----------
    schema : pyspark.sql.types.StructType
        The DataFrame's.

    Raises
    ------
    EngineError
        If a column is of a type that transformers cannot take, such as VARIANT.
    """
    return pa.schema([pa.field(field.name, _arrow_type(field.dataType, field.name)) for field in schema.fields])


def spark_schema(schema: pa.Schema) -> Any:
    """Return the Spark schema for columns of Arrow types; all are nullable.

    Raises
    ------
    EngineError
        If Spark has no such type.
    """
    return st.StructType([st.StructField(field.name, _spark_type(field.type, field.name)) for field in schema])


def _arrow_type(spark: Any, name: str) -> pa.DataType:
    if type(spark) in _SIMPLE:
        return _SIMPLE[type(spark)]
    if isinstance(spark, st.StringType):  # with a length or a collation
        return pa.string()
    if isinstance(spark, st.DecimalType):
        return pa.decimal128(spark.precision, spark.scale)
    if isinstance(spark, st.ArrayType):
        return pa.list_(_arrow_type(spark.elementType, name))
    if isinstance(spark, st.StructType):
        return pa.struct([pa.field(field.name, _arrow_type(field.dataType, name)) for field in spark.fields])
    raise EngineError(name, f"cannot take a column of type {spark.simpleString()}", "Cast it, or leave it out.")


def _spark_type(arrow: pa.DataType, name: str) -> Any:
    if arrow in _OF_ARROW:
        return _OF_ARROW[arrow]()
    if pt.is_timestamp(arrow):
        return st.TimestampType()
    if pt.is_decimal128(arrow):
        return st.DecimalType(arrow.precision, arrow.scale)
    if pt.is_list(arrow):
        return st.ArrayType(_spark_type(arrow.value_type, name))
    if pt.is_struct(arrow):
        return st.StructType([st.StructField(child.name, _spark_type(child.type, name)) for child in arrow])
    raise EngineError(name, f"Spark has no type for a column of {arrow}", "Cast it, or leave it out.")
