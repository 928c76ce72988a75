"""Instances and their metadata out of the index: the same as in the table, ready to be sent."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pyarrow as pa
import pytest
from click.testing import CliRunner

from dbx.pixels import Catalog
from dbx.pixels.cli.main import pixels as pixels_command
from dbx.pixels.dicom import DicomMetaExtractor
from dbx.pixels.dicom.fragments import Fragments
from dbx.pixels.dicom.image import PIXEL_COLUMNS
from dbx.pixels.errors import IndexUnavailableError
from dbx.pixels.index import BULK_ROOT, Level, Search, ServingIndex
from dbx.pixels.index.packing import array, is_short, resolved
from dbx.pixels.table import EVERYTHING, ObjectTable
from index_table import instance, unpacked
from table_rows import rows

from conftest import TEST_FILES

if TYPE_CHECKING:
    from index_fixtures import OpenIndex

pytest_plugins = ["postgres", "index_fixtures"]

CT = "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"


@pytest.fixture
def index(open_index: OpenIndex, catalog: Catalog) -> ServingIndex:
    """An index over pydicom's files."""
    catalog.save(DicomMetaExtractor(catalog).transform(catalog.catalog(str(TEST_FILES))))
    index = open_index()
    index.sync()
    return index


def decoded(frames: bytes) -> bytes:
    return pa.input_stream(pa.BufferReader(frames), compression="zstd").read()


def test_everything_is_as_in_the_table(index: ServingIndex, catalog: Catalog) -> None:
    columns = ", ".join(PIXEL_COLUMNS)
    known = catalog.sql(
        f"SELECT path, length, StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID, meta, {columns} FROM instances"
        " WHERE StudyInstanceUID IS NOT NULL AND SeriesInstanceUID IS NOT NULL"
    )
    expected = known.to_arrow().to_pylist()
    assert len(expected) > 50
    for row in expected:
        uids = (row["StudyInstanceUID"], row["SeriesInstanceUID"], row["SOPInstanceUID"])
        (found,) = index.instances(*uids, EVERYTHING)
        assert found == index.find(uids[2], EVERYTHING)
        assert (found.path, found.length) == (row["path"], row["length"])
        fragments = row["fragments"] and Fragments.from_rows(row["fragments"])
        assert found.pixels == {name: row[name] for name in PIXEL_COLUMNS} | {"fragments": fragments}
        (text,) = index.metadata(*uids, EVERYTHING)
        root = "{}/studies/{}/series/{}/instances/{}/bulkdata/".format(BULK_ROOT.decode(), *uids)
        meta = orjson.loads(row["meta"].replace('"BulkDataURI":"bulkdata/', f'"BulkDataURI":"{root}'))
        assert orjson.loads(text) == {tag: value for tag, value in meta.items() if not tag.startswith("0002")}


def test_a_series_is_packed_as_one_array(open_index: OpenIndex, table: ObjectTable) -> None:
    table.save(rows(*(instance(f"/{n}", number=n, DeviceSerialNumber="d" * n) for n in (3, 1, 2))))
    index = open_index()
    index.sync()

    packs = list(index.packed_metadata("1.2.1", "1.2.1.1", EVERYTHING))
    assert [told["00200013"]["Value"] for told in unpacked(packs)] == [[1], [2], [3]]
    assert orjson.loads(decoded(b"".join(array((pack.data for pack in packs), compressed=True)))) == unpacked(packs)


def test_addresses_of_bulk_data_are_resolved_in_what_is_compressed(open_index: OpenIndex, table: ObjectTable) -> None:
    blob = bytes(range(256)) * 8
    table.save(rows(*(instance(f"/{n}", number=n, RedPaletteColorLookupTableData=blob) for n in range(1, 60))))
    index = open_index()
    index.sync()

    (pack,) = index.packed_metadata("1.2.1", "1.2.1.1", EVERYTHING)
    text = pack.text()
    for root in (b"http://host:8042/dicom-web", b"https://" + b"h" * 88, BULK_ROOT):
        assert is_short(root)
        assert pack._replace(data=resolved(pack.data, root)).text() == resolved(text, root)
        told = orjson.loads(b"[" + resolved(text, root) + b"]")
        assert [data_set["00281201"]["BulkDataURI"] for data_set in told] == [
            f"{root.decode()}/studies/1.2.1/series/1.2.1.1/instances/1.2.1.1.{n}/bulkdata/00281201"
            for n in range(1, 60)
        ]
    longest = b"https://" + b"h" * 89
    assert not is_short(longest)
    assert orjson.loads(b"[" + resolved(text, longest) + b"]")[0]["00281201"]["BulkDataURI"].startswith("https://hhh")


@pytest.fixture
def long_series(open_index: OpenIndex, table: ObjectTable, monkeypatch: pytest.MonkeyPatch) -> ServingIndex:
    """A series of several packs."""
    monkeypatch.setattr("dbx.pixels.index.packing.PACK_BYTES", 1500)
    table.save(rows(*(instance(f"/{number}", number=number) for number in range(1, 30))))
    index = open_index()
    index.sync()
    return index


def test_a_long_series_is_several_packs_and_one_array(long_series: ServingIndex) -> None:
    texts = long_series.metadata("1.2.1", "1.2.1.1", None, EVERYTHING)
    packs = list(long_series.packed_metadata("1.2.1", "1.2.1.1", EVERYTHING))
    assert len(packs) > 3
    for data_sets in (map(orjson.loads, texts), unpacked(packs)):
        assert [told["00200013"]["Value"] for told in data_sets] == [[number] for number in range(1, 30)]


def test_who_reads_slowly_holds_nothing_of_the_index(long_series: ServingIndex) -> None:
    readers = [long_series.metadata("1.2.1", None, None, EVERYTHING) for _ in range(100)]
    series = [long_series.packed_metadata("1.2.1", "1.2.1.1", EVERYTHING) for _ in range(100)]
    assert all(map(next, readers))
    assert all(map(next, series))
    assert len(long_series.search(Search(Level.STUDY), EVERYTHING).texts) == 1
    assert all(len(list(reader)) == 28 for reader in readers)


def test_who_reads_slowly_is_told_when_what_is_read_is_gone(long_series: ServingIndex, table: ObjectTable) -> None:
    reader = long_series.metadata("1.2.1", "1.2.1.1", None, EVERYTHING)
    packs = long_series.packed_metadata("1.2.1", "1.2.1.1", EVERYTHING)
    assert next(reader)
    assert next(packs)
    table.save(rows(instance("/30", number=30)))
    long_series.sync()
    assert next(reader)
    assert next(packs)

    table.remove_under("/2")
    long_series.sync()
    for rest in (reader, packs):
        with pytest.raises(IndexUnavailableError, match="has changed"):
            list(rest)


def test_instances_come_in_order_of_series_and_number(open_index: OpenIndex, table: ObjectTable) -> None:
    table.save(
        rows(
            instance("/c", 1, 1, 2, SeriesNumber=5),
            instance("/b", 1, 1, 10, SeriesNumber=5),
            instance("/a", 1, 2, SeriesNumber=4),
            instance("/d", 1, 1, 1, SeriesNumber=5, InstanceNumber=None),
        )
    )
    index = open_index()
    index.sync()

    assert [found.path for found in index.instances("1.2.1", None, None, EVERYTHING)] == ["/a", "/c", "/b", "/d"]


def test_what_is_unknown_is_not_there(index: ServingIndex) -> None:
    ct = index.find(CT, EVERYTHING)
    assert ct

    assert index.find("1.2.3", EVERYTHING) is None
    assert index.instances("1.2.3", None, CT, EVERYTHING) == []
    assert index.instances(ct.StudyInstanceUID, "1.2.3", CT, EVERYTHING) == []
    assert list(index.metadata(ct.StudyInstanceUID, ct.SeriesInstanceUID, "1.2.3", EVERYTHING)) == []
    assert list(index.packed_metadata(ct.StudyInstanceUID, "1.2.3", EVERYTHING)) == []


def test_the_command_tells_what_is_in_the_index(folder: Path, home: Path, index_url: str | None) -> None:
    def pixels(*arguments: str) -> str:
        result = CliRunner().invoke(pixels_command, [*arguments, "--home", str(home)])
        assert result.exit_code == 0, result.output
        return result.output

    options = ["--index", index_url] if index_url else []
    assert "no table yet" in pixels("index", *options)
    pixels("ingest", str(folder))
    assert "2 studies, 2 series, 2 instances" in pixels("index", *options)
    assert "2 studies, 2 series, 2 instances" in pixels("index", "--rebuild", *options)


@pytest.mark.parametrize(
    "url", ["mysql://host/db", "postgresql://nobody:SECRET@host:port/db", "postgresql://nobody@127.0.0.1:1/none"]
)
def test_a_database_that_cannot_be_used_is_told_in_one_line(home: Path, url: str) -> None:
    assert "SECRET" not in refused(home, url)


def test_without_its_driver_the_remedy_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)  # which Python takes for not installed
    assert "pip install 'dbx-pixels[postgresql]'" in refused(home, "postgresql://nobody@host/db")


def refused(home: Path, url: str) -> str:
    """The one line that `pixels index` says when it refuses a database."""
    result = CliRunner().invoke(pixels_command, ["index", "--index", url, "--home", str(home)])
    assert result.exit_code == 1
    assert result.output.startswith("pixels: ")
    assert result.output.count("\n") == 1
    return result.output
