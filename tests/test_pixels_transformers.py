"""Transformers: from addresses to metadata, statistics, thumbnails and tags, whatever the objects are."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pydicom
import pytest

from dbx.pixels import dicom
from dbx.pixels.dicom import DicomMetaExtractor, DicomThumbnailExtractor, PathExtractor, TagExtractor
from dbx.pixels.dicom.schema import HEADER_SCHEMA
from dbx.pixels.engine.frame import Frame
from dbx.pixels.errors import ArgumentError, EngineError
from images import write_image

from conftest import TEST_FILES


def frame_of(*paths: Path | str, **columns: Sequence[Any]) -> Frame:
    """Make the frame that the catalog would, as far as the transformers look at it."""
    addresses = [str(path) for path in paths]
    lengths = [Path(path).stat().st_size if Path(path).exists() else 0 for path in addresses]
    return Frame.from_arrow({"path": addresses, "local_path": addresses, "length": lengths, **columns})


def rows(frame: Frame) -> list[dict[str, Any]]:
    table = frame.to_arrow()
    assert table.schema == frame.schema
    return table.to_pylist()


def pixel_issues(row: dict[str, Any]) -> list[str]:
    return [issue["message"] for issue in row["issues"] or () if issue["tag"] == "7FE00010"]


def test_the_star_gives_the_public_names() -> None:
    assert sorted(dicom.__all__) == [
        "DicomMetaExtractor",
        "DicomPlot",
        "DicomThumbnailExtractor",
        "PathExtractor",
        "TagExtractor",
    ]


def test_importing_loads_no_codecs() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, dbx.pixels.dicom; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "dbx.pixels.dicom.transformers" in loaded
    assert not {"imagecodecs", "matplotlib", "IPython"} & set(loaded)


def test_metadata_join_the_columns_of_the_frame() -> None:
    frame = frame_of(TEST_FILES / "CT_small.dcm", TEST_FILES / "MR_small.dcm", is_anon=[True, None])
    result = DicomMetaExtractor(None).transform(frame)
    assert result.columns == ["path", "local_path", "length", "is_anon", *HEADER_SCHEMA.names]
    ct, mr = rows(result)
    assert (ct["Modality"], mr["Modality"]) == ("CT", "MR")
    assert (ct["is_anon"], mr["is_anon"]) == (True, None)
    assert '"00080060":{"vr":"CS","Value":["CT"]}' in ct["meta"]


def test_columns_have_the_names_that_are_asked_for() -> None:
    path = str(TEST_FILES / "CT_small.dcm")
    frame = Frame.from_arrow({"address": [path], "length": [1]})
    result = DicomMetaExtractor(None, inputCol="address", outputCol="json").transform(frame)
    assert "meta" not in result.columns
    assert rows(result)[0]["json"].startswith("{")


def test_archives_and_errors_pass_through(tmp_path: Path) -> None:
    ct = TEST_FILES / "CT_small.dcm"
    frame = frame_of(
        tmp_path / "studies.zip",
        ct,
        tmp_path / "refused.dcm",
        file_type=["application/zip", None, None],
        error=[None, None, "permission denied"],
    )
    archive, image, refused = rows(DicomMetaExtractor(None).transform(frame))
    assert (archive["file_type"], archive["error"], archive["meta"]) == ("application/zip", None, None)
    assert (image["file_type"], image["error"], image["Modality"]) == ("application/dicom", None, "CT")
    assert (refused["file_type"], refused["error"], refused["meta"]) == (None, "permission denied", None)


def test_files_that_vanish_are_rows_with_an_error(tmp_path: Path) -> None:
    frame = frame_of(tmp_path / "gone.dcm")
    (row,) = rows(DicomThumbnailExtractor().transform(DicomMetaExtractor(None, deep=True).transform(frame)))
    assert row["error"]
    assert (row["thumbnail"], row["content_hash"], row["pixel_statistics"]) == (None, None, None)


def test_of_no_rows_transformers_make_none() -> None:
    frame = frame_of(TEST_FILES / "CT_small.dcm").limit(0)
    chain = DicomThumbnailExtractor().transform(DicomMetaExtractor(None, deep=True).transform(frame))
    assert rows(chain) == []


def test_deep_hash_and_statistics() -> None:
    names = ["CT_small.dcm", "rtdose.dcm", "examples_rgb_color.dcm", "rtplan.dcm"]
    for name, row in zip(
        names,
        rows(DicomMetaExtractor(None, deep=True).transform(frame_of(*map(TEST_FILES.joinpath, names)))),
        strict=True,
    ):
        assert row["content_hash"] == "sha256:" + hashlib.sha256((TEST_FILES / name).read_bytes()).hexdigest()
        if name == "rtplan.dcm":
            assert row["pixel_statistics"] is None
        else:
            values = pydicom.dcmread(TEST_FILES / name).pixel_array
            expected = {"min": values.min(), "max": values.max(), "mean": values.mean(), "std": values.std()}
            assert row["pixel_statistics"] == pytest.approx(expected)


def test_statistics_keep_their_precision(tmp_path: Path) -> None:
    pixels = (1e9 + np.arange(64).reshape(8, 8)).astype(np.float64)
    pixels[0, 0] = np.nan
    frame = frame_of(write_image(tmp_path / "large.dcm", pixels))
    (row,) = rows(DicomMetaExtractor(None, deep=True).transform(frame))
    assert row["pixel_statistics"]["std"] == pytest.approx(np.nanstd(pixels))
    assert row["pixel_statistics"]["mean"] == pytest.approx(np.nanmean(pixels))


def test_statistics_that_cannot_be_made_leave_an_issue() -> None:
    frame = frame_of(TEST_FILES / "MR_truncated.dcm", TEST_FILES / "MR_small.dcm")
    truncated, whole = rows(DicomMetaExtractor(None, deep=True).transform(frame))
    assert truncated["pixel_statistics"] is None
    assert "no pixel statistics: the object ends within the pixel data" in pixel_issues(truncated)
    assert truncated["content_hash"]
    assert whole["pixel_statistics"]
    assert not pixel_issues(whole)


def test_thumbnails_of_images_and_of_nothing_else() -> None:
    names = ["CT_small.dcm", "rtplan.dcm", "test-SR.dcm", "README.txt"]
    frame = DicomMetaExtractor(None).transform(frame_of(*map(TEST_FILES.joinpath, names)))
    image, plan, report, text = rows(DicomThumbnailExtractor().transform(frame))
    assert image["thumbnail"].startswith(b"\xff\xd8")
    for row in (plan, report, text):
        assert row["thumbnail"] is None
        assert not pixel_issues(row)


def test_thumbnails_that_cannot_be_made_leave_an_issue(tmp_path: Path) -> None:
    broken = write_image(
        tmp_path / "broken.dcm",
        np.zeros((8, 8), np.uint8),
        transfer_syntax="1.2.840.10008.1.2.4.80",
        frames=[b"no codestream"],
    )
    frame = DicomMetaExtractor(None).transform(
        frame_of(TEST_FILES / "MR_truncated.dcm", broken, TEST_FILES / "MR_small.dcm")
    )
    truncated, undecodable, whole = rows(DicomThumbnailExtractor().transform(frame))
    assert (truncated["thumbnail"], undecodable["thumbnail"]) == (None, None)
    assert "no thumbnail: the object ends within the pixel data" in pixel_issues(truncated)
    assert pixel_issues(undecodable)[-1].startswith("no thumbnail: cannot be decoded")
    assert whole["thumbnail"]
    assert not pixel_issues(whole)


def test_thumbnails_of_zip_members(tmp_path: Path) -> None:
    archive = tmp_path / "images.zip"
    names = ["CT_small.dcm", "examples_ybr_color.dcm", "image_dfl.dcm", "MR_small_bigendian.dcm"]
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.write(TEST_FILES / name, name)
    members = [f"zip://{name}::{archive}" for name in names]
    inside = Frame.from_arrow({"local_path": members, "length": [(TEST_FILES / name).stat().st_size for name in names]})
    outside = frame_of(*map(TEST_FILES.joinpath, names))
    thumbnails = [
        [
            row["thumbnail"]
            for row in rows(DicomThumbnailExtractor().transform(DicomMetaExtractor(None).transform(frame)))
        ]
        for frame in (inside, outside)
    ]
    assert None not in thumbnails[0]
    assert thumbnails[0] == thumbnails[1]


def test_thumbnails_need_metadata() -> None:
    with pytest.raises(ArgumentError, match=r"Run DicomMetaExtractor\(catalog\).transform\(df\) first"):
        DicomThumbnailExtractor().transform(frame_of(TEST_FILES / "CT_small.dcm"))


@pytest.mark.parametrize("options", [{"imageFormat": "PNG"}, {"imageFormat": "jpeg"}, {"size": 0}, {"size": 10**6}])
def test_thumbnails_that_cannot_be_had_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        DicomThumbnailExtractor(**options)


def test_frames_without_the_input_are_refused() -> None:
    with pytest.raises(ArgumentError, match="no such column"):
        DicomMetaExtractor(None, inputCol="nowhere").transform(frame_of(TEST_FILES / "CT_small.dcm")).to_arrow()


def test_what_is_no_frame_is_refused() -> None:
    with pytest.raises(EngineError, match="cannot run over a list"):
        TagExtractor().transform(["a", "b"])


@pytest.mark.parametrize(
    "transformer",
    [PathExtractor(), TagExtractor(), DicomMetaExtractor(object()), DicomThumbnailExtractor(size=64)],
    ids=lambda transformer: type(transformer).__name__,
)
def test_batch_functions_can_travel(transformer: Any) -> None:
    batch = pa.RecordBatch.from_pydict(
        {
            "path": ["a/b.dcm"],
            "relative_path": ["b.dcm"],
            "local_path": [str(TEST_FILES / "CT_small.dcm")],
            "length": [(TEST_FILES / "CT_small.dcm").stat().st_size],
        }
    )
    if isinstance(transformer, DicomThumbnailExtractor):
        batch = DicomMetaExtractor().transform_batch(batch)
    function = pickle.loads(pickle.dumps(transformer.transform_batch))
    assert function(batch) == transformer.transform_batch(batch)


def test_paths_are_taken_apart(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXELS_HOME", str(home))
    paths = ["/data/a/CT.DCM", "/data/1.2.840.10008.5", "/elsewhere/x.nii.gz", "/Volumes/main/scans/raw/1.dcm", None]
    frame = PathExtractor(basePath="/data").transform(Frame.from_arrow({"path": paths}))
    assert [tuple(row.values()) for row in rows(frame)] == [
        ("/data/a/CT.DCM", "a/CT.DCM", "/data/a/CT.DCM", "dcm"),
        ("/data/1.2.840.10008.5", "1.2.840.10008.5", "/data/1.2.840.10008.5", ""),
        ("/elsewhere/x.nii.gz", "x.nii.gz", "/elsewhere/x.nii.gz", "gz"),
        ("/Volumes/main/scans/raw/1.dcm", "1.dcm", f"{home}/Volumes/main/scans/raw/1.dcm", "dcm"),
        (None, None, None, None),
    ]


@pytest.mark.parametrize(
    ("path", "tags"),
    [
        ("ct-head/series_2/IM1.dcm", ["ct", "head", "series", "2", "IM1"]),
        ("1.2.840.10008.5/1.2.3/image", ["1.2.840.10008.5", "1.2.3", "image"]),
        ("head head/head.dcm", ["head"]),
        ("Köpfe/头.dcm", ["Köpfe", "头"]),
        ("", []),
        (None, None),
    ],
)
def test_words_of_paths_are_tags(path: str | None, tags: list[str] | None) -> None:
    frame = Frame.from_arrow({"relative_path": pa.array([path], pa.string())})
    assert rows(TagExtractor().transform(frame))[0]["path_tags"] == tags
