"""The tables of the serving index, and the attributes that each of them can be searched by."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable, CreateView

from dbx.pixels.dicom.attributes import ATTRIBUTES, Attribute
from dbx.pixels.index.model import Level

#: To be raised whenever what the tables hold changes: an index of another layout is made anew.
LAYOUT = 7

#: The scope in which everything is visible; others belong to row filters (see `scopes`).
EVERYTHING_SCOPE = 0

_KEYWORDS = [attribute.keyword for attribute in ATTRIBUTES]
_SERIES_STARTS, _INSTANCE_STARTS = map(_KEYWORDS.index, ("SeriesInstanceUID", "SOPClassUID"))

#: Attributes by the level whose table has a column of them; those of patients are in the table of studies.
ATTRIBUTES_BY_LEVEL: dict[Level, tuple[Attribute, ...]] = {
    Level.STUDY: ATTRIBUTES[:_SERIES_STARTS],
    Level.SERIES: ATTRIBUTES[_SERIES_STARTS:_INSTANCE_STARTS],
    Level.INSTANCE: ATTRIBUTES[_INSTANCE_STARTS:],
}

#: In SQLite an INTEGER that is the primary key is the row's own number, and costs no further index.
_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")

metadata = sa.MetaData()


def folded(keyword: str) -> str:
    """Return the column of a person's name as it is compared: ``=group=group=``, in lower case, without accents."""
    return f"{keyword}_folded"


def _type(attribute: Attribute) -> sa.types.TypeEngine[Any]:
    if attribute.multiple:
        return sa.Text()  # \value\value\ so that one value can be looked for
    types: dict[str, sa.types.TypeEngine[Any]] = {"IS": sa.BigInteger(), "US": sa.Integer(), "DS": sa.Float(53)}
    return types.get(attribute.vr, sa.Text())


def _columns(level: Level) -> list[sa.Column]:
    columns = []
    for attribute in ATTRIBUTES_BY_LEVEL[level]:
        columns.append(sa.Column(attribute.keyword, _type(attribute)))
        if attribute.vr == "PN":
            columns.append(sa.Column(folded(attribute.keyword), sa.Text))
    return columns


#: What the index knows of itself: its `layout`, and which `table` it shows, in which `version`.
state = sa.Table("state", metadata, sa.Column("name", sa.Text, primary_key=True), sa.Column("value", sa.BigInteger))

#: Data files of the table at that version.
file = sa.Table(
    "file",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("uri", sa.Text, nullable=False),
)

#: Row filters of principals, with the table's version for which their rows in `visible`, `study` and `series` hold.
#: Whatever is in `changed` for later versions does not hold.
scope = sa.Table(
    "scope",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("predicate", sa.Text, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
)

#: `answer` is JSON of the attributes that always come when studies are searched for, `others` of the others of the
#: level; without those that are empty, and with those that the index computes.
study = sa.Table(
    "study",
    metadata,
    sa.Column("scope", sa.Integer, nullable=False),
    sa.Column("id", sa.BigInteger, nullable=False),
    *_columns(Level.STUDY),
    sa.Column("ModalitiesInStudy", sa.Text),
    sa.Column("SOPClassesInStudy", sa.Text),
    sa.Column("NumberOfStudyRelatedSeries", sa.Integer),
    sa.Column("NumberOfStudyRelatedInstances", sa.Integer),
    sa.Column("answer", sa.LargeBinary),
    sa.Column("others", sa.LargeBinary),
    sa.PrimaryKeyConstraint("id", "scope"),
)

#: `summary` is likewise JSON of all attributes, and of those of patient and study as the series has them, which the
#: first of its instances tells, `first_id`. Without a visible instance, a series is in no scope.
series = sa.Table(
    "series",
    metadata,
    sa.Column("scope", sa.Integer, nullable=False),
    sa.Column("id", sa.BigInteger, nullable=False),
    sa.Column("study_id", sa.BigInteger, nullable=False),
    sa.Column("first_id", sa.BigInteger, nullable=False),
    sa.Column("StudyInstanceUID", sa.Text, nullable=False),
    *_columns(Level.SERIES),
    sa.Column("SOPClassesInSeries", sa.Text),
    sa.Column("NumberOfSeriesRelatedInstances", sa.Integer),
    sa.Column("summary", sa.LargeBinary),
    sa.PrimaryKeyConstraint("id", "scope"),
)

#: Columns that tell the instances of a series apart.
_OWN = frozenset(
    {
        "SOPInstanceUID",
        "InstanceNumber",
        "AcquisitionTime",
        "AcquisitionDateTime",
        "ContentTime",
        "ImagePositionPatient",
        "SliceLocation",
        "WindowCenter",
        "WindowWidth",
        "pixel_offset",
        "pixel_length",
        "fragments",
    }
)
_INSTANCE_COLUMNS = [
    *_columns(Level.INSTANCE),
    sa.Column("pixel_tag", sa.Text),
    sa.Column("pixel_offset", sa.BigInteger),
    sa.Column("pixel_length", sa.BigInteger),
    sa.Column("fragments", sa.LargeBinary),
]

#: Values that instances of a series have in common, once for all that have the same.
shared = sa.Table(
    "shared",
    metadata,
    sa.Column("id", _ID, primary_key=True, autoincrement=False),
    sa.Column("series_id", sa.BigInteger, nullable=False),
    *(column for column in _INSTANCE_COLUMNS if column.name not in _OWN),
)

#: Every object with the three UIDs; `shown` is false if another object shows its SOP Instance UID.
own = sa.Table(
    "own",
    metadata,
    sa.Column("id", _ID, primary_key=True, autoincrement=False),
    sa.Column("series_id", sa.BigInteger, nullable=False),
    sa.Column("shared_id", sa.BigInteger, nullable=False),
    sa.Column("file_id", sa.Integer, nullable=False),
    sa.Column("shown", sa.Boolean, nullable=False),
    sa.Column("pack_id", sa.BigInteger, nullable=False),
    sa.Column("start", sa.BigInteger, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("path", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
    sa.Column("local_path", sa.Text),  # null if it is the path
    sa.Column("length", sa.BigInteger),
    sa.Column("modificationTime", sa.BigInteger),  # microseconds since 1970
    *(column for column in _INSTANCE_COLUMNS if column.name in _OWN),
)

#: Both together, as instances are read.
_CREATE_INSTANCE = CreateView(
    sa.select(*own.columns, *(column for column in shared.columns if column.name not in own.c)).join(
        shared, shared.c.id == own.c.shared_id
    ),
    "instance",
)
instance = _CREATE_INSTANCE.table

#: Metadata of some of a series' instances, see `packing`: first those of the pack with the least id.
pack = sa.Table(
    "pack",
    metadata,
    sa.Column("id", _ID, primary_key=True, autoincrement=False),
    sa.Column("series_id", sa.BigInteger, nullable=False),
    sa.Column("shown", sa.Boolean, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)

#: Instances that a scope shows.
visible = sa.Table(
    "visible",
    metadata,
    sa.Column("scope", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("instance_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

#: Series that a version of the table has changed, since the oldest version of a row filter.
changed = sa.Table(
    "changed",
    metadata,
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("series_id", sa.BigInteger, nullable=False),
    sa.Column("study_id", sa.BigInteger, nullable=False),
)

TABLE_BY_LEVEL = {Level.STUDY: study, Level.SERIES: series, Level.INSTANCE: instance}

_INDEXES = (
    sa.Index("study_uid", study.c.StudyInstanceUID, study.c.scope),
    # With the names, so that a study list by name is found in its order without looking at the studies.
    sa.Index(
        "study_order",
        study.c.scope,
        study.c.StudyDate.desc(),
        study.c.StudyInstanceUID,
        study.c.PatientName_folded,
        study.c.id,
    ),
    sa.Index("study_patient", study.c.PatientID, study.c.scope),
    sa.Index("study_accession", study.c.AccessionNumber, study.c.scope),
    sa.Index("series_uid", series.c.StudyInstanceUID, series.c.SeriesInstanceUID, series.c.scope),
    sa.Index("series_alone", series.c.SeriesInstanceUID, series.c.scope),
    sa.Index("series_study", series.c.study_id, series.c.scope),
    sa.Index("own_series", own.c.series_id),
    sa.Index("own_uid", own.c.SOPInstanceUID),
    sa.Index("own_file", own.c.file_id),
    sa.Index("shared_series", shared.c.series_id),
    sa.Index("pack_series", pack.c.series_id),
)


def create_tables(connection: sa.Connection) -> None:
    """Make all tables, empty and without the indexes that a bulk load would have to keep up."""
    for table in metadata.sorted_tables:
        connection.execute(CreateTable(table))
    connection.execute(_CREATE_INSTANCE)


def create_indexes(connection: sa.Connection) -> None:
    """Make the indexes of full tables."""
    for index in _INDEXES:
        connection.execute(CreateIndex(index))
