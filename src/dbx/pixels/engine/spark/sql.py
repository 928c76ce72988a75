"""Names and texts as they are written in the SQL of Spark and Databricks, without a session."""

from __future__ import annotations


def identifier(name: str) -> str:
    """Quote the name of a column, or one part of a table's."""
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """Quote a text."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
