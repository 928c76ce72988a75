"""What is segmented on Spark: series, and a model that finds what is bright."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from bundles import write_bundle
from dbx.pixels import Catalog
from dbx.pixels.ai.batch import segment
from dbx.pixels.ai.models import Models
from dbx.pixels.ai.results import Result
from dbx.pixels.ai.runner import Runner
from dbx.pixels.ai.segmentation import read_segmentation
from dbx.pixels.ai.series import read_series
from dbx.pixels.index import ServingIndex
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


def voxels(index: ServingIndex, result_uid: str, series_uid: str) -> NDArray[np.uint8]:
    """What was found in a series, as it is read from its file."""
    instance = index.find(result_uid, EVERYTHING)
    assert instance is not None
    return read_segmentation(instance, read_series(index, series_uid, EVERYTHING)).values
