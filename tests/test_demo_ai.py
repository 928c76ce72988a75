"""`pixels demo --ai`: a model that is trained there, and enough patients to run, train and go on with it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from click.testing import CliRunner
from playwright.sync_api import BrowserContext

from dbx.pixels import Catalog
from dbx.pixels.ai.active_learning import ActiveLearning
from dbx.pixels.ai.models import Models
from dbx.pixels.ai.runner import Runner
from dbx.pixels.ai.training import Trainings
from dbx.pixels.cli import demo_ai
from dbx.pixels.cli.demo_ai import MODEL
from dbx.pixels.cli.main import pixels
from dbx.pixels.dicom.phantom import ORGANS, ct_phantom
from dbx.pixels.index import ServingIndex
from dbx.pixels.table import EVERYTHING
from viewer_browser import Viewer, new_page
from web_server import running

pytest_plugins = ["viewer_browser"]
PIXELS = Path(sys.executable).with_name("pixels")
pytestmark = pytest.mark.timeout(900)  # a training is nice to other tests


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Catalog, str]:
    """The demo's home, and what it printed; it trained for a third of its time only."""
    home = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_ai, "_EPOCHS", 5)
        return Catalog(home=str(home)), demo(home)


def demo(home: Path) -> str:
    """Run the command, and return what it prints."""
    result = CliRunner().invoke(pixels, ["demo", "--home", str(home), "--ai", "--no-serve"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def catalog(told: tuple[Catalog, str]) -> Catalog:
    return told[0]


def series_of(catalog: Catalog, patient: str) -> str:
    rows = catalog.sql(
        f"SELECT DISTINCT SeriesInstanceUID AS uid FROM instances WHERE PatientID = '{patient}' AND Modality = 'CT'"
    )
    (row,) = rows.to_arrow().to_pylist()
    return row["uid"]


def test_a_model_is_trained_there(told: tuple[Catalog, str]) -> None:
    catalog, words = told
    assert f"Model {MODEL}, version 1, is ready" in words
    assert dice(catalog) > 0.1  # a third of the training: how far it gets differs from run to run


@pytest.mark.soak
def test_one_that_is_interrupted_goes_on_and_the_model_finds_the_organs_of_patients_whom_it_has_not_seen(
    home: Path,
) -> None:
    catalog = Catalog(home=str(home))
    with subprocess.Popen([PIXELS, "demo", "--home", home, "--ai", "--no-serve"]) as killed:
        while not Trainings(catalog).list():
            assert killed.poll() is None
            time.sleep(0.5)
        killed.kill()

    assert f"Model {MODEL}, version 1, is ready" in demo(home)

    assert len(Trainings(catalog).list()) == 1
    assert dice(catalog) > 0.7


def dice(catalog: Catalog) -> float:
    """How well the model finds the organs of a patient from whom it has not learned, on average over them."""
    index = ServingIndex.open(catalog)
    index.sync()
    found = Runner(Models(catalog.home.models), index).run(MODEL, series_of(catalog, "PHANTOM-8"), EVERYTHING)
    slices, size, _ = found.labelmap.shape
    true = np.array([found.labels.get(organ, 0) for organ in ORGANS])[ct_phantom(slices, size, seed=7)[1]]
    overlaps = [2 * np.sum((found.labelmap == value) & (true == value)) for value in found.labels.values()]
    sizes = [np.sum(found.labelmap == value) + np.sum(true == value) for value in found.labels.values()]
    return float(np.mean(np.divide(overlaps, sizes)))


def test_there_is_a_next_sample_and_something_to_learn_from(catalog: Catalog) -> None:
    index = ServingIndex.open(catalog)
    index.sync()
    info = Models(catalog.home.models).info(MODEL)
    learning = ActiveLearning(catalog, index)

    assert len(learning.labelling(["CT"], EVERYTHING).labelled) == 5
    sample = learning.next("first", info, EVERYTHING)
    assert sample
    assert sample.series.header.PatientName.family_name == "Phantom"
    assert info.is_trainable


def test_a_second_run_trains_nothing(catalog: Catalog) -> None:
    before = Trainings(catalog).list()

    demo(catalog.home.root)

    assert Trainings(catalog).list() == before
    rows = catalog.sql("SELECT count(*) AS count FROM instances WHERE Modality = 'SEG' AND label_state = 'final'")
    assert rows.to_arrow().to_pylist() == [{"count": 5}]


def test_the_server_offers_it(catalog: Catalog) -> None:
    with running(catalog) as server:
        server.wait_until_served()
        told = httpx.get(f"{server.url}/monai/info/", timeout=60).json()
        assert (list(told["models"]), list(told["trainers"])) == ([MODEL], [MODEL])
        sample = httpx.post(f"{server.url}/monai/activelearning/first", timeout=60).json()
        assert sample["PatientID"].startswith("PHANTOM-")


@pytest.mark.soak
def test_the_viewer_offers_it(catalog: Catalog, browser: BrowserContext) -> None:
    index = ServingIndex.open(catalog)
    index.sync()
    study = index.instances(None, series_of(catalog, "PHANTOM-1"), None, EVERYTHING)[0].StudyInstanceUID
    with running(catalog) as server, new_page(browser) as page:
        viewer = Viewer(page, server.url)
        viewer.open_study(study)
        viewer.click("assistant-btn")
        assert page.locator('[data-cy="ai-model"]').input_value() == MODEL

        viewer.click("ai-run")

        (voxels,) = viewer.wait_for(lambda: [count for count in viewer.segmented_voxels() if count])
        assert voxels > 10_000
        for _ in range(20):
            page.keyboard.press("ArrowDown")
        page.wait_for_timeout(2000)
        viewer.screenshot("ai-panel")
        assert viewer.problems == []
