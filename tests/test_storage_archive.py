"""Zip archives: every member found, read no further than needed, extracted nowhere else; no bad one stops others."""

from __future__ import annotations

import contextlib
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbx.pixels.errors import ArchiveError, ObjectNotFoundError, StorageError
from dbx.pixels.storage import open_object
from dbx.pixels.storage.archive import Member, extract_member, members, open_member
from dbx.pixels.storage.paths import zip_address

#: 29 February 2024, in microseconds since 1970.
MODIFIED = 1_709_208_000_000_000
CONTENT = random.Random(3).randbytes(50_000) + bytes(50_000)


@pytest.fixture
def archive(tmp_path: Path) -> str:
    """Where a test makes its archive."""
    return str(tmp_path / "scans.zip")


def write(archive: str, contents: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> None:
    """Make an archive."""
    with zipfile.ZipFile(archive, "w", method) as file:
        for name, content in contents.items():
            file.writestr(name, content)


def read(member: Member) -> bytes:
    """Read a member whole."""
    with open_member(member.address) as reader:
        return reader.read(0, reader.size)


def change(archive: str, edit: Callable[[bytearray], object]) -> None:
    """Edit the bytes of an archive."""
    data = bytearray(Path(archive).read_bytes())
    edit(data)
    Path(archive).write_bytes(data)


def test_members_have_addresses_and_lengths(archive: str) -> None:
    write(archive, {"ct/1.dcm": CONTENT, "a::b%.dcm": b"bytes", "empty": b""})
    first, second, third = members(archive)
    assert (first.name, first.length, first.problem, first.is_repeated) == ("ct/1.dcm", len(CONTENT), None, False)
    assert first.compressed < first.length
    assert first.address == f"zip://ct/1.dcm::{archive}"
    assert first.address_in("/Volumes/a/b/c/scans.zip") == "zip://ct/1.dcm::/Volumes/a/b/c/scans.zip"
    assert second.address == f"zip://a%3A%3Ab%25.dcm::{archive}"
    assert [read(member) for member in (first, second, third)] == [CONTENT, b"bytes", b""]


def test_folders_hidden_names_and_what_macos_adds_are_left_out(archive: str) -> None:
    write(archive, {"folder/": b"", "__MACOSX/._1.dcm": b"x", "ct/.DS_Store": b"x", "./ct/1.dcm": b"x"})
    assert [member.name for member in members(archive)] == ["./ct/1.dcm"]


def test_names_are_utf8_or_of_the_first_ibm_pc(archive: str) -> None:
    write(archive, {"häd.dcm": b"1"})
    (member,) = members(archive)
    assert member.name == "häd.dcm"
    write(archive, {"h_d.dcm": b"1"})
    change(archive, lambda data: data.__setitem__(slice(None), data.replace(b"h_d.dcm", b"h\x84d.dcm")))
    (member,) = members(archive)
    assert member.name == "häd.dcm"
    assert read(member) == b"1"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_members_of_one_name_the_last_counts_and_it_is_told(archive: str) -> None:
    with zipfile.ZipFile(archive, "w") as file:
        for content in (b"first", b"last"):
            file.writestr("1.dcm", content)
        file.writestr("2.dcm", b"other")
    first, second = members(archive)
    assert (first.name, first.is_repeated) == ("1.dcm", True)
    assert read(first) == b"last"
    assert not second.is_repeated


def test_archives_in_archives_are_read_one_level_deep(archive: str, tmp_path: Path) -> None:
    inner = str(tmp_path / "inner.zip")
    write(inner, {"ct/1.dcm": CONTENT, "deeper.zip": b"anything"})
    content = Path(inner).read_bytes()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a/deflated.zip", content, zipfile.ZIP_DEFLATED)
        file.writestr("a/stored.zip", content, zipfile.ZIP_STORED)
        file.writestr("a/broken.zip", b"no archive")
    found = list(members(archive))
    assert [member.relative_path for member in found] == [
        "a/deflated.zip/ct/1.dcm",
        "a/deflated.zip/deeper.zip",
        "a/stored.zip/ct/1.dcm",
        "a/stored.zip/deeper.zip",
        "a/broken.zip",
    ]
    assert found[0].address == f"zip://ct/1.dcm::zip://a/deflated.zip::{archive}"
    assert found[0].address_in("s3://b/x.zip") == "zip://ct/1.dcm::zip://a/deflated.zip::s3://b/x.zip"
    assert read(found[0]) == read(found[2]) == CONTENT
    assert "no zip archive" in str(found[4].problem)
    with pytest.raises(ArchiveError, match="one level"):
        open_member(f"zip://x::{found[1].address}")


def test_only_the_needed_prefix_is_inflated(archive: str) -> None:
    content = random.Random(4).randbytes(2_000_000)
    write(archive, {"1.dcm": content})
    # The end of the member is damaged, which only shows to those who read it.
    change(archive, lambda data: data.__setitem__(slice(1_000_000, 1_000_010), bytes(10)))
    (member,) = members(archive)
    with open_member(member.address) as reader:
        assert reader.sequential
        assert reader.read(0, 16_384) == content[:16_384]
        with pytest.raises(ArchiveError, match="damaged"):
            reader.read(0, reader.size)


def test_a_stored_member_is_a_range_of_its_archive(archive: str) -> None:
    write(archive, {"1.dcm": CONTENT}, zipfile.ZIP_STORED)
    with open_member(f"zip://1.dcm::{archive}") as reader:
        assert not reader.sequential
        assert reader.read(99_990, 100) == CONTENT[99_990:]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_wrong_checksum_shows_when_all_was_read(archive: str, method: int) -> None:
    write(archive, {"1.dcm": CONTENT}, method)
    change(archive, lambda data: data.__setitem__(data.rfind(b"PK\x01\x02") + 16, data[-1] ^ 0xFF))
    (member,) = members(archive)
    with open_member(member.address) as reader:
        assert reader.read(0, 100) == CONTENT[:100]
        assert reader.read(0, 99_000) == CONTENT[:99_000]
        with pytest.raises(ArchiveError, match="checksum"):
            reader.read(99_000, 1000)


def set_in_directory(archive: str, field: int, layout: str, value: int) -> None:
    """Change a field of the directory's last entry."""
    change(archive, lambda data: struct.pack_into(layout, data, data.rfind(b"PK\x01\x02") + field, value))


def test_an_encrypted_member_is_a_problem_of_its_own(archive: str) -> None:
    write(archive, {"1.dcm": CONTENT, "2.dcm": CONTENT})
    set_in_directory(archive, 8, "<H", 1)
    first, second = members(archive)
    assert first.problem is None
    assert "encrypted" in str(second.problem)
    with pytest.raises(ArchiveError, match="encrypted"):
        open_member(second.address)


def test_a_member_that_inflates_beyond_reason_is_refused(archive: str) -> None:
    write(archive, {"1.dcm": bytes(40 * 1024 * 1024), "small.dcm": bytes(100_000)})
    bomb, small = members(archive)
    assert "zip bombs" in str(bomb.problem)
    assert small.problem is None
    with pytest.raises(ArchiveError, match="zip bombs"):
        open_member(bomb.address)


def test_other_compressions_are_named(archive: str) -> None:
    write(archive, {"1.dcm": CONTENT}, zipfile.ZIP_BZIP2)
    (member,) = members(archive)
    assert "method 12" in str(member.problem)


@pytest.mark.parametrize(("length", "message"), [(90_000, "longer"), (110_000, "shorter"), (0, "longer")])
def test_a_member_that_lies_about_its_length_is_told(archive: str, length: int, message: str) -> None:
    write(archive, {"1.dcm": CONTENT})
    set_in_directory(archive, 24, "<L", length)
    (member,) = members(archive)
    with pytest.raises(ArchiveError, match=message):
        read(member)


def test_a_member_that_is_cut_short_is_told(archive: str) -> None:
    write(archive, {"1.dcm": CONTENT})
    set_in_directory(archive, 20, "<L", 30_000)
    (member,) = members(archive)
    with pytest.raises(ArchiveError, match="truncated"):
        read(member)


def test_a_link_in_an_archive_is_not_followed(archive: str, tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(link, "/etc/passwd")
    (member,) = members(archive)
    assert "link" in str(member.problem)
    with pytest.raises(ArchiveError, match="link"):
        extract_member(member.address, str(tmp_path / "out"), MODIFIED)


@pytest.mark.parametrize("kept", [0, 1, 21, 1000])
def test_a_truncated_archive_is_told(archive: str, kept: int) -> None:
    write(archive, {"1.dcm": CONTENT, "2.dcm": CONTENT})
    change(archive, lambda data: data.__delitem__(slice(kept, None)))
    with pytest.raises(ArchiveError, match="truncated, or no zip archive"):
        list(members(archive))


def test_of_a_damaged_directory_what_can_be_read_is_read(archive: str) -> None:
    write(archive, {"1.dcm": b"first", "2.dcm": b"second"})
    change(archive, lambda data: data.__setitem__(data.rfind(b"PK\x01\x02"), 0))
    found = members(archive)
    assert read(next(found)) == b"first"
    with pytest.raises(ArchiveError, match="directory is damaged"):
        next(found)


def test_an_archive_behind_other_bytes_and_with_a_comment(archive: str) -> None:
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("1.dcm", CONTENT)
        file.comment = b"PK\x05\x06 is how directories end"
    change(archive, lambda data: data.__setitem__(slice(0, 0), b"#!/bin/sh\nexit\n"))
    (member,) = members(archive)
    assert read(member) == CONTENT


def test_zip64_records_are_understood(archive: str) -> None:
    class Unseekable:
        """Makes zipfile write data descriptors."""

        def __init__(self, path: str) -> None:
            self.file = Path(path).open("wb")  # noqa: SIM115 - closed below
            self.write, self.flush, self.close = self.file.write, self.file.flush, self.file.close

    stream = Unseekable(archive)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:  # type: ignore[arg-type]
        with file.open("1.dcm", "w", force_zip64=True) as member_file:
            member_file.write(CONTENT)
        file.writestr("2.dcm", b"bytes")
    stream.close()

    def move_sizes_to_zip64(data: bytearray) -> None:
        directory = data.find(b"PK\x01\x02")
        first = data[directory : directory + 46]
        compressed, length, offset = (*struct.unpack_from("<2L", first, 20), struct.unpack_from("<L", first, 42)[0])
        extra = struct.pack("<2H3Q", 1, 24, length, compressed, offset)
        struct.pack_into("<2L", first, 20, 0xFFFFFFFF, 0xFFFFFFFF)
        struct.pack_into("<L", first, 42, 0xFFFFFFFF)
        struct.pack_into("<H", first, 30, len(extra))
        end = data.rfind(b"PK\x05\x06")
        entries = first + b"1.dcm" + extra + data[directory + 46 + 5 : end]
        record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 2, 2, len(entries), directory)
        locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, directory + len(entries), 1)
        last = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
        data[directory:] = entries + record + locator + last

    change(archive, move_sizes_to_zip64)
    assert [read(member) for member in members(archive)] == [CONTENT, b"bytes"]


def test_an_archive_that_was_replaced_is_read_anew(archive: str) -> None:
    write(archive, {"1.dcm": b"old"})
    address = zip_address("1.dcm", archive)
    assert open_object(address).read(0, 10) == b"old"
    write(archive, {"1.dcm": b"new content"})
    assert open_object(address).read(0, 20) == b"new content"
    Path(archive).unlink()
    with pytest.raises(ObjectNotFoundError):
        open_object(address)


def test_many_archives_may_be_read_at_once(tmp_path: Path) -> None:
    archives = [str(tmp_path / f"{number}.zip") for number in range(20)]
    for archive in archives:
        write(archive, {"1.dcm": archive.encode()})
    readers = [open_object(zip_address("1.dcm", archive)) for archive in archives]
    assert [reader.read(0, 1000).decode() for reader in readers] == archives


def test_extracted_files_are_the_members(archive: str, tmp_path: Path) -> None:
    write(archive, {"ct/1.dcm": CONTENT, "empty": b"", "a\\b.dcm": b"from Windows"})
    target = tmp_path / "out"
    extracted = [extract_member(member.address, str(target), MODIFIED) for member in members(archive)]
    assert extracted == ["ct/1.dcm", "empty", "a/b.dcm"]
    assert (target / "ct/1.dcm").read_bytes() == CONTENT
    assert (target / "ct/1.dcm").stat().st_mtime == MODIFIED / 1e6
    assert (target / "a/b.dcm").read_bytes() == b"from Windows"
    assert sorted(path.name for path in target.iterdir()) == ["a", "ct", "empty"]
    extract_member(next(members(archive)).address, str(target), MODIFIED)  # again, after a crash


def test_members_of_an_inner_archive_are_extracted_to_a_folder_of_its_name(archive: str, tmp_path: Path) -> None:
    inner = str(tmp_path / "inner.zip")
    write(inner, {"1.dcm": CONTENT})
    write(archive, {"inner.zip": Path(inner).read_bytes()})
    (member,) = members(archive)
    assert extract_member(member.address, str(tmp_path / "out"), MODIFIED) == "inner.zip/1.dcm"
    assert (tmp_path / "out" / "inner.zip" / "1.dcm").read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "C:\\evil", "..\\evil", "\\evil", "c:evil"])
def test_no_member_leaves_the_folder_it_is_extracted_to(archive: str, tmp_path: Path, name: str) -> None:
    write(archive, {"a_name_of_that_length"[: len(name)]: b"evil"})
    stand_in = "a_name_of_that_length"[: len(name)].encode()
    change(archive, lambda data: data.__setitem__(slice(None), data.replace(stand_in, name.encode())))
    (member,) = members(archive)
    assert read(member) == b"evil"  # in place it does no harm
    with pytest.raises(ArchiveError, match="leads out of the folder"):
        extract_member(member.address, str(tmp_path / "out" / "deep"), MODIFIED)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["scans.zip"]


def test_a_link_in_the_target_is_not_followed(archive: str, tmp_path: Path) -> None:
    write(archive, {"link/ct/1.dcm": b"bytes"})
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "elsewhere")
    (member,) = members(archive)
    with pytest.raises(ArchiveError, match="link"):
        extract_member(member.address, str(tmp_path / "out"), MODIFIED)
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("names", [["a", "a/b"], ["a/b", "a"]])
def test_a_member_named_like_a_folder_is_told(archive: str, tmp_path: Path, names: list[str]) -> None:
    write(archive, dict.fromkeys(names, b"bytes"))
    first, second = members(archive)
    extract_member(first.address, str(tmp_path / "out"), MODIFIED)
    with pytest.raises(StorageError, match="folder"):
        extract_member(second.address, str(tmp_path / "out"), MODIFIED)


def test_two_names_that_are_one_path_are_told(archive: str, tmp_path: Path) -> None:
    write(archive, {"a/1.dcm": b"first", "a\\1.dcm": b"second"})
    first, second = members(archive)
    extract_member(first.address, str(tmp_path / "out"), MODIFIED)
    with pytest.raises(ArchiveError, match="another member's name"):
        extract_member(second.address, str(tmp_path / "out"), MODIFIED)
    assert (tmp_path / "out" / "a" / "1.dcm").read_bytes() == b"first"


def test_a_damaged_member_leaves_no_file(archive: str, tmp_path: Path) -> None:
    write(archive, {"1.dcm": CONTENT})
    change(archive, lambda data: data.__setitem__(slice(20_000, 20_010), bytes(10)))
    (member,) = members(archive)
    with pytest.raises(ArchiveError, match="damaged"):
        extract_member(member.address, str(tmp_path / "out"), MODIFIED)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(position=st.floats(0, 0.999), byte=st.integers(0, 255), where=st.sampled_from(["anywhere", "at the end"]))
def test_whatever_byte_is_broken_only_storage_errors_are_raised(
    archive: str, position: float, byte: int, where: str
) -> None:
    write(archive, {"ct/1.dcm": CONTENT[49_000:51_000], "2.dcm": CONTENT[:500], "inner.zip": b"x"})

    def break_it(data: bytearray) -> None:
        from_here = 0 if where == "anywhere" else data.find(b"PK\x01\x02")
        data[from_here + int(position * (len(data) - from_here))] = byte

    change(archive, break_it)
    with contextlib.suppress(StorageError):  # anything else fails the test
        for member in members(archive):
            if not member.problem:
                read(member)


def test_a_name_that_no_file_can_have_costs_its_member(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("first", "n" * 300, "last"):
            file.writestr(name, name)
    first, long, last = members(str(archive))
    with pytest.raises(ArchiveError, match="no file can have"):
        extract_member(long.address, str(tmp_path / "out"), MODIFIED)
    assert extract_member(first.address, str(tmp_path / "out"), MODIFIED) == "first"
    assert extract_member(last.address, str(tmp_path / "out"), MODIFIED) == "last"
