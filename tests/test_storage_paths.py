"""Addresses: one spelling each, zip members, names and patterns."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dbx.pixels.errors import ArgumentError
from dbx.pixels.storage.home import Home, volume_path
from dbx.pixels.storage.paths import (
    canonical,
    extension,
    glob_filter,
    is_remote,
    name_of,
    relative_path,
    split_zip_address,
    zip_address,
)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("/data/ct", "/data/ct"),
        ("/data/ct/", "/data/ct"),
        ("//data/./mr/../ct", "/data/ct"),
        ("file:///data/a%20b", "/data/a b"),
        ("file://localhost/data", "/data"),
        ("file:/data/a%20b", "/data/a%20b"),
        ("FILE:///data", "/data"),
        ("dbfs:/Volumes/main/default/scans", "/Volumes/main/default/scans"),
        ("dbfs:/mnt/scans", "/dbfs/mnt/scans"),
        ("s3://bucket/ct/", "s3://bucket/ct"),
        ("s3a://bucket/a b%20c", "s3://bucket/a b%20c"),
        ("gs://bucket", "gs://bucket"),
        ("az://container/ct", "az://container/ct"),
        ("abfss://container@account.dfs.core.windows.net/ct", "abfss://container@account.dfs.core.windows.net/ct"),
        ("zip://ct/1.dcm::/data/../scans.zip", "zip://ct/1.dcm::/scans.zip"),
        ("zip://1.dcm::s3a://bucket/scans.zip", "zip://1.dcm::s3://bucket/scans.zip"),
    ],
)
def test_an_address_has_one_spelling(written: str, kept: str) -> None:
    assert canonical(written) == kept
    assert canonical(kept) == kept


def test_relative_paths_and_home_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert canonical("ct") == f"{tmp_path}/ct"
    assert canonical(Path("ct")) == f"{tmp_path}/ct"
    assert canonical("~/ct") == f"{tmp_path}/home/ct"


def test_links_stay_unresolved(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert canonical(tmp_path / "link") == f"{tmp_path}/link"


@pytest.mark.parametrize("written", ["", "a\0b", "a\udcff", "s3://", "s3:///key", "ftp://host/file", "zip://member"])
def test_what_is_no_address_is_refused(written: str) -> None:
    with pytest.raises(ArgumentError):
        canonical(written)


@given(member=st.text(min_size=1), archive=st.text(min_size=1, alphabet=st.characters(exclude_characters=":%")))
@example("a::b", "x.zip")
@example("a:", "x.zip")
@example("%3A%3A", "x.zip")
@example("%:::%25:", "x.zip")
def test_zip_addresses_come_apart_as_they_were_put_together(member: str, archive: str) -> None:
    outer = zip_address("inner.zip", archive)
    assert split_zip_address(zip_address(member, archive)) == (member, archive)
    assert split_zip_address(zip_address(member, outer)) == (member, outer)


def test_a_member_lies_where_its_archive_does() -> None:
    assert is_remote("zip://1.dcm::s3://bucket/scans.zip")
    assert not is_remote("zip://s3:%3A%3A//x::/scans.zip")
    assert not is_remote("/s3://x")


@pytest.mark.parametrize(
    ("address", "name", "suffix"),
    [
        ("/data/IM0001.DCM", "IM0001.DCM", "dcm"),
        ("/data/1.2.840.10008", "1.2.840.10008", ""),
        ("/data/scan.nii.gz", "scan.nii.gz", "gz"),
        ("/data.d/scan", "scan", ""),
        ("/data/.hidden", ".hidden", ""),
        ("s3://bucket/ct/a.7z", "a.7z", "7z"),
        ("zip://ct/1.dcm::/scans.zip", "1.dcm", "dcm"),
    ],
)
def test_names_and_extensions(address: str, name: str, suffix: str) -> None:
    assert name_of(address) == name
    assert extension(address) == suffix


@pytest.mark.parametrize(
    ("address", "root", "relative"),
    [
        ("/data/ct/1.dcm", "/data", "ct/1.dcm"),
        ("/data/ct/1.dcm", "/", "data/ct/1.dcm"),
        ("/data/1.dcm", "/data/1.dcm", "1.dcm"),
        ("s3://bucket/ct/1.dcm", "s3://bucket", "ct/1.dcm"),
        ("zip://ct/1.dcm::/data/a/scans.zip", "/data", "a/scans.zip/ct/1.dcm"),
        ("zip://1.dcm::zip://inner.zip::/data/scans.zip", "/data", "scans.zip/inner.zip/1.dcm"),
    ],
)
def test_a_path_is_relative_to_the_root_that_was_listed(address: str, root: str, relative: str) -> None:
    assert relative_path(address, root) == relative


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("*.dcm", ["1.dcm", "a/b/1.dcm"], ["1.DCM", "1.dcm.gz", "a.dcm/1"]),
        ("*.{dcm,ima}", ["1.dcm", "a/1.ima"], ["1.jpg", "1."]),
        ("IM[0-9]?", ["IM01", "a/IM9x"], ["IMx1", "IM1"]),
        ("[!I]*", ["a"], ["IM1"]),
        ("2024/**/*.dcm", ["2024/1.dcm", "2024/a/b/1.dcm"], ["x/2024/1.dcm", "2024/a/1.txt"]),
        ("2024/*.dcm", ["2024/1.dcm"], ["2024/a/1.dcm", "1.dcm"]),
        ("**", ["1", "a/1"], []),
        ("a(b)+.dcm", ["a(b)+.dcm"], ["abb.dcm"]),
        ("a,b", ["a,b"], ["a"]),
    ],
)
def test_patterns_match_names_or_paths_below_the_root(pattern: str, matching: list[str], others: list[str]) -> None:
    matches = glob_filter(pattern)
    assert [path for path in matching + others if matches(path)] == matching


@pytest.mark.parametrize("pattern", ["*.{dcm", "a}", "[z-a]"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ArgumentError):
        glob_filter(pattern)


def test_the_home_folder_is_named_by_argument_then_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXELS_HOME", "/from/environment")
    assert Home.from_environment("/given").tables == Path("/given/tables")
    assert Home.from_environment().volumes == Path("/from/environment/Volumes")
    monkeypatch.delenv("PIXELS_HOME")
    assert Home.from_environment().root == Path.home() / ".pixels"


def test_volumes_lie_in_the_home_folder(tmp_path: Path) -> None:
    home = Home(tmp_path)
    path = volume_path("main.scans.incoming") + "/ct/1.dcm"
    assert path == "/Volumes/main/scans/incoming/ct/1.dcm"
    assert home.local_path(path) == f"{tmp_path}/Volumes/main/scans/incoming/ct/1.dcm"
    assert home.local_path(f"zip://1.dcm::{path}") == f"zip://1.dcm::{tmp_path}{path}"
    assert home.local_path("/data/1.dcm") == "/data/1.dcm"
    assert home.local_path("s3://bucket/Volumes/x") == "s3://bucket/Volumes/x"


@pytest.mark.parametrize("name", ["volume", "a.b", "a.b.c.d", "a..c", "a.b/x.c"])
def test_a_volume_has_a_name_of_three_parts(name: str) -> None:
    with pytest.raises(ArgumentError):
        volume_path(name)
