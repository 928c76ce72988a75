"""Tables in object stores, on real S3 and Azure servers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from dbx.pixels.errors import TableNotFoundError, UnsafeStoreError
from dbx.pixels.storage.cloud import storage_options
from dbx.pixels.table import ObjectTable, optimize, query
from table_rows import ct_slice, row, rows

if TYPE_CHECKING:
    from servers import S3Bucket

pytest_plugins = ["servers"]


@pytest.fixture(params=["s3", "azure"])
def location(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where a table may lie in a store."""
    if request.param == "s3":
        yield f"{request.getfixturevalue('bucket').url}/tables/my objects"
    else:
        yield f"{request.getfixturevalue('container')}/tables/my objects"


def lengths(table: ObjectTable) -> dict[str, int]:
    delta = DeltaTable(table.location, storage_options=storage_options(table.location))
    records = pa.table(delta.to_pyarrow_table(columns=["path", "length"])).to_pylist()
    assert len({record["path"] for record in records}) == len(records)
    return {record["path"]: record["length"] for record in records}


def test_a_table_in_a_store_works_as_a_local_one(location: str) -> None:
    with pytest.raises(TableNotFoundError):
        ObjectTable.open(location)
    table = ObjectTable.create_if_missing(location)
    table.save(rows(ct_slice("s3://b/1"), ct_slice("s3://b/2", instance=2), row("s3://b/3")))
    assert table.save(rows(ct_slice("s3://b/1"), row("s3://b/3", length=5))).changed == 1
    assert table.save(rows(row("s3://b/1", thumbnail=b"jpeg"))).filled == 1
    assert table.remove(rows(row("s3://b/2"))).removed == 1
    assert lengths(table) == {"s3://b/1": 1000, "s3://b/3": 5}
    assert table.known("s3://b").read_all().num_rows == 2
    assert optimize(table).written == 1
    answer = query(table, "SELECT PatientID, dicom(meta, 'Modality') AS m FROM instances").read_all()
    assert answer.to_pylist() == [{"PatientID": "P1", "m": "CT"}]


def test_writers_in_a_store_double_and_lose_nothing(bucket: S3Bucket) -> None:
    location = f"{bucket.url}/objects"
    ObjectTable.create_if_missing(location)

    def write(first: int) -> None:
        table = ObjectTable.open(location)
        for start in range(first, first + 20, 5):
            table.save(rows(*(row(f"/a/{number}") for number in range(start, start + 5))))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, [0, 10]))
    assert lengths(ObjectTable.open(location)) == {f"/a/{number}": 1000 for number in range(30)}


def test_a_store_that_would_lose_commits_is_refused(careless_bucket: S3Bucket) -> None:
    with pytest.raises(UnsafeStoreError, match="ignores conditional puts"):
        ObjectTable.create_if_missing(f"{careless_bucket.url}/objects")
    assert not careless_bucket.client.list_objects_v2(Bucket=careless_bucket.name).get("Contents")
