"""A header to DICOM JSON on one core, against pydicom, the file system's floor and DCMTK.

All read the same mix in the page cache. The recipe, being slow, reads the first files only: the mix repeats every 100.
The core reads elements once that come again in similar objects; a row of its own tells what that makes of the images of
an MR study, of which some thirty values of 350 differ, where the mix's kinds take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import compiled, corpus, mr_studies, recipe
from benchmarks.measure import Row, Skipped, cpu_per_item, interleaved, per_file
from dbx.pixels.dicom.headers import read_headers

FILES = 10_000
RECIPE_FILES = 500
SERIES = (240,) * 4
BATCH = 256  # as the engine does

_TO_JSON = "header to JSON, one core"


def rows(data: Path) -> list[Row | Skipped]:
    """Measure all ways in turn."""
    paths = corpus.mixed(data / "mixed-10000", FILES)
    sample = paths[:RECIPE_FILES]
    study = mr_studies.mr_study(data / f"mr-headers-{sum(SERIES)}", 0, SERIES)
    images = [str(path) for series in study.series for path in series.paths]
    image_sample = images[: RECIPE_FILES // 5]
    floor, dcmtk = compiled.floor(data, paths), compiled.dcmtk(data, paths)
    ways: dict[str, Callable[[], float]] = {
        "recipe": lambda: cpu_per_item(lambda: recipe.headers_to_json(sample), len(sample)),
        "inline": lambda: cpu_per_item(lambda: _read(paths, bulk_threshold=None), len(paths)),
        "bulk": lambda: cpu_per_item(lambda: _read(paths, bulk_threshold=1024), len(paths)),
        "recipe, MR": lambda: cpu_per_item(lambda: recipe.headers_to_json(image_sample), len(image_sample)),
        "bulk, MR": lambda: cpu_per_item(lambda: _read(images, bulk_threshold=1024), len(images)),
    }
    ways |= {name: way for name, way in (("floor", floor), ("dcmtk", dcmtk)) if way}
    measured = interleaved(ways)

    def compare(what: str, baseline: str, ours: str, target: float) -> Row:
        ratio = measured[baseline] / measured[ours]
        return Row(what, f"{baseline}: {per_file(measured[baseline])}", per_file(measured[ours]), ratio, target)

    result: list[Row | Skipped] = [
        compare(f"{_TO_JSON}, binaries inline", "recipe", "inline", 100),
        compare(f"{_TO_JSON}, BulkDataURI", "recipe", "bulk", 200),
        compare(f"{_TO_JSON}, BulkDataURI, MR study", "recipe, MR", "bulk, MR", 200),
    ]
    if floor:
        share = measured["floor"] / measured["bulk"] * 100
        result.append(
            Row(
                f"{_TO_JSON}, rate against open + pread(16 KB) + close",
                f"floor: {per_file(measured['floor'])}",
                per_file(measured["bulk"]),
                share,
                40,
                "%",
            )
        )
    else:
        result.append(Skipped(f"{_TO_JSON}, against the floor", "no C compiler"))
    if dcmtk:
        result.append(compare(f"{_TO_JSON}, binaries inline", "dcmtk", "inline", 15))
    else:
        result.append(Skipped(f"{_TO_JSON}, against DCMTK", "DCMTK's development files are not installed"))
    return result


def _read(paths: Sequence[str], bulk_threshold: int | None) -> None:
    for begin in range(0, len(paths), BATCH):
        read_headers(paths[begin : begin + BATCH], bulk_threshold=bulk_threshold)
