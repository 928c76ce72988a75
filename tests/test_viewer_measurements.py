"""Measurements are stored with the numbers and in the units that the viewer shows, and come back like that."""

from __future__ import annotations

import math
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedSRStorage

from dbx.pixels.dicom.phantom import write_ct_series
from headers import PYDICOM_DATA
from viewer_browser import Viewer
from web_server import RunningServer

pytest_plugins = ["viewer_browser", "web_server"]

ULTRASOUND = PYDICOM_DATA / "test_files" / "examples_palette.dcm"  # with a region that is measured in centimetres
NO_SCALE = PYDICOM_DATA / "test_files" / "examples_rgb_color.dcm"
HOUNSFIELD = "[hnsf'U]"  # in UCUM, of the values inside of an area
SECONDS = 4  # PS3.3 C.8.5.5.1.15

#: What the viewer shows, and what that is in UCUM.
UNITS = {"mm": "mm", "cm": "cm", "px": "{pixels}", "mm²": "mm2", "cm²": "cm2", "px²": "{pixels}"}


@pytest.fixture
def server(empty_server: RunningServer) -> RunningServer:
    """A server of an empty table."""
    return empty_server


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    """A slice of a series in which lengths are millimetres."""
    return write_ct_series(tmp_path / "ct", slices=12, size=128)[0]


@pytest.fixture
def of_time(tmp_path: Path) -> Path:
    """An ultrasound image in which both directions are time."""
    image = pydicom.dcmread(ULTRASOUND)
    image.SequenceOfUltrasoundRegions[0].PhysicalUnitsXDirection = SECONDS
    image.SequenceOfUltrasoundRegions[0].PhysicalUnitsYDirection = SECONDS
    image.save_as(tmp_path / "seconds.dcm")
    return tmp_path / "seconds.dcm"


def open_image(viewer: Viewer, server: RunningServer, file: Path) -> Dataset:
    """Ingest a file, or the series that it is of, and show it."""
    server.ingest(file if file in (ULTRASOUND, NO_SCALE) else file.parent)
    server.wait_until_served()
    image = pydicom.dcmread(file, stop_before_pixels=True)
    viewer.open_study(image.StudyInstanceUID)
    return image


def measure(viewer: Viewer, tool: str, start: tuple[float, float] = (0.5, 0.55)) -> tuple[float, str]:
    """Measure something in the viewport, and return the number and the unit that are shown."""
    viewer.choose_measurement_tool(tool)
    viewer.drag(start, (start[0] + 0.1, start[1] + 0.1))
    return viewer.wait_for(lambda: shown(viewer).get(tool))


def shown(viewer: Viewer) -> dict[str, tuple[float, str]]:
    """Return the first number that is shown of each measurement, and its unit, by the tool."""
    texts = {one["toolName"]: one["displayText"]["primary"][0].split(" ") for one in viewer.measurements()}
    return {tool: (float(number), unit) for tool, (number, unit, *_) in texts.items()}


def items(report: Dataset, value_type: str) -> list[Dataset]:
    """Find the items of a report that have a value type."""
    children = report.get("ContentSequence", ())
    return [item for child in children for item in [child, *items(child, value_type)] if item.ValueType == value_type]


def numbers(report: Dataset) -> dict[str, tuple[float, str]]:
    """Give the numbers of a report and their units by what they are."""
    found = {}
    for item in items(report, "NUM"):
        (measured,) = item.MeasuredValueSequence
        (unit,) = measured.MeasurementUnitsCodeSequence
        found[item.ConceptNameCodeSequence[0].CodeMeaning] = (float(measured.NumericValue), unit.CodeValue)
    return found


def spacing(image: Dataset) -> tuple[float, float]:
    """Return how wide and how high a pixel is, in whatever the image is measured in."""
    if "SequenceOfUltrasoundRegions" in image:
        region = image.SequenceOfUltrasoundRegions[0]
        return region.PhysicalDeltaX, region.PhysicalDeltaY
    height, width = image.get("PixelSpacing", (1, 1))
    return float(width), float(height)


@pytest.mark.parametrize(("file", "unit"), [("ct", "mm"), (ULTRASOUND, "cm"), (NO_SCALE, "px")])
def test_measurements_come_back_in_the_unit_that_is_shown(
    viewer: Viewer, server: RunningServer, request: pytest.FixtureRequest, file: Path | str, unit: str
) -> None:
    image = open_image(viewer, server, request.getfixturevalue(file) if isinstance(file, str) else file)
    drawn = {"Length": measure(viewer, "Length"), "CircleROI": measure(viewer, "CircleROI", (0.35, 0.4))}

    viewer.click("SaveMeasurements")
    viewer.wait_for_message("2 measurements were saved")

    (report,) = server.stored("SR")
    assert (report.SOPClassUID, report.ContentTemplateSequence[0].TemplateIdentifier) == (EnhancedSRStorage, "1500")
    width, height = spacing(image)
    (x0, y0, x1, y1), (center_x, center_y, edge_x, edge_y) = (
        next(item.GraphicData for item in items(report, "SCOORD") if item.GraphicType == kind)
        for kind in ("POLYLINE", "CIRCLE")
    )
    length = math.hypot((x1 - x0) * width, (y1 - y0) * height)
    radius = math.hypot(edge_x - center_x, edge_y - center_y) * width
    assert {name: value for name, value in numbers(report).items() if value[1] != HOUNSFIELD} == {
        "Length": (pytest.approx(length, rel=1e-4), UNITS[unit]),
        "Radius": (pytest.approx(radius, rel=1e-3), UNITS[unit]),
        "Perimeter": (pytest.approx(2 * math.pi * radius, rel=1e-3), UNITS[unit]),
        "Area": (pytest.approx(math.pi * radius**2, rel=1e-2), UNITS[f"{unit}²"]),
    }
    assert drawn == {
        "Length": (pytest.approx(length, rel=0.01), unit),
        "CircleROI": (pytest.approx(math.pi * radius**2, rel=0.02), f"{unit}²"),
    }

    viewer.open_study(image.StudyInstanceUID)
    assert viewer.measurements() == []
    viewer.open_no_image("Measurements")
    viewer.wait_for(lambda: shown(viewer) == drawn)
    if file == "ct":
        viewer.screenshot("measurement")
    assert viewer.problems == []


def test_values_of_pixels_have_no_unit_of_length(viewer: Viewer, server: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "mr" / "MR_small.dcm"
    file.parent.mkdir()
    pydicom.dcmread(PYDICOM_DATA / "test_files" / file.name).save_as(file)
    open_image(viewer, server, file)
    measure(viewer, "RectangleROI")

    viewer.click("SaveMeasurements")
    viewer.wait_for_message("One measurement was saved")

    (report,) = server.stored("SR")
    units = {
        item.ConceptNameCodeSequence[0].CodeMeaning: item.MeasuredValueSequence[0] for item in items(report, "NUM")
    }
    (mean,) = units["Mean"].MeasurementUnitsCodeSequence
    assert (mean.CodeValue, mean.CodeMeaning) == ("1", "no units")
    assert numbers(report)["Area"][1] == "mm2"


def test_what_is_measured_in_three_planes_has_its_value(viewer: Viewer, server: RunningServer, ct: Path) -> None:
    open_image(viewer, server, ct)
    viewer.click("Layout")
    viewer.page.get_by_text("MPR", exact=True).click()
    viewer.wait_for(lambda: viewer.planes() == ["axial", "coronal", "sagittal"])
    viewer.screenshot("mpr")
    drawn = measure(viewer, "RectangleROI")

    viewer.click("SaveMeasurements")
    viewer.wait_for_message("One measurement was saved")

    (report,) = server.stored("SR")
    area, unit = numbers(report)["Area"]
    assert drawn == (pytest.approx(area, rel=0.01), "mm²")
    assert unit == "mm2"
    assert viewer.problems == []


def test_a_measurement_of_no_length_is_refused(viewer: Viewer, server: RunningServer, of_time: Path) -> None:
    open_image(viewer, server, of_time)
    measure(viewer, "Length")

    viewer.click("SaveMeasurements")

    viewer.wait_for_message("A measurement in seconds cannot be saved")
    assert server.stored("SR") == []


def test_the_panel_of_measurements_saves_likewise(viewer: Viewer, server: RunningServer) -> None:
    open_image(viewer, server, ULTRASOUND)
    length, unit = measure(viewer, "Length")
    viewer.click("panelMeasurement-btn")

    viewer.page.get_by_text("Create SR").click()
    viewer.wait_for_message("One measurement was saved")

    (report,) = server.stored("SR")
    assert numbers(report) == {"Length": (pytest.approx(length, rel=0.01), unit)}
