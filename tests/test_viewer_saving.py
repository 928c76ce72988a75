"""What is drawn in the viewer is stored, is in the table, and comes back when the page is loaded again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import SegmentationStorage

from dbx.pixels import Catalog
from dbx.pixels.ai.segmentation import read_segmentation, write_segmentation
from dbx.pixels.ai.segmented import Segmented
from dbx.pixels.ai.series import read_series
from dbx.pixels.ai.storing import store
from dbx.pixels.catalog.arrivals import LabelState
from dbx.pixels.catalog.uploads import Uploads
from dbx.pixels.dicom.phantom import write_ct_series
from dbx.pixels.index import ServingIndex
from dbx.pixels.table import EVERYTHING
from headers import PYDICOM_DATA
from stow import volume
from viewer_browser import Viewer
from web_server import RunningServer, running

pytest_plugins = ["viewer_browser"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """A server of a phantom CT."""
    with running(Catalog(home=str(tmp_path / "home"))) as server:
        write_ct_series(tmp_path / "ct", slices=12, size=128)
        server.ingest(tmp_path / "ct")
        server.wait_until_served()
        yield server


def study_of(server: RunningServer) -> str:
    """Ask the table for the phantom's study."""
    (row,) = server.catalog.sql("SELECT any_value(StudyInstanceUID) AS study FROM instances").to_arrow().to_pylist()
    return row["study"]


def draw_segmentation(viewer: Viewer, study: str) -> int:
    """Open a study, draw a line of a segmentation, and count its voxels."""
    viewer.open_study(study)
    viewer.click("panelSegmentationWithToolsLabelMap-btn")
    viewer.click("addSegmentation")
    viewer.wait_for(viewer.segmented_voxels)
    viewer.click("Brush")
    viewer.drag((0.4, 0.5), (0.6, 0.5))
    (voxels,) = viewer.wait_for(lambda: [count for count in viewer.segmented_voxels() if count])
    return voxels


def test_the_study_list_opens_a_study(viewer: Viewer) -> None:
    viewer.open_study_list()
    row = viewer.page.locator("tbody tr", has_text="Phantom")
    row.first.wait_for()
    viewer.screenshot("study-list")

    row.first.dblclick()

    viewer.page.wait_for_url("**/viewer?StudyInstanceUIDs=*")
    viewer.wait_for(viewer.is_drawing)
    assert viewer.problems == []


def test_a_segmentation_is_saved_and_comes_back_to_be_edited(viewer: Viewer, server: RunningServer) -> None:
    study = study_of(server)
    voxels = draw_segmentation(viewer, study)
    viewer.screenshot("segmentation")

    viewer.click("SaveSegmentation")
    viewer.wait_for_message("was saved as series 3100")

    (segmentation,) = server.stored("SEG")
    assert (segmentation.SOPClassUID, segmentation.SegmentationType) == (SegmentationStorage, "BINARY")
    assert np.count_nonzero(segmentation.pixel_array) == voxels
    images = {image.SOPInstanceUID for image in server.stored("CT")}
    (frame,) = segmentation.PerFrameFunctionalGroupsSequence
    source = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
    assert source in images
    index = ServingIndex.open(server.catalog)
    index.sync()
    series = read_series(index, segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID, EVERYTHING)
    index.close()
    labelmap = read_segmentation(segmentation, series)
    (place,) = np.flatnonzero(labelmap.values.any(axis=(1, 2)))
    assert series.slices[place].instance.SOPInstanceUID == source
    assert np.array_equal(labelmap.values[place], segmentation.pixel_array)

    viewer.click("SaveSegmentation")
    viewer.wait_for_message("has not changed since it was loaded or saved")

    viewer.open_study(study)
    viewer.open_no_image("Segmentation 1")
    assert viewer.wait_for(lambda: [count for count in viewer.segmented_voxels() if count]) == [voxels]
    viewer.click("SaveSegmentation")
    viewer.wait_for_message("has not changed since it was loaded or saved")
    assert len(server.stored("SEG")) == 1

    viewer.wait_for(viewer.is_drawing)
    viewer.click("panelSegmentationWithToolsLabelMap-btn")
    viewer.click("Brush")
    viewer.drag((0.4, 0.3), (0.6, 0.3))
    viewer.wait_for(lambda: sum(viewer.segmented_voxels()) > voxels)
    viewer.screenshot("segmentation-reloaded")
    viewer.click("SaveSegmentation")
    viewer.wait_for_message("was saved as series 3101")
    assert sorted(np.count_nonzero(found.pixel_array) for found in server.stored("SEG"))[0] == voxels
    assert viewer.problems == []


def test_segments_keep_what_they_mean_when_others_are_deleted(viewer: Viewer, server: RunningServer) -> None:
    index = ServingIndex.open(server.catalog)
    index.sync()
    series = read_series(index, server.stored("CT")[0].SeriesInstanceUID, EVERYTHING)
    labels = {"liver": 1, "spleen": 2, "aorta": 3}
    labelmap = np.zeros(series.shape, np.uint8)
    for value in labels.values():
        labelmap[4:8, 4:8, 8 * value : 8 * value + 4] = value
    proposal = write_segmentation(Segmented(series, labelmap, labels, "abdomen", "2", seconds=1))
    store(proposal, Uploads(server.catalog, index), LabelState.PROPOSAL)
    index.close()
    viewer.open_study(study_of(server))
    viewer.open_no_image("abdomen 2")
    viewer.wait_for(lambda: viewer.segmented_voxels() == [3 * 64])

    viewer.page.evaluate("""() => {
      const [{ segmentationId }] = services.segmentationService.getSegmentations();
      services.segmentationService.removeSegment(segmentationId, 1);
    }""")
    viewer.click("SaveSegmentation")
    viewer.wait_for_message("was saved as series")

    (saved,) = (one for one in server.stored("SEG") if len(one.SegmentSequence) == 2)
    meanings = [one.SegmentedPropertyTypeCodeSequence[0].CodeMeaning for one in saved.SegmentSequence]
    assert [one.SegmentLabel for one in saved.SegmentSequence] == ["spleen", "aorta"]
    assert meanings == ["Spleen", "Aorta"]
    labelmap[labelmap == 1] = 0
    assert np.array_equal(read_segmentation(saved, series, labels=labels).values, labelmap)


def test_the_menu_of_a_segmentation_saves_it_like_the_button(viewer: Viewer, server: RunningServer) -> None:
    draw_segmentation(viewer, study_of(server))
    viewer.page.locator('[data-cy^="segmentation-collapsed-more-btn"]').click()
    viewer.page.get_by_text("Export").hover()
    viewer.page.get_by_text("DICOM SEG").click()
    viewer.wait_for_message("was saved as series 3100")

    (segmentation,) = server.stored("SEG")
    (frame,) = segmentation.PerFrameFunctionalGroupsSequence
    (source,) = frame.DerivationImageSequence[0].SourceImageSequence
    assert source.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"


def test_what_cannot_be_stored_is_told_and_not_listed(viewer: Viewer, server: RunningServer) -> None:
    draw_segmentation(viewer, study_of(server))
    in_the_way = volume(server) / ".incoming"
    shutil.rmtree(in_the_way, ignore_errors=True)
    in_the_way.parent.mkdir(parents=True, exist_ok=True)
    in_the_way.write_bytes(b"a file where there should be a folder")

    viewer.click("SaveSegmentation")
    viewer.wait_for_message("Make space on its disk, or check its rights")

    assert viewer.page.get_by_text("Not all can be shown").count() == 0
    in_the_way.unlink()
    viewer.click("SaveSegmentation")
    viewer.wait_for_message("was saved as series 3100")  # the number was not taken by one that is listed only
    assert [one.SeriesNumber for one in server.stored("SEG")] == [3100]


def test_a_study_is_stored_from_the_browser(viewer: Viewer, server: RunningServer) -> None:
    viewer.open_study_list()
    viewer.page.get_by_text("Upload").first.click()
    viewer.page.locator("input[type=file]").first.set_input_files(PYDICOM_DATA / "test_files" / "MR_small.dcm")

    (image,) = viewer.wait_for(lambda: server.stored("MR"))

    assert image == pydicom.dcmread(PYDICOM_DATA / "test_files" / "MR_small.dcm")
    viewer.open_study_list()
    viewer.page.locator("tbody tr", has_text="MR").first.wait_for()
    assert viewer.problems == []
