"""The serving index of 1,000,000 instances in 10,000 studies: made anew, and searched by name through the server.

The rows are written to the table as an ingest would, but not read from a million files: they are those of three
headers of the mix, CT, US and DX, without private attributes and sequences: 5 KB of JSON each. UIDs, names, dates and
numbers tell them apart. The table is made once and kept.
"""

from __future__ import annotations

import json
import random
import statistics
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks import corpus
from benchmarks.client import Connection, Request
from benchmarks.command import pixels, serving
from benchmarks.measure import Row, Skipped
from dbx.pixels import Catalog
from dbx.pixels.dicom.headers import read_headers
from dbx.pixels.dicom.schema import HEADER_SCHEMA
from dbx.pixels.table import ObjectTable

STUDIES = 10_000
INSTANCES = 100  # of each study
SERIES = 2  # of each study
STUDIES_A_COMMIT = 500
SEARCHES = 200
RUNS = 3

#: As OHIF's study list asks.
_SEARCH = (
    "/dicom-web/studies?PatientName=*{}*&limit=101&offset=0&fuzzymatching=true"
    "&includefield=00081030,00080060,00080090,00100030"
)
_SURNAMES = [
    begin + end
    for begin in ["Ander", "Berg", "Carl", "Dahl", "Ek", "Fors", "Gran", "Holm", "Ive", "Jans"]
    for end in ["berg", "dal", "gren", "kvist", "land", "lund", "man", "mark", "son", "stad"]
]
_MARK = "|"
#: Attributes that differ, by their tag in the JSON.
_TAGS = {
    "00080018": "SOPInstanceUID",
    "00080020": "StudyDate",
    "00100010": "PatientName",
    "00100020": "PatientID",
    "0020000D": "StudyInstanceUID",
    "0020000E": "SeriesInstanceUID",
    "00200013": "InstanceNumber",
}


def rows(data: Path) -> list[Row | Skipped]:
    """Make the index of the table, then serve it."""
    home = _home(data)
    count = STUDIES * INSTANCES
    runs = [pixels("index", "--rebuild", "--home", home) for _ in range(RUNS)]
    seconds = statistics.median(run.seconds for run in runs)
    peak = max(run.peak_memory for run in runs) / 1e6
    what = f"index of {count:,} instances"
    found, p50 = _search(home)
    return [
        Row(f"{what} rebuilt", "none", f"{seconds:.1f} s", seconds, 60, "s", at_least=False),
        Row(f"{what} rebuilt, peak memory", "none", f"{peak:,.0f} MB", peak, 1000, "MB", at_least=False),
        Row(
            f"study list by name over {count:,} instances, {found:.0f} studies found, p50 in the server",
            "none",
            f"{p50:.1f} ms",
            p50,
            5,
            "ms",
            at_least=False,
        ),
    ]


def _search(home: Path) -> tuple[float, float]:
    """Return how many studies a search finds, and the median of the milliseconds that the server's log tells."""
    names = random.Random(0).choices(_SURNAMES, k=SEARCHES)
    with serving(home) as server:
        with Connection(server.url) as connection:
            for _ in range(2):  # the first round does not count: it reads from the disk
                found = [len(json.loads(connection.ask(Request(_SEARCH.format(name))))) for name in names]
        lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    times = [line["ms"] for line in lines if line["route"] == "/dicom-web/studies"]
    return statistics.median(found), statistics.median(times[-SEARCHES:])


def _home(data: Path) -> Path:
    """Make the table, unless it is there."""
    home = data / f"home-index-{STUDIES * INSTANCES}"
    complete = home.with_suffix(".complete")
    if not complete.exists():
        table = ObjectTable.create_if_missing(Catalog(home=str(home)).location())
        templates = _templates(data)
        for first in range(0, STUDIES, STUDIES_A_COMMIT):
            studies = range(first, min(first + STUDIES_A_COMMIT, STUDIES))
            table.save(pa.concat_tables(_study(number, templates[number % len(templates)]) for number in studies))
        complete.touch()
    return home


def _templates(data: Path) -> list[dict[str, Any]]:
    """Read the rows of a CT, a US and a DX image, with smaller metadata."""
    paths = corpus.mixed(data / "mixed-100", corpus.BLOCK)
    some = [next(path for path in paths if Path(path).name.startswith(kind)) for kind in ("ct", "us", "dx")]
    templates = read_headers(some).to_pylist()
    for row in templates:
        elements = json.loads(row["meta"]).items()
        kept = {tag: value for tag, value in elements if int(tag[:4], 16) % 2 == 0 and value["vr"] != "SQ"}
        for tag in _TAGS:
            kept[tag]["Value"] = [_MARK + tag + _MARK]
        row["meta"] = json.dumps(kept, separators=(",", ":")).replace(f'"{_MARK}', _MARK).replace(f'{_MARK}"', _MARK)
    return templates


def _study(number: int, template: dict[str, Any]) -> pa.Table:
    """Make the rows of a study."""
    day = date(2016, 1, 1) + timedelta(days=number % 3650)
    instances = range(number * INSTANCES, (number + 1) * INSTANCES)
    series = [number * SERIES + at * SERIES // INSTANCES for at in range(INSTANCES)]
    paths = [f"/archive/study-{number:05}/{at:03}.dcm" for at in range(INSTANCES)]
    columns: dict[str, Any] = {
        "path": paths,
        "original_path": paths,
        "local_path": paths,
        "relative_path": [path.removeprefix("/archive/") for path in paths],
        "modificationTime": [datetime(2026, 1, 5, tzinfo=UTC)] * INSTANCES,
        "length": [525_000] * INSTANCES,
        "extension": [".dcm"] * INSTANCES,
        "is_anon": [False] * INSTANCES,
        "StudyInstanceUID": [f"2.25.7{number:030}"] * INSTANCES,
        "SeriesInstanceUID": [f"2.25.8{at:030}" for at in series],
        "SOPInstanceUID": [f"2.25.9{at:030}" for at in instances],
        "PatientID": [f"P{number:07}"] * INSTANCES,
        "PatientName": [f"{_SURNAMES[number % 100]}^Given {number // 100:03}"] * INSTANCES,
        "StudyDate": [day] * INSTANCES,
        "InstanceNumber": list(range(1, INSTANCES + 1)),
    }
    rows = pa.table(columns)
    values = {name: [f'"{value}"' for value in columns[name]] for name in _TAGS.values()}
    values["StudyDate"] = [f'"{day:%Y%m%d}"'] * INSTANCES
    values["PatientName"] = [f'{{"Alphabetic":{name}}}' for name in values["PatientName"]]
    values["InstanceNumber"] = [str(value) for value in columns["InstanceNumber"]]
    pieces = [pa.array(values[_TAGS[part]]) if part in _TAGS else part for part in template["meta"].split(_MARK)]
    rows = rows.append_column("meta", pc.binary_join_element_wise(*pieces, ""))
    for field in HEADER_SCHEMA:
        if field.name not in rows.column_names:
            rows = rows.append_column(field, pa.array([template[field.name]] * INSTANCES, field.type))
    return rows
