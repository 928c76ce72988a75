"""Object stores: the same listing and reading as of folders, against real S3 and Azure servers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from dbx.pixels.errors import ObjectNotFoundError, StorageError, UnsafeStoreError
from dbx.pixels.storage import Home, Listing, list_objects, open_object, sources
from dbx.pixels.storage.buckets import locate
from dbx.pixels.storage.cloud import filesystem, probe_conditional_put, storage_options

if TYPE_CHECKING:
    from servers import S3Bucket

pytest_plugins = ["servers"]

AWKWARD_NAMES = ["a b.dcm", "a%20b.dcm", "ä.dcm", "a#b", "a?b", "a\\b", "~x", 'q"u', "*s", "a+b", "x::y"]


def listing_of(root: str, **options: object) -> Listing:
    """Prepare a listing; the home folder plays no part."""
    return list_objects(root, Home(Path("/nowhere")), **options)  # type: ignore[arg-type]


def names(listing: Listing) -> list[str]:
    """List, and return the keys below the root."""
    paths = [path for batch in listing.batches() for path in batch["path"].to_pylist()]
    return [path[len(listing.root) + 1 :] for path in paths]


def test_a_bucket_is_listed_like_a_folder(bucket: S3Bucket) -> None:
    for key in ["ct/2.dcm", "ct/1.dcm", "mr/1.dcm", "notes.txt", "ct-old/1.dcm"]:
        bucket.put(key, b"bytes")
    listing = listing_of(f"{bucket.url}/ct/")
    (batch,) = listing.batches()
    first, second = batch.to_pylist()
    assert (first["path"], second["path"]) == (f"{bucket.url}/ct/1.dcm", f"{bucket.url}/ct/2.dcm")
    assert first["length"] == 5
    assert abs(first["modificationTime"].timestamp() - time.time()) < 600
    assert not first["is_anon"]
    assert listing.complete
    assert names(listing_of(bucket.url, recurse=False)) == ["notes.txt"]
    assert listing_of(f"{bucket.url}/notes.txt").root == f"{bucket.url}/notes.txt"


def test_more_objects_than_one_page_holds(bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "10")
    keys = [f"{number:05}" for number in range(25)]
    for key in keys:
        bucket.put(key, b"x")
    assert names(listing_of(bucket.url)) == keys


def test_awkward_names_are_listed_and_opened(bucket: S3Bucket) -> None:
    for name in AWKWARD_NAMES:
        bucket.put(name, name.encode())
    listed = names(listing_of(bucket.url))
    assert listed == sorted(AWKWARD_NAMES)
    for name in listed:
        with open_object(f"{bucket.url}/{name}") as reader:
            assert reader.read(0, 100) == name.encode()


def test_folder_markers_hidden_names_and_delta_tables_are_left_out(bucket: S3Bucket) -> None:
    for key in ["folder/", "empty folder/", "ct/", ".hidden", "ct/.part", "table/_delta_log/0.json", "table/p.parquet"]:
        bucket.put(key)
    bucket.put("ct/1.dcm", b"bytes")
    bucket.put("empty file")
    listing = listing_of(bucket.url)
    assert names(listing) == ["ct/1.dcm", "empty file"]
    assert listing.complete


def test_a_key_that_cannot_be_addressed_costs_its_folder_and_is_told(bucket: S3Bucket) -> None:
    for key in ["a/1", "b//1", "b/2", "c/./1", "d"]:
        bucket.put(key, b"bytes")
    listing = listing_of(bucket.url)
    assert names(listing) == ["a/1", "d"]
    assert [problem.path for problem in listing.problems] == [f"{bucket.url}/b", f"{bucket.url}/c"]
    assert not listing.complete


def test_what_does_not_exist_is_told_at_once(bucket: S3Bucket) -> None:
    bucket.put("ct/1.dcm", b"bytes")
    with pytest.raises(ObjectNotFoundError, match="ct/none: does not exist"):
        listing_of(f"{bucket.url}/ct/none")
    with pytest.raises(ObjectNotFoundError, match="does not exist"):
        listing_of("s3://no-such-bucket/ct")
    with pytest.raises(ObjectNotFoundError, match="does not exist"):
        open_object(f"{bucket.url}/none")


def test_a_store_that_cannot_be_reached_is_told(bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="cannot be reached"):
        listing_of(bucket.url)


def test_without_credentials_public_objects_are_read_and_others_say_why(
    bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    public, private = bucket.put("public", b"bytes", public=True), bucket.put("private", b"bytes")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    (batch,) = listing_of(public).batches()
    assert batch["is_anon"].to_pylist() == [True]
    assert open_object(public).read(0, 5) == b"bytes"
    with pytest.raises(StorageError, match="not public, and no credentials were found"):
        open_object(private)
    assert storage_options(bucket.url)["aws_skip_signature"] == "true"


def test_credentials_that_a_store_does_not_know_are_left_away_if_it_is_public(strange_bucket: S3Bucket) -> None:
    public, private = strange_bucket.put("public", b"bytes", public=True), strange_bucket.put("private", b"bytes")
    with pytest.raises(StorageError, match="may not be read with the credentials that were found"):
        open_object(private)
    (batch,) = listing_of(public).batches()
    assert batch["is_anon"].to_pylist() == [True]
    with pytest.raises(StorageError, match="cannot be written to"):
        probe_conditional_put(strange_bucket.url)


def test_a_bucket_is_asked_where_it_lies(bucket: S3Bucket, s3_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbx.pixels.storage.credentials._AWS_S3", s3_server)
    bucket.client.create_bucket(
        Bucket=f"{bucket.name}eu", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_REGION", "us-east-2")
    assert storage_options(f"{bucket.url}eu")["aws_region"] == "eu-west-1"
    assert storage_options(f"{bucket.url}none")["aws_region"] == "us-east-2"


def test_credentials_come_from_a_profile(
    bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, s3_server: str
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    (tmp_path / "config").write_text(f"[profile lab]\nregion = eu-west-1\nendpoint_url = {s3_server}\n")
    (tmp_path / "credentials").write_text("[lab]\naws_access_key_id = key\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_PROFILE", "lab")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    assert open_object(bucket.put("private", b"bytes")).read(0, 5) == b"bytes"
    assert storage_options(bucket.url) == {
        "aws_access_key_id": "key",
        "aws_secret_access_key": "secret",
        "aws_endpoint": s3_server,
        "aws_region": "eu-west-1",
        "allow_http": "true",
    }


def test_many_objects_are_opened_at_once_and_a_missing_one_costs_itself(bucket: S3Bucket, tmp_path: Path) -> None:
    addresses = [bucket.put(f"{number}", b"%02d" % number) for number in range(50)]
    opened = sources([*addresses, f"{bucket.url}/missing", f"{tmp_path}/local"], [2] * 52)
    assert opened[-1] == f"{tmp_path}/local"
    *readers, missing = opened[:-1]
    assert [reader.read(0, 2) for reader in readers] == [b"%02d" % number for number in range(50)]  # type: ignore[union-attr]
    with pytest.raises(ObjectNotFoundError):
        missing.read(0, 1)  # type: ignore[union-attr]


def test_first_bytes_are_fetched_before_they_are_asked_for(bucket: S3Bucket) -> None:
    (reader,) = sources([bucket.put("object", bytes(100_000))], [100_000])
    bucket.client.delete_object(Bucket=bucket.name, Key="object")
    assert not isinstance(reader, str)
    assert reader.read(0, 60_000) == bytes(60_000)
    with pytest.raises(ObjectNotFoundError):
        reader.read(70_000, 10)


def test_a_store_that_keeps_conditional_puts_is_safe(bucket: S3Bucket) -> None:
    probe_conditional_put(f"{bucket.url}/tables")
    probe_conditional_put(bucket.url)
    assert names(listing_of(bucket.url)) == []


def test_a_store_that_ignores_conditional_puts_is_refused(careless_bucket: S3Bucket) -> None:
    with pytest.raises(UnsafeStoreError, match="conditional"):
        probe_conditional_put(f"{careless_bucket.url}/tables")
    assert names(listing_of(careless_bucket.url)) == []


def test_a_store_that_is_not_there_cannot_be_probed(bucket: S3Bucket) -> None:
    with pytest.raises(ObjectNotFoundError, match="does not exist"):
        probe_conditional_put(f"{bucket.url}-other/tables")


def write_and_query(location: str) -> list[tuple]:
    """Append twice to a Delta table and read it with DuckDB."""
    options = storage_options(location)
    for _ in range(2):
        write_deltalake(location, pa.table({"n": [1, 2]}), mode="append", storage_options=options)
    files = DeltaTable(location, storage_options=options).file_uris()
    with duckdb.connect() as connection:
        connection.register_filesystem(filesystem(location))
        return connection.execute("SELECT sum(n), count(*) FROM read_parquet($1)", [files]).fetchall()


def test_deltalake_and_duckdb_reach_the_same_store(bucket: S3Bucket) -> None:
    assert write_and_query(f"{bucket.url}/tables/numbers") == [(6, 4)]
    assert names(listing_of(bucket.url)) == []  # a table is no object


def test_google_is_listed_and_read_like_s3(bucket: S3Bucket, s3_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Google's store answers the same requests as S3, so that the S3 server can stand in for one that is public.
    monkeypatch.setenv("GOOGLE_BASE_URL", s3_server)
    monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
    for key in ["ct/1.dcm", "ct/2 ä.dcm"]:
        bucket.put(key, b"bytes", public=True)
    root = bucket.url.replace("s3://", "gs://")
    (batch,) = listing_of(root).batches()
    assert batch["path"].to_pylist() == [f"{root}/ct/1.dcm", f"{root}/ct/2 ä.dcm"]
    assert batch["is_anon"].to_pylist() == [True, True]
    assert open_object(f"{root}/ct/2 ä.dcm").read(1, 100) == b"ytes"


def test_azure_is_listed_read_and_written_like_s3(container: str) -> None:
    store = locate(container)[0].store
    azure_names = sorted(set(AWKWARD_NAMES) - {"a\\b"})  # a backslash is a slash there
    for name in azure_names:
        store.put(f"ct/{name}", name.encode())
    listing = listing_of(f"{container}/ct")
    assert names(listing) == azure_names
    assert listing.complete
    for name in azure_names:
        assert open_object(f"{container}/ct/{name}").read(1, 100) == name.encode()[1:]
    as_abfss = container.replace("az://", "abfss://") + "@devstoreaccount1.dfs.core.windows.net/ct"
    assert names(listing_of(as_abfss)) == azure_names
    with pytest.raises(ObjectNotFoundError, match="does not exist"):
        listing_of("az://no-such-container")
    probe_conditional_put(f"{container}/tables")
    assert write_and_query(f"{container}/tables/numbers") == [(6, 4)]
