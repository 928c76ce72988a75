"""Tables that cannot be opened, made or written: one line that says why, and what helps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dbx.pixels.errors import ArgumentError, TableError
from dbx.pixels.table import ObjectTable
from table_rows import row, rows

if TYPE_CHECKING:
    from servers import S3Bucket

pytest_plugins = ["servers"]

either_way = pytest.mark.parametrize("use", [ObjectTable.open, ObjectTable.create_if_missing])


def problem(use: Callable[[str], ObjectTable], location: str) -> str:
    with pytest.raises(TableError) as caught:
        use(location)
    assert str(caught.value).count("\n") == 0
    return str(caught.value).removeprefix(location)


@either_way
def test_a_file_is_no_table(use: Callable[[str], ObjectTable], tmp_path: Path) -> None:
    (tmp_path / "scan.dcm").touch()
    assert problem(use, str(tmp_path / "scan.dcm")) == ": is a file, not a table. Name the folder of a table."


def test_garbage_in_the_log(tmp_path: Path) -> None:
    table = ObjectTable.create_if_missing(str(tmp_path))
    (tmp_path / "_delta_log" / f"{table.version + 1:020}.json").write_text("garbage\n")
    text = ": cannot be read: Json error: Encountered unexpected 'g' whilst parsing value."
    assert problem(ObjectTable.open, str(tmp_path)) == f"{text} Check the log in its folder _delta_log."
    with pytest.raises(TableError, match="cannot be read: Json error"):
        table.save(rows(row("/a/1")))


@either_way
def test_a_bucket_that_does_not_exist(use: Callable[[str], ObjectTable], bucket: S3Bucket) -> None:
    assert problem(use, f"{bucket.url}-not/objects") == (
        ": cannot be read: The specified bucket does not exist. Check the address, the credentials and the network."
    )


def test_a_store_that_denies(strange_bucket: S3Bucket) -> None:
    assert ": cannot be read: InvalidAccessKeyId. Check the address, the" in problem(
        ObjectTable.open, f"{strange_bucket.url}/objects"
    )


def test_a_store_that_is_away(bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    text = problem(ObjectTable.open, f"{bucket.url}/objects")
    assert text.startswith(": cannot be read: Connection refused")
    assert text.endswith("Check the address, the credentials and the network.")


def test_a_bucket_that_vanishes_while_writing(bucket: S3Bucket) -> None:
    table = ObjectTable.create_if_missing(f"{bucket.url}/objects")
    for listed in bucket.client.list_objects_v2(Bucket=bucket.name)["Contents"]:
        bucket.client.delete_object(Bucket=bucket.name, Key=listed["Key"])
    bucket.client.delete_bucket(Bucket=bucket.name)
    with pytest.raises(TableError) as caught:
        table.save(rows(row("/a/1")))
    assert "The specified bucket does not exist. Check the address" in str(caught.value)
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize("meta", ["nonsense", "", "[1]", '{"00080020":null}', '{"00080020":{"Value":["20240517"]}}'])
def test_metadata_that_is_no_data_set_is_refused(meta: str, tmp_path: Path) -> None:
    table = ObjectTable.create_if_missing(str(tmp_path))
    good = [row(f"/good/{number}", meta=text) for number, text in enumerate((None, "{}", '{"00080020": {"vr": "DA"}}'))]
    with pytest.raises(
        ArgumentError, match=r"/bad: its `meta` is no data set in DICOM JSON.*DicomMetaExtractor"
    ) as caught:
        table.save(rows(*good, row("/bad", meta=meta)))
    assert caught.value.subject == "/bad"
    assert table.save(rows(*good)).new == 3
