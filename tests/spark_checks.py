"""What holds for every session of Spark, classic or remote: modules of tests take it over with their own session."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.ml import Pipeline
from pyspark.sql import DataFrame, SparkSession

from dbx.pixels import Catalog
from dbx.pixels.catalog.chunks import Tally
from dbx.pixels.catalog.ingest import Summary, ingest
from dbx.pixels.catalog.selection import Archives
from dbx.pixels.dicom import DicomMetaExtractor, DicomPlot, DicomThumbnailExtractor
from dbx.pixels.errors import ArgumentError, EngineError

from conftest import TEST_FILES


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pydicom's files, broken ones among them, what is no DICOM, and zip archives, of which one is damaged."""
    folder = tmp_path_factory.mktemp("mixed")
    shutil.copytree(TEST_FILES, folder / "pydicom")
    (folder / "empty.dcm").touch()
    (folder / "cut.dcm").write_bytes((TEST_FILES / "CT_small.dcm").read_bytes()[:1000])
    (folder / "notes with [brackets] % and ümlaut.txt").write_text("no DICOM\n")
    with zipfile.ZipFile(folder / "series.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm"):
            archive.write(TEST_FILES / name, f"study::1/{name}")
    (folder / "damaged.zip").write_bytes((folder / "series.zip").read_bytes()[:-100])
    return folder


def run_lines(catalog: Catalog, path: Path) -> None:
    """The seven lines."""
    catalog_df = catalog.catalog(path, zipInPlace=True)
    meta_df = DicomMetaExtractor(catalog, deep=True).transform(catalog_df)
    thumbnail_df = DicomThumbnailExtractor().transform(meta_df)
    catalog.save(thumbnail_df)


def ingested(catalog: Catalog, path: Path, **options: bool) -> Summary:
    """Ingest a folder, archives in place."""
    selection = catalog.selection(path, pattern=None, recurse=True, archives=Archives.IN_PLACE, extract_to=None)
    return ingest(catalog, selection, **options)


def streamed(catalog: Catalog, path: Path, checkpoint: Path, **options: int) -> Tally:
    """Run a stream of the folder until all that is there is saved."""
    listed = catalog.catalog(
        path, streaming=True, streamCheckpointBasePath=str(checkpoint), triggerAvailableNow=True, **options
    )
    return catalog.save(DicomMetaExtractor(catalog).transform(listed))


def rows(catalog: Catalog) -> pa.Table:
    """The table as the embedded engine reads it, in the order of paths."""
    return Catalog(home=str(catalog.home.root)).load().to_arrow().sort_by("path")


def wait_for_rows(catalog: Catalog, number: int) -> None:
    """Wait until so many rows are in the table, which may not be there yet."""
    deadline = time.monotonic() + 300
    while rows(catalog).num_rows < number:
        assert time.monotonic() < deadline
        time.sleep(0.5)


def assert_same_table(one: pa.Table, other: pa.Table) -> None:
    """All columns of all rows are equal."""
    assert one.schema == other.schema
    differing = [name for name in one.column_names if not one[name].equals(other[name])]
    assert (one.num_rows, differing) == (other.num_rows, [])


_opened: list[str] | None = None


def _note_opened(event: str, arguments: tuple) -> None:
    if event == "open" and _opened is not None and isinstance(arguments[0], str):
        _opened.append(arguments[0])


sys.addaudithook(_note_opened)


@contextmanager
def opened_files() -> Iterator[list[str]]:
    """Note which files Python opens in this process, by whatever library."""
    global _opened
    _opened = []
    try:
        yield _opened
    finally:
        _opened = None


class SparkChecks:
    """Needs the fixture `spark`, a session of the module's."""

    def test_lines_give_the_rows_that_they_give_embedded(
        self, spark: SparkSession, mixed: Path, tmp_path: Path
    ) -> None:
        embedded, on_spark = Catalog(home=str(tmp_path / "one")), Catalog(spark, home=str(tmp_path / "two"))
        run_lines(embedded, mixed)
        with opened_files() as opened:
            run_lines(on_spark, mixed)
        assert_same_table(rows(on_spark), rows(embedded))
        assert opened
        assert not [path for path in opened if path.startswith(str(mixed))]  # executors do

    def test_ingest_gives_the_rows_that_it_gives_embedded(
        self, spark: SparkSession, mixed: Path, tmp_path: Path
    ) -> None:
        embedded, on_spark = Catalog(home=str(tmp_path / "one")), Catalog(spark, home=str(tmp_path / "two"))
        expected = ingested(embedded, mixed, thumbnails=True)
        with opened_files() as opened:
            summary = ingested(on_spark, mixed, thumbnails=True)
        assert_same_table(rows(on_spark), rows(embedded))
        for name in ("listed", "new", "indexed", "other", "failed", "issues"):
            assert getattr(summary, name) == getattr(expected, name), name
        assert opened
        assert not [path for path in opened if path.startswith(str(mixed))]  # executors do

    def test_extracted_archives_give_the_rows_that_they_give_embedded(
        self, spark: SparkSession, mixed: Path, tmp_path: Path
    ) -> None:
        target = tmp_path / "extracted"
        tables = []
        for engine, home in ((None, tmp_path / "one"), (spark, tmp_path / "two")):
            catalog = Catalog(engine, home=str(home))
            selection = catalog.selection(
                mixed, pattern="**/*.zip/**", recurse=True, archives=Archives.EXTRACT, extract_to=str(target)
            )
            ingest(catalog, selection)
            tables.append(rows(catalog))
            shutil.rmtree(target)
        assert_same_table(*tables)
        assert tables[0].num_rows > 3

    def test_frames_are_data_frames_with_the_columns_of_embedded_ones(
        self, spark: SparkSession, folder: Path, tmp_path: Path
    ) -> None:
        embedded, on_spark = Catalog(home=str(tmp_path / "one")), Catalog(spark, home=str(tmp_path / "two"))
        for catalog in (embedded, on_spark):
            run_lines(catalog, folder)
        for step in (
            lambda catalog: catalog.catalog(folder),
            lambda catalog: DicomMetaExtractor(catalog).transform(catalog.catalog(folder)),
            lambda catalog: catalog.load(),
        ):
            df = step(on_spark)
            assert isinstance(df, DataFrame)
            assert df.columns == step(embedded).columns
        loaded = on_spark.load().where("Modality = 'CT'").select("PatientID", "Rows").collect()
        assert [tuple(row) for row in loaded] == [("1CT1", 128)]

    def test_transformers_are_stages_of_pipelines(self, spark: SparkSession, folder: Path, home: Path) -> None:
        catalog = Catalog(spark, home=str(home))
        pipeline = Pipeline(stages=[DicomMetaExtractor(catalog), DicomThumbnailExtractor()])
        df = catalog.catalog(folder)
        pictures = pipeline.fit(df).transform(df).where("thumbnail IS NOT NULL").select("Modality").collect()
        assert sorted(row.Modality for row in pictures) == ["CT", "MR"]

    def test_data_frames_that_spark_changed_in_between_are_taken(
        self, spark: SparkSession, folder: Path, home: Path
    ) -> None:
        catalog = Catalog(spark, home=str(home))
        meta_df = DicomMetaExtractor(catalog).transform(catalog.catalog(folder).where("extension = 'dcm'"))
        thumbnail_df = DicomThumbnailExtractor().transform(meta_df.where("Modality = 'MR'"))
        tally = catalog.save(thumbnail_df.selectExpr("*", "upper(Modality) AS shout"))
        assert tally.indexed == 1
        assert catalog.load().select("Modality", "shout").collect() == [("MR", "MR")]

    def test_plots_are_those_of_embedded_frames(self, spark: SparkSession, folder: Path, tmp_path: Path) -> None:
        def figures(plot: DicomPlot) -> list[str]:
            return sorted(re.findall("<figure.*?</figure>", plot.to_html(), re.DOTALL))

        embedded, on_spark = Catalog(home=str(tmp_path / "one")), Catalog(spark, home=str(tmp_path / "two"))
        run_lines(on_spark, folder)
        expected = figures(DicomPlot(DicomMetaExtractor(embedded).transform(embedded.catalog(folder))))
        assert len(expected) == 2
        for df in (DicomMetaExtractor(on_spark).transform(on_spark.catalog(folder)), on_spark.load()):
            assert figures(DicomPlot(df)) == expected
            assert "The first 1 pictures" in DicomPlot(df, limit=1).to_html()

    def test_rows_that_do_not_say_which_object_they_are_of(self, spark: SparkSession, folder: Path, home: Path) -> None:
        catalog = Catalog(spark, home=str(home))
        df = catalog.catalog(folder)
        for pathless in (df.drop("path"), df.selectExpr("nullif(extension, 'txt') AS path", "length")):
            with pytest.raises((ArgumentError, EngineError), match="path: is absent"):
                catalog.save(pathless)
        with pytest.raises(ArgumentError, match="path: is there more than once"):
            catalog.save(df.select("*", "path"))
        assert rows(catalog).num_rows == 0

    def test_streams_save_each_object_once(self, spark: SparkSession, folder: Path, home: Path, tmp_path: Path) -> None:
        embedded, on_spark = Catalog(home=str(home)), Catalog(spark, home=str(home))
        other, checkpoint = tmp_path / "other", tmp_path / "checkpoint"
        other.mkdir()
        shutil.copy(TEST_FILES / "rtdose.dcm", other)
        of_other = on_spark.catalog(other, streaming=True, streamCheckpointBasePath=str(checkpoint))
        with zipfile.ZipFile(folder / "notes.zip", "w") as archive:
            archive.write(folder / "notes.txt")
        with opened_files() as opened:
            tally = streamed(on_spark, folder, checkpoint, maxFilesPerTrigger=3, zipInPlace=True)
        assert (tally.indexed, tally.other) == (2, 3)  # the other one stays apart
        assert opened
        assert not [path for path in opened if path.startswith(str(folder))]  # executors do
        with pytest.raises(ArgumentError, match="is not of one stream that this catalog made"):
            Catalog(spark, home=str(home)).save(of_other)
        assert streamed(embedded, folder, checkpoint).indexed == 0
        shutil.copy(TEST_FILES / "JPEG2000.dcm", folder)
        assert streamed(embedded, folder, checkpoint).indexed == 1
        shutil.copy(TEST_FILES / "rtplan.dcm", folder / "CT_small.dcm")
        shutil.copy(TEST_FILES / "reportsi.dcm", folder)

        def add_one_and_interrupt() -> None:
            wait_for_rows(on_spark, 7)
            shutil.copy(TEST_FILES / "rtdose.dcm", folder)
            wait_for_rows(on_spark, 8)
            os.kill(os.getpid(), signal.SIGINT)

        listed = on_spark.catalog(
            folder, streaming=True, streamCheckpointBasePath=str(checkpoint), triggerProcessingTime="1 second"
        )
        with ThreadPoolExecutor(1) as thread:  # looks again until it is interrupted
            meanwhile = thread.submit(add_one_and_interrupt)
            tally = on_spark.save(DicomMetaExtractor(on_spark).transform(listed))
            meanwhile.result()
        assert (tally.indexed, tally.other) == (3, 0)
        assert spark.streams.active == []
        assert [streamed(catalog, folder, checkpoint).indexed for catalog in (embedded, on_spark)] == [0, 0]
        modalities = rows(embedded)["Modality"].to_pylist()
        assert sorted(map(str, modalities)) == ["MR", "NM", *3 * ["None"], "RTDOSE", "RTPLAN", "SR"]
