"""The public API: the seven lines, frames, arguments that exclude each other, saving twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from dbx.pixels import Catalog
from dbx.pixels.catalog.chunks import chunks
from dbx.pixels.dicom import DicomMetaExtractor, DicomThumbnailExtractor
from dbx.pixels.engine.frame import Frame
from dbx.pixels.errors import ArgumentError, EngineError, ObjectNotFoundError


def test_seven_lines(monkeypatch: pytest.MonkeyPatch, home: Path, folder: Path) -> None:
    monkeypatch.setenv("PIXELS_HOME", str(home))
    lines = """
from dbx.pixels import Catalog                              # 01
from dbx.pixels.dicom import *                              # 02
catalog = Catalog(spark)                                    # 03  Catalog() runs embedded
catalog_df = catalog.catalog(path)                          # 04
meta_df = DicomMetaExtractor(catalog).transform(catalog_df) # 05
thumbnail_df = DicomThumbnailExtractor().transform(meta_df) # 06
catalog.save(thumbnail_df)                                  # 07
"""
    exec(lines, {"spark": None, "path": str(folder)})
    rows = Catalog().sql("SELECT Modality, thumbnail IS NOT NULL AS seen FROM object_catalog ORDER BY path").to_arrow()
    assert rows.to_pylist() == [
        {"Modality": "CT", "seen": True},
        {"Modality": "MR", "seen": True},
        {"Modality": None, "seen": False},
    ]


def test_catalog_tells_what_is_known_before_reading(catalog: Catalog, folder: Path) -> None:
    frame = catalog.catalog(str(folder))
    assert frame.columns[:10] == [
        "path", "modificationTime", "length", "original_path", "relative_path", "local_path", "extension",
        "file_type", "path_tags", "is_anon",
    ]  # fmt: skip
    rows = {row["relative_path"]: row for row in frame.to_arrow().to_pylist()}
    mr = rows["head mr/MR_small.dcm"]
    assert mr["path"] == mr["original_path"] == mr["local_path"] == str(folder / "head mr" / "MR_small.dcm")
    assert mr["length"] == (folder / "head mr" / "MR_small.dcm").stat().st_size
    assert mr["extension"] == "dcm"
    assert {"head", "mr"} <= set(mr["path_tags"])
    assert mr["is_anon"] is False
    assert mr["file_type"] is None


def test_frames_are_read_anew_each_time(catalog: Catalog, folder: Path) -> None:
    frame = catalog.catalog(str(folder))
    assert frame.count() == 3
    (folder / "more.txt").write_text("more")
    assert frame.count() == 4


def test_a_frame_goes_wherever_arrow_goes(catalog: Catalog, folder: Path) -> None:
    frame = DicomMetaExtractor(catalog).transform(catalog.catalog(str(folder)))
    assert duckdb.sql("SELECT max(Modality) FROM frame").fetchall() == [("MR",)]
    assert pa.table(frame).num_rows == 3
    assert list(frame.to_pandas()["Modality"].dropna()) == ["CT", "MR"]
    assert "<td>CT</td>" in frame._repr_html_()


def test_pattern_and_recursion(catalog: Catalog, folder: Path) -> None:
    def names(**options: object) -> list[str]:
        return catalog.catalog(str(folder), **options).to_arrow()["relative_path"].to_pylist()

    assert names(pattern="*.dcm") == ["CT_small.dcm", "head mr/MR_small.dcm"]
    assert names(pattern="head*/*") == ["head mr/MR_small.dcm"]
    assert names(recurse=False) == ["CT_small.dcm", "notes.txt"]


def test_detect_file_type(catalog: Catalog, folder: Path) -> None:
    rows = catalog.catalog(str(folder), detectFileType=True).to_arrow().to_pylist()
    assert {row["extension"]: row["file_type"] for row in rows} == {"dcm": "application/dicom", "txt": "text/plain"}


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"extractZip": True, "zipInPlace": True}, "where they are"),
        ({"extractZipBasePath": "/tmp/x"}, "extractZip=True"),
        ({"extractZip": True, "extractZipBasePath": "s3://bucket/folder"}, "local folder"),
        ({"maxFilesPerTrigger": 7}, "streaming=True"),
        ({"streaming": True}, "streamCheckpointBasePath"),
        ({"streamCheckpointBasePath": "/tmp/x"}, "streaming=True"),
        ({"triggerAvailableNow": True}, "streaming=True"),
        ({"triggerProcessingTime": "1 second"}, "streaming=True"),
        ({"streaming": True, "streamCheckpointBasePath": "s3://b/c"}, "local folder"),
        ({"streaming": True, "streamCheckpointBasePath": "/tmp/x", "triggerProcessingTime": "soon"}, "10 seconds"),
        ({"streaming": True, "streamCheckpointBasePath": "/tmp/x", "maxFilesPerTrigger": 0}, "1 or more"),
        (
            {
                "streaming": True,
                "streamCheckpointBasePath": "/tmp/x",
                "triggerProcessingTime": "1 second",
                "triggerAvailableNow": True,
            },
            "Choose one",
        ),
        ({"streaming": True, "streamCheckpointBasePath": "/tmp/x", "maxFilesPerTrigger": "10"}, "1 or more"),
        ({"pattern": "[z-a]"}, "Write for example"),
        ({"pattern": ""}, "Leave it out"),
    ],
)
def test_wrong_combinations_are_refused_with_the_remedy(
    catalog: Catalog, folder: Path, options: dict, remedy: str
) -> None:
    with pytest.raises(ArgumentError, match=remedy):
        catalog.catalog(str(folder), **options)


def test_paths_may_be_objects_of_pathlib(catalog: Catalog, folder: Path) -> None:
    assert catalog.catalog(folder).count() == catalog.catalog(str(folder)).count()
    assert catalog.catalog([folder]).count() == catalog.catalog(str(folder)).count()


@pytest.mark.parametrize("path", [None, 7, b"/data", [None], ["/data", 7]])
def test_what_is_no_path_is_refused(catalog: Catalog, path: Any) -> None:
    with pytest.raises(ArgumentError, match=r"is no path\. Give a folder"):
        catalog.catalog(path)


def test_a_path_that_is_not_there(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(ObjectNotFoundError, match="does not exist"):
        catalog.catalog(str(tmp_path / "nowhere")).count()


def test_spark_is_refused_until_it_is_there() -> None:
    with pytest.raises(EngineError, match=r"Catalog\(\)"):
        Catalog(object())


def test_saving_twice_doubles_nothing_and_fills_what_was_null(catalog: Catalog, folder: Path) -> None:
    meta = DicomMetaExtractor(catalog).transform(catalog.catalog(str(folder)))
    catalog.save(meta)
    catalog.save(meta)
    assert catalog.load().count() == 3
    catalog.save(DicomThumbnailExtractor().transform(meta))
    assert catalog.sql("SELECT count(*), count(thumbnail), count(meta) FROM object_catalog").to_arrow().to_pylist() == [
        {"count_star()": 3, "count(thumbnail)": 2, "count(meta)": 2}
    ]


def test_overwrite_keeps_only_what_is_saved(catalog: Catalog, folder: Path) -> None:
    catalog.save(catalog.catalog(str(folder)))
    catalog.save(catalog.catalog(str(folder), pattern="*.txt"), mode="overwrite")
    assert catalog.load().to_arrow()["relative_path"].to_pylist() == ["notes.txt"]


def test_tables_have_names_or_places(catalog: Catalog, folder: Path, tmp_path: Path) -> None:
    frame = catalog.catalog(str(folder))
    catalog.save(frame, "lab.trials.objects")
    assert (catalog.home.tables / "lab" / "trials" / "objects" / "_delta_log").is_dir()
    catalog.save(frame, str(tmp_path / "elsewhere"))
    assert catalog.load(str(tmp_path / "elsewhere")).count() == 3
    assert catalog.load().count() == 0


def test_columns_of_the_users_own_are_kept(catalog: Catalog, folder: Path) -> None:
    listed = catalog.catalog(str(folder)).to_arrow()
    catalog.save(Frame.from_arrow(listed.append_column("site", [["Bern"] * 3])))
    assert catalog.sql("SELECT DISTINCT site FROM object_catalog").to_arrow().to_pylist() == [{"site": "Bern"}]


def test_frames_and_modes_that_do_not_fit_are_refused(catalog: Catalog, folder: Path) -> None:
    with pytest.raises(ArgumentError, match="path"):
        catalog.save(catalog.catalog(str(folder)).select("length"))
    with pytest.raises(ArgumentError, match="overwrite"):
        catalog.save(catalog.catalog(str(folder)), mode="merge")
    listed = catalog.catalog(str(folder)).to_arrow()
    with pytest.raises(ArgumentError, match=r"pyarrow\.Table is no frame.*Frame\.from_arrow"):
        catalog.save(listed)
    with pytest.raises(ArgumentError, match=r"pandas\.DataFrame is no frame"):
        catalog.save(listed.to_pandas())


def test_rows_that_come_slowly_are_committed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbx.pixels.catalog.chunks.CHUNK_SECONDS", 0)
    batches = [pa.record_batch({"path": [f"/{number}"]}) for number in range(3)]
    assert [chunk.num_rows for chunk in chunks(batches, batches[0].schema)] == [1, 1, 1]
