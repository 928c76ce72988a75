"""DICOMweb against Orthanc, with the same files in one run: 42,504 MR images like those of a GE scanner.

Both are asked for study 0 of 14: 3,036 instances in 13 series. Pixels has all studies in its table. Orthanc gets study
0 only, which favours it, as 42,504 files would take it minutes; its rate over these files is taken for all. Files come
from the page cache and get into Orthanc by 4 clients, through its own interface, which is faster than its STOW-RS.

All answers are taken over loopback by the same client, which does not decode them.
"""

from __future__ import annotations

import re
import shutil
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks import mr_studies, orthanc
from benchmarks.client import FRAME, Connection, Request, ask_all
from benchmarks.command import ingest, pixels, serving
from benchmarks.measure import Row, Skipped, interleaved

STUDIES = 14
SIZES = mr_studies.STUDY
SERIES = 0  # the one that is asked for
ROUNDS = 5
STORING_CLIENTS = 4
FRAMES = 400
FRAME_CLIENTS = 8
VIEWER_CONNECTIONS = 6
VIEWER_FRAMES = 30
#: What browsers accept on loopback, and what the server stores.
BROWSER, STORED = "gzip, deflate, br, zstd", "zstd"

_ROOT = "/dicom-web"


def rows(data: Path) -> list[Row | Skipped]:
    """Get the files in, then ask both in turn."""
    if not orthanc.is_installed():
        return [Skipped("DICOMweb against Orthanc", orthanc.MISSING)]
    folder = data / f"mr-{STUDIES}x{sum(SIZES)}"
    studies = [mr_studies.mr_study(folder, number, SIZES) for number in range(STUDIES)]
    bulk_folder = data / f"mr-bulk-{SIZES[SERIES]}"
    bulk = mr_studies.mr_study(bulk_folder, STUDIES, SIZES[SERIES : SERIES + 1], protocol=True)
    home = data / "home-serving"
    with ExitStack() as stack:
        theirs = stack.enter_context(orthanc.running(data))
        result: list[Row | Skipped] = [_getting_in(theirs, studies, folder, home)]
        stack.callback(shutil.rmtree, home)
        _upload(theirs.url, bulk)
        ingest(bulk_folder, home)
        ours = stack.enter_context(serving(home))
        ask = _Asking(theirs.url, ours.url)
        study, series = studies[0], studies[0].series[SERIES]
        result += _metadata(ask, study, series, bulk)
        result += _frames(ask, study)
        result.append(_opening(ask, study))
    return result


class _Asking:
    """Asks both servers in turn, and makes rows of it."""

    def __init__(self, theirs: str, ours: str) -> None:
        self.urls = {"Orthanc": theirs, "ours": ours}

    def compare(self, what: str, target: float, theirs: Request, ours: Request | None = None) -> Row:
        """Compare the milliseconds of one request, its connection having been made."""
        requests = {"Orthanc": theirs, "ours": ours or theirs}

        def measure(name: str) -> float:
            with Connection(self.urls[name]) as connection:
                return _milliseconds(partial(connection.ask, requests[name]))

        return self.row(what, target, measure)

    def row(self, what: str, target: float, measure: Callable[[str], float], items: int | None = None) -> Row:
        """Make the row of what is measured in milliseconds; of many items at once their rate is shown."""
        measured = interleaved({name: partial(measure, name) for name in self.urls}, ROUNDS)
        theirs, ours = (
            f"{measured[name]:,.2f} ms" if items is None else f"{items / measured[name] * 1000:,.0f} frames/s"
            for name in self.urls
        )
        return Row(what, f"Orthanc: {theirs}", ours, measured["Orthanc"] / measured["ours"], target)


def _getting_in(theirs: orthanc.Orthanc, studies: list[mr_studies.Study], folder: Path, home: Path) -> Row:
    """Get files into Orthanc, and into a new home with its index."""
    first = studies[0]
    paths = [path for study in studies for series in study.series for path in series.paths]
    files = len(paths)
    for path in paths:  # so that neither side waits for the disk
        path.read_bytes()
    their_rate = sum(SIZES) / _upload(theirs.url, first)
    shutil.rmtree(home, ignore_errors=True)
    ingested = ingest(folder, home)
    if ingested.summary["indexed"] != files:
        raise RuntimeError(f"{ingested.summary['indexed']} of {files} files were indexed")
    index_seconds = float(re.search(r" in ([\d.]+) s", pixels("index", "--rebuild", "--home", home).output)[1])
    start = ingested.seconds - ingested.summary["seconds"]
    rate = files / (ingested.summary["seconds"] + index_seconds)
    return Row(
        f"getting {files:,} MR files in and searchable",
        f"Orthanc: {their_rate:,.0f} files/s; start {theirs.start:.1f} s",
        f"{rate:,.0f} files/s, index {index_seconds:.1f} s of them; start {start:.1f} s",
        rate / their_rate,
        30,
    )


def _upload(url: str, study: mr_studies.Study) -> float:
    """Store a study in Orthanc, and return the seconds that took."""
    paths = [path for series in study.series for path in series.paths]
    begin = time.perf_counter()
    requests = (
        Request("/instances", "*/*", body=path.read_bytes(), content_type="application/dicom") for path in paths
    )
    ask_all(url, requests, STORING_CLIENTS)
    return time.perf_counter() - begin


def _metadata(
    ask: _Asking, study: mr_studies.Study, series: mr_studies.Series, bulk: mr_studies.Study
) -> list[Row | Skipped]:
    count, all_of_it = len(series.paths), sum(SIZES)
    queried = Request(f"{_series(study, series)}/instances")
    plain = Request(f"{_series(study, series)}/metadata")
    stored = plain._replace(encoding=STORED)
    bulky = Request(f"{_series(bulk, bulk.series[0])}/metadata")
    what = f"metadata of a series of {count} instances"
    return [
        ask.compare(f"QIDO of the instances of a series of {count}", 40, queried),
        ask.compare(f"{what}, identity", 25, plain),
        ask.compare(f"{what}, {STORED} against identity", 40, plain, stored),
        ask.compare(f"{what} with bulk data, identity", 25, bulky),
        ask.compare(f"{what} with bulk data, {STORED} against identity", 40, bulky, bulky._replace(encoding=STORED)),
        ask.compare(f"metadata of a study of {all_of_it:,} instances", 20, Request(f"{_study(study)}/metadata")),
    ]


def _frames(ask: _Asking, study: mr_studies.Study) -> list[Row | Skipped]:
    requests = [_frame(study, series, instance) for series in study.series for instance in series.instances][:FRAMES]

    def median(name: str) -> float:
        with Connection(ask.urls[name]) as connection:
            return statistics.median(_milliseconds(partial(connection.ask, request)) for request in requests)

    def together(name: str) -> float:
        return _milliseconds(lambda: ask_all(ask.urls[name], requests, FRAME_CLIENTS))

    what = f"frames of 128 KB, {FRAME_CLIENTS} clients"
    return [ask.row("frame of 128 KB, one client, p50", 2.5, median), ask.row(what, 3, together, items=len(requests))]


def _opening(ask: _Asking, study: mr_studies.Study) -> Row:
    """What a viewer asks: its queries, then the metadata of each series and the first frames of the first."""
    options = "limit=101&offset=0&fuzzymatching=false&includefield=00081030,00080060,00080090,00100030"
    queries = [
        Request(f"{_ROOT}/studies?{options}&StudyInstanceUID={study.uid}"),
        Request(f"{_study(study)}/series?includefield=0008103E,00080021"),
    ]
    first = study.series[0]
    rest = [
        *(Request(f"{_series(study, series)}/metadata", encoding=BROWSER) for series in study.series),
        *(_frame(study, first, instance) for instance in first.instances[:VIEWER_FRAMES]),
    ]

    def opened(name: str) -> float:
        def ask_for_all() -> None:
            ask_all(ask.urls[name], queries, len(queries))
            ask_all(ask.urls[name], rest, VIEWER_CONNECTIONS)

        return _milliseconds(ask_for_all)

    what = f"opening a study of {sum(SIZES):,} instances in a viewer, {VIEWER_CONNECTIONS} connections"
    return ask.row(what, 15, opened)


def _study(study: mr_studies.Study) -> str:
    return f"{_ROOT}/studies/{study.uid}"


def _series(study: mr_studies.Study, series: mr_studies.Series) -> str:
    return f"{_study(study)}/series/{series.uid}"


def _frame(study: mr_studies.Study, series: mr_studies.Series, instance: str) -> Request:
    return Request(f"{_series(study, series)}/instances/{instance}/frames/1", FRAME)


def _milliseconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1000
