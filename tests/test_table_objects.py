"""Saving to the table of objects, and reading what is known."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from dbx.pixels.errors import ArgumentError, TableError, TableNotFoundError
from dbx.pixels.table import ObjectTable, StreamTransaction
from dbx.pixels.table.schema import KNOWN_SCHEMA, TABLE_SCHEMA
from table_rows import NOON, ct_slice, live, read, row, rows


@pytest.fixture
def location(tmp_path: Path) -> str:
    return str(tmp_path / "main" / "test it" / "objects")


@pytest.fixture
def table(location: str) -> ObjectTable:
    return ObjectTable.create_if_missing(location)


def test_a_new_table_is_a_delta_table_with_a_change_feed(table: ObjectTable) -> None:
    delta = DeltaTable(table.location)
    assert pa.schema(delta.schema().to_arrow()).equals(TABLE_SCHEMA)
    assert delta.metadata().configuration["delta.enableChangeDataFeed"] == "true"
    assert not delta.protocol().reader_features
    assert table.files() == []
    assert ObjectTable.create_if_missing(table.location).version == table.version


def test_a_missing_table_says_how_to_make_one(location: str) -> None:
    assert ObjectTable.find(location) is None
    with pytest.raises(TableNotFoundError, match="pixels ingest"):
        ObjectTable.open(location)


def test_no_table_is_made_among_other_files(tmp_path: Path) -> None:
    (tmp_path / "scan.dcm").write_bytes(b"precious")
    with pytest.raises(TableError, match="the folder holds other files"):
        ObjectTable.create_if_missing(str(tmp_path))


def test_unknown_paths_are_added_in_one_commit(table: ObjectTable) -> None:
    before = table.version
    saved = table.save(rows(ct_slice("/a/1"), ct_slice("/a/2", instance=2)))
    assert saved == (before + 1, 2, 0, 0, 0, 0)
    assert live(table, "SOPInstanceUID") == {"/a/1": "1.2.1.1.1", "/a/2": "1.2.1.1.2"}


def test_the_same_again_writes_nothing(table: ObjectTable) -> None:
    chunk = rows(ct_slice("/a/1"), ct_slice("/a/2"))
    version = table.save(chunk).version
    again = ObjectTable.open(table.location).save(chunk)
    assert (again.version, again.unchanged, again.new) == (version, 2, 0)


@pytest.mark.parametrize("change", [{"minutes": 1}, {"length": 7}, {"minutes": -1}])
def test_a_changed_object_replaces_its_row_in_one_commit(table: ObjectTable, change: dict[str, int]) -> None:
    first = table.save(rows(row("/a/1", thumbnail=b"old"), row("/a/2")))
    changed = table.save(rows(row("/a/1", extension="dcm", **change)))
    assert (changed.changed, changed.new, changed.version) == (1, 0, first.version + 1)
    assert live(table, "extension", "thumbnail") == {"/a/1": ("dcm", None), "/a/2": (None, None)}


def test_null_columns_are_filled_and_nothing_else_is_lost(table: ObjectTable) -> None:
    table.save(rows(ct_slice("/a/1"), ct_slice("/a/2", instance=2), row("/a/3")))
    filled = table.save(rows(row("/a/1", thumbnail=b"jpeg"), row("/a/2")))
    assert (filled.filled, filled.unchanged) == (1, 1)
    assert live(table, "thumbnail", "PatientID") == {
        "/a/1": (b"jpeg", "P1"),
        "/a/2": (None, "P1"),
        "/a/3": (None, None),
    }
    assert table.save(rows(row("/a/1", thumbnail=b"other"))).unchanged == 1


def test_a_header_read_at_last_takes_the_error_away(table: ObjectTable) -> None:
    table.save(rows(row("/a/1", error="permission denied")))
    table.save(rows(ct_slice("/a/1")))
    assert live(table, "error", "PatientID") == {"/a/1": (None, "P1")}


def test_what_turns_out_to_be_no_dicom_loses_its_error_too(table: ObjectTable) -> None:
    table.save(rows(row("/a/notes.txt", error="may not be read")))
    table.save(rows(row("/a/notes.txt", file_type="text/plain")))
    assert live(table, "error", "file_type") == {"/a/notes.txt": (None, "text/plain")}


def test_a_later_failure_to_read_does_not_blemish_a_good_row(table: ObjectTable) -> None:
    table.save(rows(ct_slice("/a/1")))
    assert table.save(rows(row("/a/1", error="permission denied"))).unchanged == 1
    assert live(table, "error") == {"/a/1": None}


def test_of_a_path_given_twice_the_last_counts(table: ObjectTable) -> None:
    assert table.save(rows(row("/a/1", length=1), row("/a/2"), row("/a/1", length=2))).new == 2
    assert live(table) == {"/a/1": 2, "/a/2": 1000}


def test_no_rows_at_all_are_no_commit(table: ObjectTable) -> None:
    assert table.save(rows(row("/a"))[:0]) == (table.version, 0, 0, 0, 0, 0)


def test_rows_without_a_path_are_refused(table: ObjectTable) -> None:
    for chunk in (pa.table({"length": [1]}), rows(row("/a")).set_column(0, "path", pa.nulls(1, pa.string()))):
        with pytest.raises(ArgumentError, match="Every row needs the path"):
            table.save(chunk)


def test_only_the_files_that_hold_replaced_rows_are_written_anew(table: ObjectTable) -> None:
    for folder in "abc":
        table.save(rows(*(row(f"/{folder}/{number}") for number in range(5))))
    before = set(table.files())
    table.save(rows(row("/b/3", length=3)))
    assert len(before - set(table.files())) == 1
    assert live(table)["/b/3"] == 3
    assert len(live(table)) == 15


def test_removed_rows_leave_with_their_file_or_without_it(table: ObjectTable) -> None:
    table.save(rows(row("/a/1"), row("/a/2")))
    table.save(rows(row("/b/1")))
    assert table.remove(rows(row("/a/1"), row("/b/1"), row("/b/2"))).removed == 2
    assert live(table) == {"/a/2": 1000}
    version = table.version
    assert table.remove(rows(row("/a/1"))) == (version, 0, 0, 0, 0, 0)


def test_only_rows_that_still_are_as_they_were_known_are_removed(table: ObjectTable) -> None:
    without_time = pa.table({"path": ["/a/3"], "length": [1000]})
    table.save(rows(row("/a/1"), row("/a/2")))
    table.save(without_time)
    table.save(rows(row("/a/4")))
    known = table.known("/a").read_all()
    other = ObjectTable.open(table.location)
    other.save(rows(row("/a/1", minutes=5), row("/a/2", length=5)))
    assert table.remove(known).removed == 2
    assert live(table) == {"/a/1": 1000, "/a/2": 5}


def test_what_lies_under_a_folder_or_an_archive_is_known_and_can_be_removed(table: ObjectTable) -> None:
    inside = "zip://scan%3A%3A1.dcm::/data/b.zip"
    nested = "zip://1.dcm::zip://inner.zip::/data/b.zip"
    unpacked = row("/Volumes/v/unzipped/1.dcm", original_path="zip://1.dcm::/data/a/c.zip")
    table.save(rows(row("/data/a/1"), row("/data/ab/1"), row(inside), row(nested), unpacked, row("/data/a")))

    def known(*prefixes: str) -> set[str]:
        return set(table.known(*prefixes).read_all()["path"].to_pylist())

    assert known("/data/a") == {"/data/a", "/data/a/1", unpacked["path"]}
    assert known("/data/a/") == known("/data/a")
    assert known("/data/b.zip") == {inside, nested}
    assert known("/data/ab", "/data/b.zip") == {"/data/ab/1", inside, nested}
    assert known("/Volumes/v") == {unpacked["path"]}
    assert len(known("/data")) == len(known("/")) == len(known()) == 6
    assert known("/nowhere") == known("s3://bucket") == set()
    assert table.remove_under("/data/b.zip", "/data/ab").removed == 3
    assert known() == {"/data/a", "/data/a/1", unpacked["path"]}


def test_removing_everything_by_accident_is_refused(table: ObjectTable) -> None:
    for prefixes in ((), ("",)):
        with pytest.raises(ArgumentError, match="no folder is given"):
            table.remove_under(*prefixes)


def test_known_rows_are_what_listings_are_compared_with(table: ObjectTable) -> None:
    table.save(rows(row("/a/1", original_path="/a/1"), row("/a/2", error="permission denied")))
    known = table.known("/a").read_all()
    assert known.schema.equals(KNOWN_SCHEMA)
    assert sorted(known["unreadable"].to_pylist()) == [False, True]


def test_files_are_sorted_and_their_statistics_bound_what_they_hold(table: ObjectTable) -> None:
    long = "/" + "x" * 400
    table.save(rows(ct_slice(f"{long}b", 2), ct_slice(f"{long}c", 1, 1, 2), ct_slice(f"{long}a", 1, 1, 10), row("/a")))
    (uri,) = table.files()
    assert pq.read_table(uri)["path"].to_pylist() == [f"{long}c", f"{long}a", f"{long}b", "/a"]
    (action,) = pa.table(DeltaTable(table.location).get_add_actions(flatten=True)).to_pylist()
    assert (action["num_records"], action["null_count.StudyInstanceUID"]) == (4, 1)
    assert (action["min.StudyInstanceUID"], action["max.StudyInstanceUID"]) == ("1.2.1", "1.2.2")
    assert action["min.path"] == "/a"
    assert f"{long}c" < action["max.path"]
    assert len(action["max.path"]) < len(long)
    assert action["min.modificationTime"].isoformat() == "2024-05-17T12:00:00+00:00"


def test_dates_beyond_the_calendar_are_kept(table: ObjectTable) -> None:
    far = pa.table({"path": ["/a/1"], "StudyDate": pa.array([3_000_000], pa.date32())})
    assert table.save(far).new == 1
    assert table.save(far).unchanged == 1
    assert table.known("/a").read_all().num_rows == 1


def test_a_handle_survives_that_the_log_was_cleaned_up(table: ObjectTable) -> None:
    other = ObjectTable.open(table.location)
    for number in range(3):
        other.save(rows(row(f"/a/{number}")))
    DeltaTable(table.location).create_checkpoint()
    for version in range(3):
        (Path(table.location) / "_delta_log" / f"{version:020}.json").unlink()
    assert table.save(rows(row("/a/0"), row("/a/3"))).new == 1
    assert len(live(table)) == 4


def test_a_large_chunk_becomes_several_files_in_one_commit(table: ObjectTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbx.pixels.table.draft.FILE_ROWS", 40)
    version = table.version
    assert table.save(rows(*(row(f"/a/{number:03}") for number in range(100)))).version == version + 1
    assert len(table.files()) == 3
    assert len(live(table)) == 100


def test_a_writer_knows_what_another_one_wrote_into_a_file_that_it_replaced(table: ObjectTable) -> None:
    table.save(rows(row("/a/1"), row("/b/1")))
    other = ObjectTable.open(table.location)
    other.remove_under("/a")
    assert other.save(rows(row("/b/1"))).unchanged == 1


def test_a_stream_commits_each_of_its_batches_once(table: ObjectTable) -> None:
    batch = rows(row("/a/1"))
    assert table.transaction_version("stream 1") is None
    assert table.save(batch, transaction=StreamTransaction("stream 1", 0)).new == 1
    table.remove(rows(row("/a/1")))
    restarted = ObjectTable.open(table.location)
    assert restarted.transaction_version("stream 1") == 0
    assert restarted.save(batch, transaction=StreamTransaction("stream 1", 0)).new == 0
    assert live(restarted) == {}
    assert restarted.save(batch, transaction=StreamTransaction("stream 1", 1)).new == 1


def test_a_batch_of_a_stream_counts_even_if_it_changes_nothing(table: ObjectTable) -> None:
    table.save(rows(row("/a/1")))
    assert table.save(rows(row("/a/1")), transaction=StreamTransaction("stream 1", 4)).unchanged == 1
    assert table.transaction_version("stream 1") == 4


def test_writers_see_each_other_before_they_decide(table: ObjectTable) -> None:
    other = ObjectTable.open(table.location)
    table.save(rows(row("/a/1"), row("/a/2")))
    assert other.save(rows(row("/a/2"), row("/a/3"))).new == 1
    other.remove(rows(row("/a/1")))
    assert table.save(rows(row("/a/1"))).new == 1
    assert len(live(table)) == 3


def test_a_path_doubled_by_a_foreign_writer_heals_when_it_is_saved(table: ObjectTable) -> None:
    table.save(rows(row("/a/1"), row("/a/2")))
    doubled = rows(row("/a/1", length=5)).select(["path", "length", "modificationTime"])
    write_deltalake(table.location, doubled, mode="append", schema_mode="merge")
    table.save(rows(row("/a/1", length=9)))
    assert live(table) == {"/a/1": 9, "/a/2": 1000}


class TestSchemaEvolution:
    def test_columns_that_an_older_table_lacks_are_added(self, location: str) -> None:
        old = pa.schema([TABLE_SCHEMA.field(name) for name in ("path", "modificationTime", "length", "meta")])
        write_deltalake(location, rows(row("/a/1", meta="{}"), row("/a/2", meta="{}")).cast(old))
        table = ObjectTable.open(location)
        assert table.known().read_all().num_rows == 2
        saved = table.save(rows(row("/a/1", meta="{}", thumbnail=b"jpeg"), row("/a/3")))
        assert (saved.filled, saved.new) == (1, 1)
        assert live(table, "meta", "thumbnail") == {"/a/1": ("{}", b"jpeg"), "/a/2": ("{}", None), "/a/3": (None, None)}

    def test_columns_of_the_users_own_are_kept(self, table: ObjectTable) -> None:
        table.save(rows(row("/a/1")))
        table.save(rows(row("/a/2")).append_column("site", pa.array(["north"])))
        table.save(rows(row("/a/3")))
        assert live(ObjectTable.open(table.location), "site") == {"/a/1": None, "/a/2": "north", "/a/3": None}

    def test_their_types_are_kept_to_what_every_reader_knows(self, table: ObjectTable) -> None:
        own = {
            "seen": pa.array([NOON.replace(tzinfo=None)], pa.timestamp("ns")),
            "small": pa.array([200], pa.uint8()),
            "label": pa.array(["a"]).dictionary_encode(),
            "scores": pa.array([[0.5]], pa.large_list(pa.float16())),
            "nothing": pa.nulls(1),
        }
        table.save(pa.table({"path": ["/a"], **own}))
        reopened = ObjectTable.open(table.location)
        assert live(reopened, "seen", "small", "label", "scores") == {"/a": (NOON, 200, "a", [0.5])}
        assert "nothing" not in reopened.schema.names
        assert DeltaTable(table.location).protocol().min_reader_version == 1

    @pytest.mark.parametrize(("name", "kind"), [("wait", pa.duration("s")), ("at", pa.time64("us"))])
    def test_a_type_that_delta_does_not_have_is_refused(self, table: ObjectTable, name: str, kind: pa.DataType) -> None:
        with pytest.raises(ArgumentError, match=f"^{name}: a table cannot hold a column of type"):
            table.save(pa.table({"path": ["/a"], name: pa.array([1], pa.int64()).cast(kind)}))

    def test_a_column_spelled_otherwise_is_refused(self, table: ObjectTable) -> None:
        with pytest.raises(ArgumentError, match="the table has a column PatientID"):
            table.save(pa.table({"path": ["/a"], "patientid": ["P1"]}))

    def test_a_value_of_another_type_is_refused(self, table: ObjectTable) -> None:
        with pytest.raises(TableError, match="cannot hold these rows"):
            table.save(pa.table({"path": ["/a"], "length": ["long"]}))

    def test_a_table_of_something_else_is_refused(self, location: str) -> None:
        write_deltalake(location, pa.table({"id": [1]}))
        with pytest.raises(TableError, match="has no column path, it is no table of objects"):
            ObjectTable.create_if_missing(location)

    def test_a_column_of_another_type_is_named(self, location: str) -> None:
        write_deltalake(location, rows(row("/a")).append_column("Rows", pa.array(["512"])))
        with pytest.raises(TableError, match="column Rows is string, not int32"):
            ObjectTable.open(location)

    def test_a_partitioned_table_is_refused(self, location: str) -> None:
        write_deltalake(location, rows(row("/a", extension="dcm")), partition_by="extension")
        with pytest.raises(TableError, match="is partitioned by extension"):
            ObjectTable.open(location)

    def test_features_that_hide_rows_are_refused(self, table: ObjectTable) -> None:
        log = Path(table.location) / "_delta_log"
        protocol = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["deletionVectors"]}
        protocol["writerFeatures"] = ["deletionVectors", "changeDataFeed"]
        (log / f"{table.version + 1:020}.json").write_text(json.dumps({"protocol": protocol}))
        with pytest.raises(TableError, match=r"deletionVectors.*DROP FEATURE"):
            ObjectTable.open(table.location)


def test_the_change_feed_tells_what_was_saved(table: ObjectTable) -> None:
    version = table.save(rows(row("/a/1"), row("/a/2"))).version
    table.remove(rows(row("/a/1")))
    feed = pa.table(DeltaTable(table.location).load_cdf(starting_version=version)).to_pylist()
    assert {(change["path"], change["_change_type"]) for change in feed} >= {
        ("/a/1", "insert"),
        ("/a/2", "insert"),
        ("/a/1", "delete"),
    }


def test_read_helper_reads_what_delta_reads(table: ObjectTable) -> None:
    table.save(rows(row("/a/1"), row("/a/2")))
    table.remove(rows(row("/a/1")))
    assert pa.table(DeltaTable(table.location).to_pyarrow_table())["path"].to_pylist() == ["/a/2"]
    assert [record["path"] for record in read(table, ["path"])] == ["/a/2"]


@pytest.mark.parametrize("name", ["with space", "it's", "übung", "a[1]*?", "#1", "100%", "a::b"])
def test_a_folder_may_have_nearly_any_name(tmp_path: Path, name: str) -> None:
    table = ObjectTable.create_if_missing(str(tmp_path / name))
    table.save(rows(row("/a/1"), row("/a/2")))
    table.save(rows(row("/a/1", length=5)))
    assert live(ObjectTable.open(table.location)) == {"/a/1": 5, "/a/2": 1000}
