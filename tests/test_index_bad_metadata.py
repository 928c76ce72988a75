"""Rows that others have written, whose metadata is no data set in DICOM JSON: each costs itself, and no other one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from deltalake import write_deltalake

from dbx.pixels.index import Level, Search
from dbx.pixels.table import EVERYTHING, ObjectTable
from index_table import found, instance, paths, uid_of, unpacked
from table_rows import rows

if TYPE_CHECKING:
    from index_fixtures import OpenIndex

pytest_plugins = ["index_fixtures", "postgres"]

NO_DATA_SETS = [
    "nonsense",
    "",
    "[1]",
    "null",
    '{"00080020":null}',
    '{"00080020":{"Value":["20240517"]}}',
    '{"00080020":{"vr":"DA","Value":["2024',
    '{"00080020":{"vr":"DA","Value":"20240517"}, "00080060": 1',
]
#: What has the beginning and the end of a data set, and nonsense between them or as values.
RESEMBLING = [
    '{"00080020":{"vr":"DA","Value":[}}',
    '{"00080020":{"vr":"DA","Value":["20240517"]},"00080060":1,"00080061":{"vr":"CS"}}',
    '{"00080020":{"vr":"DA","Value":20240517},"00080060":{"vr":"CS"}}',
    '{"00080020":{"vr":"DA","Value":[{}]},"00200011":{"vr":"IS","Value":[{}]},"00100010":{"vr":"PN","Value":[[]]}}',
    '{"00200011":{"vr":"IS","Value":[123456789012345678901234567890]},"0008103E":{"vr":"LO","Value":["\\u0000"]}}',
]


#: A key for which the index has no column: it is looked for in the metadata.
COMMENT = ("00104000", "said of all")


def commented(path: str, **options: Any) -> dict[str, Any]:
    """The row of an object with a comment."""
    return instance(path, PatientComments=COMMENT[1], **options)


def append(table: ObjectTable, *records: dict[str, Any]) -> None:
    """Append rows as another writer of Delta tables does, which knows nothing of DICOM."""
    write_deltalake(table.location, rows(*records), mode="append", schema_mode="merge")


@pytest.mark.parametrize("meta", NO_DATA_SETS)
@pytest.mark.parametrize("number", [1, 3], ids=["first of its series", "last"])
def test_an_object_whose_metadata_is_none_is_left_out(
    table: ObjectTable, open_index: OpenIndex, meta: str, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    append(
        table, commented("/bad", number=number) | {"meta": meta}, commented("/good", number=2), commented("/2", study=2)
    )
    index = open_index()
    for bring_up_to_date in (index.sync, index.rebuild):
        caplog.clear()
        bring_up_to_date()
        assert paths(index) == {"/good", "/2"}
        assert found(index, Level.STUDY, ("00100010", "doe*")) == ["1.2.1", "1.2.2"]
        assert found(index, Level.INSTANCE, COMMENT) == ["1.2.1.1.2", "1.2.2.1.1"]
        (served,) = unpacked(index.packed_metadata("1.2.1", "1.2.1.1", EVERYTHING))
        assert served["00080018"]["Value"] == ["1.2.1.1.2"]
        (message,) = caplog.messages
        assert message.startswith("1 objects are not served, as their `meta` is no DICOM JSON")
    append(table, commented("/bad", number=number, minutes=1))
    table.refresh()
    index.sync()
    assert paths(index) == {"/good", "/2", "/bad"}, "it was written again"


@pytest.mark.parametrize("meta", RESEMBLING)
@pytest.mark.parametrize("number", [1, 3], ids=["first of its series", "last"])
def test_metadata_that_resembles_a_data_set_costs_no_other_object(
    table: ObjectTable, open_index: OpenIndex, meta: str, number: int
) -> None:
    append(
        table, commented("/bad", number=number) | {"meta": meta}, commented("/good", number=2), commented("/2", study=2)
    )
    index = open_index()
    for bring_up_to_date in (index.sync, index.rebuild):
        bring_up_to_date()
        assert paths(index) == {"/good", "/2", "/bad"}
        assert found(index, Level.INSTANCE, COMMENT) == ["1.2.1.1.2", "1.2.2.1.1"]
        everything = index.search(Search(Level.INSTANCE, include_all=True), EVERYTHING).datasets
        assert [uid_of(data_set, Level.INSTANCE) for data_set in everything if COMMENT[0] in data_set] == [
            "1.2.1.1.2",
            "1.2.2.1.1",
        ]


def test_data_sets_that_others_write_differently_are_kept(
    table: ObjectTable, open_index: OpenIndex, caplog: pytest.LogCaptureFixture
) -> None:
    usual = commented("/usual")
    data_set = orjson.loads(usual["meta"])
    spaced = "\n" + orjson.dumps(data_set, option=orjson.OPT_INDENT_2).decode() + "\n"
    append(
        table, usual, commented("/spaced", number=2) | {"meta": spaced}, commented("/empty", number=3) | {"meta": "{}"}
    )
    index = open_index()
    index.sync()
    first, second, third = unpacked(index.packed_metadata("1.2.1", "1.2.1.1", EVERYTHING))
    assert (second, third) == (first, {})
    assert not caplog.records
