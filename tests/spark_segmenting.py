"""What segmenting does on every session of Spark, classic or remote: modules of tests take it over with their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from deltalake import DeltaTable
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from bundles import write_bundle
from dbx.pixels import Catalog
from dbx.pixels.ai.batch import segment
from dbx.pixels.ai.models import Models
from dbx.pixels.ai.results import Result, results_table
from dbx.pixels.ai.runner import Runner
from dbx.pixels.ai.segmentation import read_segmentation
from dbx.pixels.ai.series import read_series
from dbx.pixels.index import ServingIndex
from dbx.pixels.storage import volume_path
from dbx.pixels.table import EVERYTHING
from volumes import ingested, phantom, write

SLICES, SIZE = 16, 32
#: Series by their seeds: the second lacks a slice.
SEEDS = (0, 1, 2)
UIDS = [str(phantom(SLICES, SIZE, seed)[0].SeriesInstanceUID) for seed in SEEDS]


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two whole series, and one with a gap."""
    folder = tmp_path_factory.mktemp("series")
    for seed in SEEDS:
        images = phantom(SLICES, SIZE, seed)
        write(folder / str(seed), images if seed != 1 else [*images[:4], *images[5:]])
    return folder


def prepared(spark: SparkSession | None, home: Path, series: Path, **bundle: str) -> tuple[Catalog, ServingIndex]:
    """Make a home with the series and a model that finds what is brighter than 100 HU."""
    catalog = Catalog(spark, home=str(home))
    write_bundle(catalog.home.models, "bright", **bundle)
    return catalog, ingested(Catalog(home=str(home)), series)


def segmented(catalog: Catalog, index: ServingIndex) -> dict[str, Result]:
    """Segment all three, and return what became of those that were not left out."""
    results = list(segment(catalog, index, Runner(Models(catalog.home.models), index), "bright", UIDS))
    assert len(results) == len(UIDS)
    return {result.series_uid: result for result in results if result is not None}


def voxels(index: ServingIndex, result: Result) -> NDArray[np.uint8]:
    """What a result found, as it is read from its file."""
    instance = index.find(str(result.result), EVERYTHING)
    assert instance is not None
    return read_segmentation(instance, read_series(index, result.series_uid, EVERYTHING)).values


class SegmentingChecks:
    """Needs the fixture `spark`, a session of the module's."""

    def test_results_are_those_of_this_machine(self, spark: SparkSession, series: Path, tmp_path: Path) -> None:
        embedded, embedded_index = prepared(None, tmp_path / "one", series)
        on_spark, index = prepared(spark, tmp_path / "two", series)
        expected, found = segmented(embedded, embedded_index), segmented(on_spark, index)

        assert found.keys() == expected.keys() == set(UIDS)
        for uid, result in found.items():
            assert (result.error, result.volumes_ml) == (expected[uid].error, expected[uid].volumes_ml)
            assert (result.model, result.model_version) == ("bright", "0.1.0")
        assert "has gaps" in str(found[UIDS[1]].error)
        for uid in (UIDS[0], UIDS[2]):
            labelmap = voxels(index, found[uid])
            assert labelmap.any()
            assert np.array_equal(labelmap, voxels(embedded_index, expected[uid]))

        columns = "path, label_state, model, model_version"
        rows = on_spark.sql(f"SELECT {columns} FROM instances WHERE Modality = 'SEG'").to_arrow().to_pylist()
        assert all(row["path"].startswith(f"{volume_path(on_spark.volume)}/ohif/exports/") for row in rows)
        assert [tuple(row.values())[1:] for row in rows] == 2 * [("proposal", "bright", "0.1.0")]
        told = DeltaTable(results_table(on_spark.location())).to_pyarrow_table()
        assert sorted(told["series_uid"].to_pylist()) == sorted(UIDS)

    def test_what_one_engine_has_segmented_the_other_leaves_out(
        self, spark: SparkSession, series: Path, home: Path
    ) -> None:
        embedded, index = prepared(None, home, series)
        first = segmented(embedded, index)
        again = segmented(Catalog(spark, home=str(home)), index)
        assert first.keys() == set(UIDS)
        assert again.keys() == {UIDS[1]}
