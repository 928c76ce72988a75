"""The viewer's panel of models: run, draw, correct, save, train, go on; and what it tells when that cannot be."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import BrowserContext, Locator
from playwright.sync_api import TimeoutError as NotInTime

from bundles import write_bundle
from dbx.pixels import Catalog
from dbx.pixels.ai.models import Models
from dbx.pixels.ai.runner import Runner
from dbx.pixels.ai.segmentation import read_segmentation, write_segmentation
from dbx.pixels.ai.series import Series, read_series
from dbx.pixels.ai.storing import store
from dbx.pixels.ai.task import Status
from dbx.pixels.ai.train_process import work
from dbx.pixels.ai.training import Queue
from dbx.pixels.catalog.arrivals import LabelState
from dbx.pixels.catalog.uploads import Uploads
from dbx.pixels.table import EVERYTHING
from trainings import SIZE, SLICES, Ward, admit, new_model
from viewer_browser import Viewer, new_page
from volumes import enhanced, ingested, magnetic, phantom, write
from web_server import RunningServer, running

pytest_plugins = ["viewer_browser"]

#: A network that takes its time, in windows that are many.
_SLOW = "(__import__('time').sleep(0.2), torch.cat([self.threshold - image, image - self.threshold], 1))[1]"
_SMALL_WINDOWS = {"inferer": {"_target_": "SlidingWindowInferer", "roi_size": [8, 8, 8], "overlap": 0}}
#: What takes points, and finds these voxels alone.
_POINTS = (
    "$lambda d: {**d, 'pred': __import__('functools').reduce(lambda pred, point: "
    "pred.index_put(tuple(torch.tensor([at]) for at in (0, *point)), torch.tensor(float(d['label_prompt'][0]))), "
    "d['points'], d['pred'] * 0)}"
)
_TRAINING_SECONDS = 240  # on a busy machine a training takes a while to import what it needs

#: The labelmap of the last segmentation that the viewer knows: bytes of each slice by SOP Instance UID.
_LABELMAP = """() => {
  const { imageIds } = services.segmentationService.getSegmentations().at(-1).representationData.Labelmap;
  return Object.fromEntries(imageIds.map(id => cornerstone.cache.getImage(id)).map(image => [
    cornerstone.metaData.get('instance', image.referencedImageId).SOPInstanceUID,
    btoa(String.fromCharCode(...image.voxelManager.getScalarData())),
  ]));
}"""
#: The same of the frames of one object, by their numbers.
_FRAMES = _LABELMAP.replace(
    "cornerstone.metaData.get('instance', image.referencedImageId).SOPInstanceUID",
    "image.referencedImageId.match(/frames.(\\d+)/)[1]",
)
#: Names and colours of its segments, as they are drawn.
_SEGMENTS = """() => {
  const { segmentationId, segments } = services.segmentationService.getSegmentations().at(-1);
  const viewportId = services.viewportGridService.getActiveViewportId();
  return Object.values(segments).map(({ segmentIndex, label }) =>
    [segmentIndex, label, services.segmentationService.getSegmentColor(viewportId, segmentationId, segmentIndex)]);
}"""
#: Where the middle of a voxel of the slice that is shown is on the page.
_PLACE = """([column, row]) => {
  const { viewport } = cornerstone.getEnabledElements()[0];
  const { x, y } = viewport.getCanvas().getBoundingClientRect();
  const at = viewport.worldToCanvas(viewport.getImageData().imageData.indexToWorld([column, row, 0]));
  return [x + at[0], y + at[1]];
}"""


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    """Phantoms of five patients, of whom three are labelled, and a model that has learned from these."""
    ward = admit(Catalog(home=str(tmp_path / "home")), tmp_path / "data", 5)
    for patient in range(3):
        ward.segment(patient)
    new_model(ward.models, "organs")
    ward.train("organs", epochs=12)
    return ward


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Ward:
    """Phantoms of two patients, of whom none is labelled, an MR, and models that are bound to disappoint."""
    folder = tmp_path_factory.mktemp("unlabelled")
    ward = admit(Catalog(home=str(folder / "home")), folder / "data", 2)
    ingested(ward.catalog, write(folder / "mr", magnetic(phantom(SLICES, SIZE, seed=9))))
    write_bundle(ward.models.folder, "bright")
    write_bundle(ward.models.folder, "slow", forward=_SLOW, inference=_SMALL_WINDOWS)
    broken = write_bundle(ward.models.folder, "broken")
    (broken / "models" / "model.pt").write_text("These are no weights.")
    write_bundle(
        ward.models.folder,
        "pointed",
        labels=["background", "cyst", "stone"],
        postprocessing=[
            {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image"},
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            {"_target_": "Lambda", "func": _POINTS},
        ],
        inference={"input_dict": {"image": "", "points": [[1, 2, 3]]}},
    )
    return ward


@pytest.fixture
def server(unlabelled: Ward) -> Iterator[RunningServer]:
    """A server of those."""
    with running(unlabelled.catalog) as server:
        server.wait_until_served(ModalitiesInStudy="MR")
        yield server


def part(viewer: Viewer, name: str) -> Locator:
    """A part of the panel."""
    return viewer.page.locator(f'[data-cy="ai-{name}"]')


def open_panel(viewer: Viewer, model: str) -> None:
    viewer.click("assistant-btn")
    part(viewer, "model").select_option(model)


def open_series(viewer: Viewer, series: Series) -> None:
    viewer.open_study(series.StudyInstanceUID)


def series_of(ward: Ward, patient: int) -> Series:
    return read_series(ward.index, ward.series[patient], EVERYTHING)


def drawn(viewer: Viewer, series: Series) -> NDArray[np.uint8]:
    """The labelmap that the viewer has, in the order of the slices."""
    planes = viewer.page.evaluate(_LABELMAP)
    assert len(planes) == series.shape[0]
    content = b"".join(base64.b64decode(planes[one.instance.SOPInstanceUID]) for one in series.slices)
    return np.frombuffer(content, np.uint8).reshape(series.shape)


def run(viewer: Viewer) -> None:
    before = viewer.page.evaluate("services.segmentationService.getSegmentations().length")
    part(viewer, "run").click()
    viewer.wait_for(lambda: viewer.page.evaluate("services.segmentationService.getSegmentations().length") > before)
    part(viewer, "run").wait_for()


def wait_for_training(viewer: Viewer, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _TRAINING_SECONDS
    while True:
        with contextlib.suppress(NotInTime):
            if condition():
                return
        assert time.monotonic() < deadline, "the training did not come that far in time"
        viewer.page.wait_for_timeout(200)


@pytest.mark.timeout(900)  # it trains twice, the second time as a process that is nice to others
def test_a_proposal_is_corrected_saved_and_learned_from(browser: BrowserContext, ward: Ward) -> None:
    series = series_of(ward, 3)
    found = Runner(ward.models, ward.index).run("organs", series.SeriesInstanceUID, EVERYTHING)
    assert set(np.unique(found.labelmap)) == {0, 1, 2}
    with running(ward.catalog) as server, new_page(browser) as page:
        viewer = Viewer(page, server.url)
        open_series(viewer, series)
        open_panel(viewer, "organs")
        assert part(viewer, "labelled").inner_text() == "3 of 5 series are labelled"

        run(viewer)

        assert np.array_equal(drawn(viewer, series), found.labelmap)
        (liver, spleen) = viewer.page.evaluate(_SEGMENTS)
        assert (liver[:2], spleen[:2]) == ([1, "liver"], [2, "spleen"])
        shown = part(viewer, "labels").locator("[style]").first.get_attribute("style")
        assert shown == f"background: rgb({liver[2][0]}, {liver[2][1]}, {liver[2][2]});"
        assert f"{found.volumes_ml['liver']:.1f} ml" in part(viewer, "labels").inner_text()

        viewer.click("panelSegmentationWithToolsLabelMap-btn")
        viewer.click("Brush")
        viewer.drag((0.4, 0.5), (0.6, 0.5))
        viewer.wait_for(lambda: not np.array_equal(drawn(viewer, series), found.labelmap))
        corrected = drawn(viewer, series)
        assert np.count_nonzero((corrected != found.labelmap).any(axis=(1, 2))) == 1
        viewer.click("assistant-btn")
        part(viewer, "save").dblclick()
        viewer.wait_for_message("was saved as series 3100")
        viewer.wait_for(lambda: part(viewer, "labels").inner_text().count("saved") == 2)
        assert part(viewer, "labelled").inner_text() == "4 of 5 series are labelled"

        (stored,) = (
            one
            for one in server.stored("SEG")
            if one.ReferencedSeriesSequence[0].SeriesInstanceUID == series.SeriesInstanceUID
        )
        assert np.array_equal(read_segmentation(stored, series, labels=found.labels).values, corrected)
        (row,) = (
            ward.catalog.sql(
                "SELECT label_state, model, model_version FROM object_catalog"
                f" WHERE SOPInstanceUID = '{stored.SOPInstanceUID}'"
            )
            .to_arrow()
            .to_pylist()
        )
        assert row == {"label_state": "final", "model": "organs", "model_version": found.version}

        assert [segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning for segment in stored.SegmentSequence] == [
            "Liver",
            "Spleen",
        ]

        open_series(viewer, series)
        viewer.open_no_image("organs")
        viewer.wait_for(lambda: [count for count in viewer.segmented_voxels() if count])
        assert np.array_equal(drawn(viewer, series), corrected)
        assert [segment[1] for segment in viewer.page.evaluate(_SEGMENTS)] == ["liver", "spleen"]

        open_panel(viewer, "organs")
        part(viewer, "epochs").fill("3")
        part(viewer, "train").dblclick()
        wait_for_training(viewer, lambda: "Dice" in part(viewer, "training").inner_text(timeout=1000))
        wait_for_training(viewer, lambda: "Version" in part(viewer, "outcome").inner_text(timeout=1000))
        assert len(ward.trainings.list()) == 2  # the fixture's, and one for both clicks

        page.evaluate("window.wasHereBefore = true")
        part(viewer, "next").click()
        last = series_of(ward, 4)
        page.wait_for_url(f"**/viewer?StudyInstanceUIDs={last.StudyInstanceUID}*")
        viewer.wait_for(viewer.is_drawing)
        assert page.evaluate("window.wasHereBefore")  # the page was not loaded again
        viewer.wait_for(lambda: "saved" not in part(viewer, "labels").inner_text())
        run(viewer)
        again = Runner(ward.models, ward.index).run("organs", last.SeriesInstanceUID, EVERYTHING)
        assert np.array_equal(drawn(viewer, last), again.labelmap)

        part(viewer, "save").click()
        viewer.wait_for(lambda: part(viewer, "labelled").inner_text() == "5 of 5 series are labelled")
        part(viewer, "next").click()
        assert "no other series without a label" in part(viewer, "error").inner_text()
        assert viewer.problems == []


def test_a_proposal_that_was_loaded_and_saved_names_its_model(
    browser: BrowserContext, catalog: Catalog, tmp_path: Path
) -> None:
    images = phantom(SLICES, SIZE)
    index = ingested(catalog, write(tmp_path / "ct", images))
    write_bundle(catalog.home.models, "spleens", labels=["background", "spleen"])
    found = Runner(Models(catalog.home.models), index).run("spleens", images[0].SeriesInstanceUID, EVERYTHING)
    store(write_segmentation(found), Uploads(catalog, index), LabelState.PROPOSAL)
    with running(catalog) as server, new_page(browser) as page:
        viewer = Viewer(page, server.url)
        open_series(viewer, found.series)
        viewer.open_no_image("spleens")
        viewer.wait_for(lambda: [count for count in viewer.segmented_voxels() if count])

        viewer.click("SaveSegmentation")

        viewer.wait_for_message("was saved as series")
    rows = catalog.sql("SELECT label_state, model, model_version FROM object_catalog WHERE Modality = 'SEG' ORDER BY 1")
    assert [tuple(row.values()) for row in rows.to_arrow().to_pylist()] == [
        ("final", "spleens", "0.1.0"),
        ("proposal", "spleens", "0.1.0"),
    ]
    proposal, final = sorted(server.stored("SEG"), key=lambda one: one.SegmentSequence[0].SegmentAlgorithmType)
    assert final.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
    for keyword in ("SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence"):
        before, after = (one.SegmentSequence[0][keyword][0].CodeValue for one in (proposal, final))
        assert before == after


def test_a_run_is_cancelled_however_long_the_button_is_pressed(viewer: Viewer, unlabelled: Ward) -> None:
    open_series(viewer, series_of(unlabelled, 0))
    open_panel(viewer, "slow")
    part(viewer, "run").click()
    viewer.wait_for(lambda: part(viewer, "progress").inner_text() == "segmenting …")
    part(viewer, "cancel").hover()

    viewer.page.mouse.down()
    viewer.page.wait_for_timeout(1000)  # in which the bar grows
    viewer.page.mouse.up()

    part(viewer, "run").wait_for()
    assert part(viewer, "error").count() == 0
    assert viewer.segmented_voxels() == []
    part(viewer, "model").select_option("bright")
    run(viewer)  # which would have to wait for the other
    assert len(viewer.segmented_voxels()) == 1


def test_a_result_that_cannot_be_drawn_leaves_nothing_behind(
    browser: BrowserContext, catalog: Catalog, tmp_path: Path
) -> None:
    *images, last = phantom(SLICES, SIZE)
    ingested(catalog, write(tmp_path / "ct", images))
    write_bundle(catalog.home.models, "bright")
    with running(catalog) as server, new_page(browser) as page:
        viewer = Viewer(page, server.url)
        viewer.open_study(last.StudyInstanceUID)
        open_panel(viewer, "bright")
        server.ingest(write(tmp_path / "more", [last]))
        instances = f"{server.dicomweb}/studies/{last.StudyInstanceUID}/instances"
        viewer.wait_for(lambda: len(httpx.get(instances).json()) == SLICES)

        part(viewer, "run").click()

        assert "1 of 32 slices are not in the viewer" in part(viewer, "error").inner_text()
        assert viewer.segmented_voxels() == []


def test_no_work_is_lost(viewer: Viewer, unlabelled: Ward) -> None:
    def segmentations() -> list[str]:
        return viewer.page.evaluate(
            "services.segmentationService.getSegmentations().map(({ segmentationId }) => segmentationId)"
        )

    open_series(viewer, series_of(unlabelled, 0))
    open_panel(viewer, "bright")
    run(viewer)
    (first,) = segmentations()

    part(viewer, "run").click()

    viewer.wait_for(lambda: len(segmentations()) == 1 and segmentations() != [first])
    (second,) = segmentations()
    viewer.click("panelSegmentationWithToolsLabelMap-btn")
    viewer.click("Brush")
    viewer.drag((0.4, 0.5), (0.6, 0.5))
    viewer.click("assistant-btn")
    part(viewer, "run").click()
    viewer.wait_for(lambda: len(segmentations()) == 2)
    assert second in segmentations()  # somebody has worked on it

    part(viewer, "next").dblclick()  # of which the second click is no answer to the warning
    assert "bright 0.1.0 is not saved" in part(viewer, "error").inner_text()
    viewer.page.wait_for_timeout(1000)
    assert series_of(unlabelled, 0).StudyInstanceUID in viewer.page.url
    part(viewer, "next").click()
    viewer.page.wait_for_url(f"**/viewer?StudyInstanceUIDs={series_of(unlabelled, 1).StudyInstanceUID}*")


def test_frames_of_one_object_are_drawn_where_they_are(
    browser: BrowserContext, catalog: Catalog, tmp_path: Path
) -> None:
    slices = phantom(SLICES, SIZE)
    image = enhanced(slices[1::2] + slices[::2][::-1])
    index = ingested(catalog, write(tmp_path / "enhanced", [image]))
    write_bundle(catalog.home.models, "bright")
    series = read_series(index, image.SeriesInstanceUID, EVERYTHING)
    found = Runner(Models(catalog.home.models), index).run("bright", image.SeriesInstanceUID, EVERYTHING)
    with running(catalog) as server, new_page(browser) as page:
        viewer = Viewer(page, server.url)
        open_series(viewer, series)
        open_panel(viewer, "bright")

        run(viewer)

        planes = page.evaluate(_FRAMES)
        content = b"".join(base64.b64decode(planes[str(one.frame + 1)]) for one in series.slices)
        assert np.array_equal(np.frombuffer(content, np.uint8).reshape(series.shape), found.labelmap)


def test_points_are_shown_to_models_that_take_them(viewer: Viewer, unlabelled: Ward) -> None:
    series = series_of(unlabelled, 0)
    open_series(viewer, series)
    open_panel(viewer, "pointed")
    viewer.page.get_by_label("Label").select_option("stone")
    part(viewer, "point-inside").click()
    viewer.page.wait_for_timeout(500)
    places = [(10, 12), (20, 18)]
    for place in places:
        viewer.page.mouse.click(*viewer.page.evaluate(_PLACE, place))
    viewer.wait_for(lambda: part(viewer, "points").inner_text().startswith("2 points"))
    viewer.screenshot("ai-points")

    run(viewer)

    labelmap = drawn(viewer, series)
    (shown,) = set(np.argwhere(labelmap)[:, 0])
    expected = np.zeros((SIZE, SIZE), np.uint8)
    for column, row in places:
        expected[row, column] = 2
    assert np.array_equal(labelmap[shown], expected)
    assert shown == SLICES - 1  # the viewer begins at the head

    part(viewer, "points-clear").click()
    viewer.wait_for(lambda: part(viewer, "points").inner_text().startswith("Without points"))
    assert viewer.problems == []


def test_a_wrong_modality_is_told_in_the_panel(viewer: Viewer, server: RunningServer) -> None:
    image = server.stored("MR")[0]
    viewer.open_study(image.StudyInstanceUID)
    open_panel(viewer, "bright")

    part(viewer, "run").click()

    error = part(viewer, "error").inner_text()
    assert "is of modality MR, and bright takes CT" in error
    assert "Choose another series, or another model." in error


def test_what_cannot_be_run_or_learned_from_is_told_in_the_panel(viewer: Viewer, unlabelled: Ward) -> None:
    new_model(unlabelled.models, "lesions", ["lesion"])
    open_series(viewer, series_of(unlabelled, 0))
    open_panel(viewer, "lesions")
    assert part(viewer, "run").is_disabled()

    part(viewer, "train").click()

    assert "has nothing to learn from" in part(viewer, "error").inner_text()

    part(viewer, "model").select_option("broken")
    part(viewer, "run").click()

    viewer.wait_for(lambda: "weights that cannot be loaded" in part(viewer, "error").inner_text())
    assert "Save the network's state alone" in part(viewer, "error").inner_text()
    part(viewer, "model").select_option("bright")
    run(viewer)


def test_the_next_sample_may_be_in_the_same_study(browser: BrowserContext, catalog: Catalog, tmp_path: Path) -> None:
    series = [phantom(slices, SIZE) for slices in (SLICES, SLICES // 2)]
    ingested(catalog, *(write(tmp_path / str(len(images)), images) for images in series))
    assert len({images[0].StudyInstanceUID for images in series}) == 1
    write_bundle(catalog.home.models, "bright")

    def slices() -> int:
        return viewer.page.evaluate("cornerstone.getEnabledElements()[0]?.viewport.getImageIds().length ?? 0")

    with running(catalog) as server, new_page(browser) as page:
        viewer = Viewer(page, server.url)
        viewer.open_study(series[0][0].StudyInstanceUID)
        first = viewer.wait_for(slices)
        open_panel(viewer, "bright")

        part(viewer, "next").click()

        viewer.wait_for(lambda: slices() == SLICES + SLICES // 2 - first)
        assert part(viewer, "labels").is_visible()


def test_a_training_is_followed_by_whoever_looks(browser: BrowserContext, catalog: Catalog, tmp_path: Path) -> None:
    ward = admit(catalog, tmp_path / "data", 1)
    ward.segment(0)
    new_model(ward.models, "organs")
    queue = Queue(catalog.home.trainings)
    # Nobody works on them but this test.
    with queue.working() as is_mine, running(catalog) as server, new_page(browser) as page:
        assert is_mine
        viewer = Viewer(page, server.url)
        open_series(viewer, series_of(ward, 0))
        open_panel(viewer, "organs")
        for _ in range(2):
            ward.trainings.start("organs", EVERYTHING)
        viewer.wait_for(lambda: part(viewer, "training").is_visible())
        assert part(viewer, "training").inner_text() == "waiting"
        assert part(viewer, "waiting").inner_text() == "1 more to come."

        folder = queue.next()
        assert folder
        for epoch, loss in enumerate((0.8, 0.6, 0.5), 1):
            folder.add_to_curve(epoch, loss, 1 - loss)
        folder.update(status=Status.RUNNING, epoch=3, total_epochs=9, loss=0.5, dice=0.5)
        page.reload()
        viewer.wait_for(viewer.is_drawing)
        viewer.click("assistant-btn")
        viewer.wait_for(lambda: part(viewer, "training").inner_text() == "epoch 3 of 9, loss 0.500, Dice 0.500")
        assert part(viewer, "curves").locator(".ai-dice").first.get_attribute("points").count(",") == 3

        page.route("**/api/ai/training", lambda route: route.abort())
        viewer.wait_for(lambda: "cannot be reached" in part(viewer, "error").inner_text())
        page.unroute("**/api/ai/training")
        part(viewer, "error").wait_for(state="detached")

        part(viewer, "stop").click()
        viewer.wait_for(lambda: part(viewer, "training").inner_text().startswith("stopping"))
        assert folder.is_stopped
        folder.end(Status.STOPPED)
        viewer.wait_for(lambda: part(viewer, "training").inner_text() == "waiting")
        part(viewer, "stop").click()
        assert "Stopped" in part(viewer, "outcome").inner_text()


def test_a_killed_training_is_told_in_the_panel(browser: BrowserContext, catalog: Catalog, tmp_path: Path) -> None:
    ward = admit(catalog, tmp_path / "data", 1)
    ward.segment(0)
    new_model(ward.models, "organs")
    queue = Queue(catalog.home.trainings)
    with queue.working() as is_mine:
        assert is_mine
        ward.trainings.start("organs", EVERYTHING)
        folder = queue.next()
        assert folder
        for _ in range(3):
            folder.count_start()
        work(folder)
    with running(catalog) as server, new_page(browser) as page:
        viewer = Viewer(page, server.url)
        open_series(viewer, series_of(ward, 0))
        open_panel(viewer, "organs")

        error = part(viewer, "error").inner_text()

        assert "was killed 3 times" in error
        assert "Close other programs" in error
        assert part(viewer, "train").is_enabled()
