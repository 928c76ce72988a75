"""A table that a session of Spark knows by name: Spark's data source `delta` reads and writes it."""

from __future__ import annotations

import functools
import operator
import random
import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import dropwhile
from typing import Any

import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import functions as F  # noqa: N812 - as everybody who writes Spark calls it
from pyspark.sql import types as st

from dbx.pixels.engine.spark.failures import telling
from dbx.pixels.engine.spark.frame import received, spread
from dbx.pixels.engine.spark.sql import identifier, literal
from dbx.pixels.engine.spark.types import arrow_schema, spark_schema
from dbx.pixels.errors import ArgumentError, CommitConflictError, EngineError, TableError
from dbx.pixels.table.changes import filled_columns
from dbx.pixels.table.columns import same_type, with_ours, without_known
from dbx.pixels.table.log import CONFIGURATION
from dbx.pixels.table.names import TableName
from dbx.pixels.table.objects import ATTEMPTS, LONGEST_PAUSE, Committed, StreamTransaction
from dbx.pixels.table.prefixes import MEMBERS, ranges
from dbx.pixels.table.schema import IDENTITY, KNOWN_SCHEMA, TABLE_SCHEMA

#: Properties of tables that are made: as those of the embedded engine, without what it could not read, and without a
#: change feed, for which Spark would write files of its own with every change.
_PROPERTIES = {
    **{name: value for name, value in CONFIGURATION.items() if name != "delta.enableChangeDataFeed"},
    "delta.enableDeletionVectors": "false",
}

_SAME = " AND ".join(f"old.{name} IS NOT DISTINCT FROM given.{name}" for name in IDENTITY[1:])

_NO_SOURCE = re.compile(r"DATA_SOURCE_NOT_FOUND|No data source found for: delta")
_CONFLICT = re.compile(
    r"DELTA_(?:CONCURRENT|METADATA_CHANGED|PROTOCOL_CHANGED)|Concurrent\w+Exception|Failed to commit transaction"
)
#: How Delta's implementations tell of features that they lack.
_FEATURES = re.compile(
    r"(?:UNSUPPORTED_FEATURES_FOR_[\s\S]+? unsupported by [^:]+|features required|features must be specified[^:]*):"
    r" \[?([\w, -]+)"
)


class NamedTable:
    """A Delta table with one live row per path, as `ObjectTable`, worked on by Spark alone.

    What is committed is decided by Delta's MERGE within its transaction, so that another writer's commit is a
    conflict. Delta skips a repeated transaction without a word: where no rows were affected, it is looked up whether
    they are there.

    Parameters
    ----------
    session : pyspark.sql.SparkSession
        Classic or of Spark Connect. Its settings are Delta's, such as
        ``spark.databricks.delta.commitInfo.userMetadata``.
    name : TableName
        Of an existing table. Use `find` or `create_if_missing`.

    Attributes
    ----------
    schema : pyarrow.Schema
        The table's columns, and those that it lacks of the ones that Pixels writes: they read as null. Those of types
        that only Spark has are left out.
    """

    def __init__(self, session: Any, name: TableName) -> None:
        self.name = name
        self._session = session
        self._quoted = ".".join(map(identifier, name))
        self.refresh()

    @classmethod
    def find(cls, session: Any, name: TableName) -> NamedTable | None:
        """Open a table, or return None if there is none.

        Raises
        ------
        EngineError
            If the session has no data source `delta`.
        TableError
            If it is not a Delta table of objects.
        """
        with telling():
            is_there = session.catalog.tableExists(".".join(map(identifier, name)))
        return cls(session, name) if is_there else None

    @classmethod
    def create_if_missing(cls, session: Any, name: TableName) -> NamedTable:
        """Open a table, made before with its schema if it was not there.

        Raises
        ------
        EngineError
            If the session has no data source `delta`.
        TableError
            If it cannot be made, or what is there is not a Delta table of objects.
        """
        found = cls.find(session, name)
        if found:
            return found
        schema = ".".join(map(identifier, name[:2]))
        try:
            with _telling(name):
                if not session.catalog.databaseExists(schema):
                    session.sql(f"CREATE SCHEMA IF NOT EXISTS {schema}").collect()
                _append_nothing(session, name, TABLE_SCHEMA)
        except (EngineError, CommitConflictError):
            if not cls.find(session, name):  # another writer was not faster
                raise
        return cls(session, name)

    @property
    def address(self) -> TableName:
        """What finds the table again in a session: its name."""
        return self.name

    @property
    def version(self) -> None:
        """Only Spark knows it."""

    @property
    def location(self) -> str:
        """Where its files lie, as the session says; others need not reach them there."""
        return self._described()["Location"]

    def refresh(self) -> None:
        """Look at the columns anew; the rows are always the newest."""
        provider = self._described().get("Provider", "none")
        if provider.lower() != "delta":
            raise TableError(str(self.name), f"is no Delta table, but of {provider}", "Choose another table.")
        with _telling(self.name):
            fields = self._table().schema.fields
        columns = st.StructType([field for field in fields if _has_arrow_type(field)])
        self.schema = with_ours(arrow_schema(columns), str(self.name))
        lacking = [field for field in spark_schema(self.schema).fields if field.name not in {f.name for f in fields}]
        self._types = {field.name: field.dataType for field in (*fields, *lacking)}

    def transaction_version(self, application_id: str) -> None:
        """Return None: Delta tells nobody in SQL. The rows of a batch say whether it was saved."""

    def rows(self) -> Any:
        """Return a DataFrame of the table as it is now, with the columns of `schema`."""
        have = self._table()
        lacking = [F.lit(None).cast(self._types[name]).alias(name) for name in self._types if name not in have.columns]
        return have.select("*", *lacking)

    def known(self, *prefixes: str) -> pa.RecordBatchReader:
        """Read what is known of the objects under the prefixes, as `ObjectTable.known`.

        When a row was written is not known: so late that an empty folder does not say that its objects are gone.
        """
        unreadable = F.expr("error IS NOT NULL AND file_type IS NULL").alias("unreadable")
        written = F.current_timestamp().alias("written")
        rows = self.rows().where(_under(prefixes))
        return self._received(
            rows.select("path", "modificationTime", "length", "original_path", unreadable, written), KNOWN_SCHEMA
        )

    def read(self, columns: Sequence[str], condition: str, prefixes: Sequence[str]) -> pa.RecordBatchReader:
        """Read columns of the rows under the prefixes for which a condition in SQL holds."""
        rows = self.rows().where(_under(prefixes)).where(condition)
        return self._received(rows.select(*columns), pa.schema([self.schema.field(name) for name in columns]))

    def add_columns(self, schema: pa.Schema) -> None:
        """Add the columns that the table lacks of these and of those that Pixels writes.

        Raises
        ------
        ArgumentError
            If a column is of a type that Delta does not have.
        TableError
            If a column's type differs from the table's, or the table cannot be altered.
        """
        for field in schema:
            place = self.schema.get_field_index(field.name)
            held = self.schema.field(place).type if place >= 0 else field.type
            if field.type != pa.null() and not same_type(field.type, held):
                raise TableError(
                    str(self.name),
                    f"cannot hold these rows: column {field.name} is {field.type}, not {held}",
                    "Give the column the table's type, or another name.",
                )
        wanted = [*self.schema, *without_known(schema, self.schema)]
        have = set(self._table().columns)
        missing = [field for field in wanted if field.name not in have]
        if missing:
            with _telling(self.name):
                _append_nothing(self._session, self.name, pa.schema(missing))
            self.refresh()

    def save(self, df: Any, *, transaction: StreamTransaction | None = None) -> None:
        """Save rows in one commit, as `ObjectTable.save` does.

        Parameters
        ----------
        df : pyspark.sql.DataFrame
            Read several times. Of several rows with one path, any one counts.
        transaction : StreamTransaction, optional
            Delta does nothing if the table holds it, or a later one, already.

        Raises
        ------
        ArgumentError
            If there is no column `path`, a path is null, or a column is of a type that Delta does not have.
        TableError
            If a column's type differs from the table's, the table cannot be written, or holds the transaction, but not
            the rows.
        CommitConflictError
            If other writers were faster all the time.
        """
        schema = arrow_schema(df.schema)
        self.add_columns(schema)
        with telling():
            path = F.col("path")
            found = df.agg(F.count(F.lit(1)), F.count(path), F.countDistinct(path), F.min(path), F.max(path)).first()
        rows, with_path, paths, least, greatest = found
        if rows > with_path:
            raise ArgumentError("path", "is absent", "Every row needs the path of its object.")
        if not rows:
            return
        given = df if rows == paths else df.dropDuplicates(["path"])
        given = given.select(
            *(
                (F.col(identifier(name)) if name in schema.names else F.lit(None)).cast(held).alias(name)
                for name, held in self._types.items()
            )
        )
        within = f"old.path BETWEEN {literal(least)} AND {literal(greatest)}"
        values, fills = filled_columns(schema.names, identifier)
        with _view(given) as view:
            joined = f"{view} AS given LEFT JOIN {self._quoted} AS old ON old.path = given.path AND {within}"
            is_left = f"old.path IS NULL OR NOT ({_SAME})"
            fill = ""
            known = f"{view} AS given JOIN {self._quoted} AS old ON old.path = given.path AND {within}"
            filled = " OR ".join(self._filled(known, fills))
            if filled:
                is_left += f" OR {filled}"
                assignments = ", ".join(f"{identifier(name)} = {value}" for name, value in values.items())
                fill = f"WHEN MATCHED AND ({filled}) THEN UPDATE SET {assignments}"
            merge = f"""
                MERGE INTO {self._quoted} AS old USING {view} AS given ON old.path = given.path AND {within}
                WHEN MATCHED AND NOT ({_SAME}) THEN UPDATE SET *
                {fill}
                WHEN NOT MATCHED THEN INSERT *"""
            self._until_done(lambda: self._count(joined, is_left), merge, transaction)

    def remove(self, objects: pa.Table) -> Committed:
        """Remove the rows of objects that are gone, as `ObjectTable.remove` does."""
        given = objects.select(IDENTITY)
        with _view(spread(self._session, given)) as view:
            joined = f"{self._quoted} AS old JOIN {view} AS given ON old.path = given.path"
            removed = self._count(joined, _SAME)
            merge = f"""
                MERGE INTO {self._quoted} AS old USING {view} AS given ON old.path = given.path
                WHEN MATCHED AND {_SAME} THEN DELETE"""
            self._until_done(lambda: self._count(joined, _SAME), merge)
        return Committed(None, removed=removed)

    def _filled(self, known: str, fills: dict[str, str]) -> list[str]:
        """Return the predicates of columns that are filled in rows of objects that are known as they are."""
        if not fills or not self._count(known, _SAME):
            return []  # as for most rows: no other columns have to be read
        counts = ", ".join(f"count(CASE WHEN {fill} THEN 1 END)" for fill in fills.values())
        with _telling(self.name):
            found = self._session.sql(f"SELECT {counts} FROM {known} WHERE {_SAME}").first()
        return [fill for fill, count in zip(fills.values(), found, strict=True) if count]

    def _until_done(self, left: Callable[[], int], merge: str, transaction: StreamTransaction | None = None) -> None:
        """Commit what is left to do; on a conflict look again, and decide again."""
        for attempt in range(ATTEMPTS):
            if not left():
                return
            try:
                with _telling(self.name), _transaction(self._session, transaction):
                    told = self._session.sql(merge).collect()
            except CommitConflictError:
                time.sleep(random.uniform(0, min(LONGEST_PAUSE, 0.05 * 2**attempt)))
                continue
            affected = told[0][0] if told else 0
            if not affected and left():
                raise self._skipped(transaction)
            return
        raise CommitConflictError(
            str(self.name), f"other writers were faster {ATTEMPTS} times", "Run again when they are done."
        )

    def _skipped(self, transaction: StreamTransaction | None) -> TableError:
        if transaction:
            return TableError(
                str(self.name),
                f"holds batch {transaction.version} of {transaction.application_id}, but not its rows",
                "Begin the stream anew, with another folder for its checkpoint.",
            )
        return TableError(
            str(self.name),
            "was not written: Delta skipped it as a transaction that it has",
            "Unset spark.databricks.delta.write.txnAppId and txnVersion in the session.",
        )

    def _count(self, source: str, condition: str) -> int:
        with _telling(self.name):
            return self._session.sql(f"SELECT count(*) FROM {source} WHERE {condition}").first()[0]

    def _table(self) -> Any:
        return self._session.table(self._quoted)

    def _received(self, df: Any, schema: pa.Schema) -> pa.RecordBatchReader:
        def batches() -> Iterator[pa.RecordBatch]:
            with _telling(self.name):
                yield from received(df, schema)

        return pa.RecordBatchReader.from_batches(schema, batches())

    def _described(self) -> dict[str, str]:
        with _telling(self.name):
            rows = self._session.sql(f"DESCRIBE TABLE EXTENDED {self._quoted}").collect()
        about = dropwhile(lambda row: row.col_name != "# Detailed Table Information", rows)  # after its columns
        return {row.col_name: row.data_type for row in about}


def _has_arrow_type(field: Any) -> bool:
    try:
        arrow_schema(st.StructType([field]))
    except EngineError:
        return False
    return True


def _append_nothing(session: Any, name: TableName, schema: pa.Schema) -> None:
    """Make a table with these columns, or add them to the one that is there."""
    nothing = session.createDataFrame([], spark_schema(schema)).write.format("delta").mode("append")
    nothing.options(mergeSchema="true", **_PROPERTIES).saveAsTable(".".join(map(identifier, name)))


def _under(prefixes: Sequence[str]) -> Any:
    """Return the condition of rows that lie under one of the prefixes (`dbx.pixels.table.prefixes.under`)."""
    if not prefixes:
        return F.lit(True)
    columns = [F.col("path"), F.col("original_path")]
    # The first by which Delta skips files, since it looks at the columns themselves.
    near = [column.between(*bounds) for column in columns for bounds in ranges(prefixes)]
    places = [_outermost(column) for column in columns]
    inside = []
    for prefix in (prefix.rstrip("/") for prefix in prefixes):
        if prefix.startswith("zip://"):
            inside += [column == prefix for column in columns]
        else:
            inside += [(place == prefix) | place.startswith(prefix + "/") for place in places]
    return functools.reduce(operator.or_, near) & functools.reduce(operator.or_, inside)


def _outermost(column: Any) -> Any:
    return F.when(column.startswith("zip://"), F.regexp_replace(column, MEMBERS, "")).otherwise(column)


@contextmanager
def _view(df: Any) -> Iterator[str]:
    """Give a DataFrame a name for SQL, for a while."""
    name = f"pixels_{uuid.uuid4().hex}"
    with telling():
        df.createOrReplaceTempView(name)
    try:
        yield name
    finally:
        with suppress(PySparkException, Py4JError):
            df.sparkSession.catalog.dropTempView(name)


@contextmanager
def _transaction(session: Any, transaction: StreamTransaction | None) -> Iterator[None]:
    """Let Delta record an application's transaction with what is committed meanwhile.

    Where nobody may set that, as on serverless compute of Databricks, the rows alone tell what is done.
    """
    if transaction is None:
        yield
        return
    settings = {
        "spark.databricks.delta.write.txnAppId": transaction.application_id,
        "spark.databricks.delta.write.txnVersion": str(transaction.version),
    }
    with suppress(PySparkException):
        for name, value in settings.items():
            session.conf.set(name, value)
    try:
        yield
    finally:
        with suppress(PySparkException):
            for name in settings:
                session.conf.unset(name)


@contextmanager
def _telling(name: TableName) -> Iterator[None]:
    """Tell what goes wrong with a table.

    Raises
    ------
    EngineError
        If Spark has no data source `delta`, or fails.
    TableError
        If the table uses features that Spark's source lacks.
    CommitConflictError
        If another writer was faster.
    """
    with telling():
        try:
            yield
        except (PySparkException, Py4JError) as error:
            text = str(error)
            if _NO_SOURCE.search(text):
                raise EngineError(
                    str(name),
                    "this Spark has no data source delta, which tables are reached by whose names it knows",
                    "Start it with the jar: --packages io.delta:delta-spark_2.13:VERSION, and the settings that Delta"
                    " Lake's manual names; or give the folder or URL of a table.",
                ) from error
            features = _FEATURES.search(text)
            if features:
                raise TableError(
                    str(name),
                    f"uses Delta features that this Spark cannot read or write: {features[1].strip()}",
                    "Drop them with ALTER TABLE ... DROP FEATURE, or use a newer Delta Lake.",
                ) from error
            if _CONFLICT.search(text):
                raise CommitConflictError(str(name), "another writer was faster", "Run again.") from error
            raise
