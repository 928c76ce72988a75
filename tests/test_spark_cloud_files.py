"""Streams of `cloudFiles`, with Spark's own source of files in its place: Auto Loader is in Databricks only."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from dbx.pixels import Catalog
from dbx.pixels.catalog import cloud_files
from dbx.pixels.catalog.chunks import Tally
from dbx.pixels.dicom import DicomMetaExtractor
from dbx.pixels.errors import ArgumentError, EngineError
from spark_sessions import session

from conftest import TEST_FILES


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    with session("local[1]") as spark:
        yield spark


def stream(catalog: Catalog, folder: Path, **options: Any) -> Any:
    checkpoint = str(catalog.home.root / "checkpoints")
    return catalog.catalog(str(folder), streaming=True, streamCheckpointBasePath=checkpoint, cloudFiles=True, **options)


def run(catalog: Catalog, folder: Path, **options: Any) -> Tally:
    return catalog.save(DicomMetaExtractor(catalog).transform(stream(catalog, folder, **options)))


def rows(catalog: Catalog) -> list[dict[str, Any]]:
    return catalog.sql("SELECT * FROM object_catalog ORDER BY path").to_arrow().to_pylist()


def test_it_fills_the_table_as_our_own_listing_does(
    spark: SparkSession, folder: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud_files, "_SOURCE", "binaryFile")
    shutil.copy(TEST_FILES / "CT_small.dcm", folder / "not looked into.zip")
    found, ours = Catalog(spark, home=str(home)), Catalog(home=str(tmp_path / "ours"))
    assert run(found, folder).indexed == 2
    ours.save(DicomMetaExtractor(ours).transform(ours.catalog(folder)))
    assert rows(found) == rows(ours)
    # What another engine has saved in between is not saved again.
    shutil.copy(TEST_FILES / "MR_small.dcm", folder / "new.dcm")
    embedded = Catalog(home=str(home))
    embedded.save(DicomMetaExtractor(embedded).transform(embedded.catalog(folder)))
    before = rows(embedded)
    run(found, folder)
    assert rows(embedded) == before
    assert len(before) == 4


def test_a_pattern_holds(spark: SparkSession, folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud_files, "_SOURCE", "binaryFile")
    catalog = Catalog(spark, home=str(home))
    run(catalog, folder, pattern="head*/*.dcm")
    assert [row["relative_path"] for row in rows(catalog)] == ["head mr/MR_small.dcm"]


def test_elsewhere_it_is_told_in_one_message(spark: SparkSession, folder: Path, home: Path) -> None:
    with pytest.raises(EngineError, match=r"^cloudFiles: cannot be used: .*leave cloudFiles out elsewhere\.$"):
        stream(Catalog(spark, home=str(home)), folder)
    with pytest.raises(EngineError, match="needs a session of Databricks"):
        stream(Catalog(home=str(home)), folder)


@pytest.mark.parametrize("options", [{"recurse": False}, {"zipInPlace": True}])
def test_what_it_cannot_do_is_refused(spark: SparkSession, folder: Path, home: Path, options: dict) -> None:
    with pytest.raises(ArgumentError, match="takes one path with its folders, and no archives"):
        stream(Catalog(spark, home=str(home)), folder, **options)
    with pytest.raises(ArgumentError, match="cloudFiles: has no use without streaming=True"):
        Catalog(spark, home=str(home)).catalog(folder, cloudFiles=True)
