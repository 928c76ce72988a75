"""The viewer in a headless Chromium, used as a person would: clicks and drags, and looks at what is drawn."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, Response, ViewportSize, sync_playwright

from dbx.pixels.web import viewer_files
from missing import skip_without
from web_server import RunningServer

SCREENSHOTS = Path(__file__).parents[1] / "docs" / "images"

_SECONDS = 120  # that the viewer gets for anything: it shares a slow machine with other tests
#: What the browser asks itself for, such as the parts of its viewer of PDF.
_BROWSERS_OWN = ("chrome:", "chrome-extension:")
_SIZE = ViewportSize(width=1280, height=800)
#: A browser that has seen the viewer's notice.
_SEEN = """
localStorage.setItem('investigationalUseDialog', JSON.stringify({ expiryDate: '2999-01-01' }));
"""
#: What is drawn at the centres of an image's pixels, as red, green and blue, and the window that it is drawn with;
#: of a large image only every other pixel, or fewer.
_DRAWN = """() => {
  const viewport = window.cornerstone?.getEnabledElements()[0]?.viewport;
  const volume = viewport?.getImageData?.();
  if (!volume || !viewport.getCornerstoneImage?.()) {
    return null;
  }
  const canvas = viewport.getCanvas();
  const scale = canvas.width / canvas.clientWidth;
  const { data, width } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const [columns, rows] = volume.dimensions;
  const step = Math.ceil(Math.max(rows, columns) / 128);
  const pixels = [];
  for (let row = 0; row < rows; row += step) {
    for (let column = 0; column < columns; column += step) {
      const [x, y] = viewport.worldToCanvas(volume.imageData.indexToWorld([column, row, 0]));
      const at = 4 * (Math.round(y * scale - 0.5) * width + Math.round(x * scale - 0.5));
      pixels.push(data[at], data[at + 1], data[at + 2]);
    }
  }
  const { lower, upper } = viewport.getProperties().voiRange ?? { lower: 0, upper: 255 };
  return { shape: [Math.ceil(rows / step), Math.ceil(columns / step), 3], step, pixels, lower, upper };
}"""


@dataclass(frozen=True)
class Drawn:
    """An image as it is on the screen.

    Attributes
    ----------
    pixels : numpy.ndarray
        Red, green and blue of the image's pixels, of shape (rows, columns, 3).
    step : int
        1 if they are all there, n for every nth row and column.
    window : tuple of float
        The values that are drawn black and white.
    """

    pixels: NDArray[np.uint8]
    step: int
    window: tuple[float, float]


@dataclass
class Viewer:
    """The viewer in a browser's page.

    Attributes
    ----------
    page : playwright.sync_api.Page
    url : str
        The server's origin.
    problems : list of str
        What the page did that it must not do: requests to others, requests that failed, script errors, what its policy
        forbids.
    """

    page: Page
    url: str
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", self._note_request)
        self.page.on("response", self._note_response)
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self.problems.append(f"script error: {error}"))

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith((self.url, "blob:", "data:", *_BROWSERS_OWN)):
            self.problems.append(f"request to another host: {request.url}")

    def _note_response(self, response: Response) -> None:
        if response.status >= 400:
            self.problems.append(f"{response.status} {response.request.method} {response.url}")

    def _note_message(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            self.problems.append(message.text)

    def open_study_list(self) -> None:
        """Go to the first page, and wait until there are studies."""
        self.page.goto(self.url)
        self.page.get_by_text("Study List").wait_for()
        self.page.locator("tbody tr").first.wait_for()

    def open_study(self, study: str, series: str | None = None) -> None:
        """Open a study, or one series of it, and wait for its image."""
        only = f"&SeriesInstanceUIDs={series}" if series else ""
        self.page.goto(f"{self.url}/viewer?StudyInstanceUIDs={study}{only}")
        self.wait_for(self.is_drawing)

    def is_drawing(self) -> bool:
        """Tell whether there is an image in the first viewport."""
        return self.page.evaluate(_DRAWN) is not None

    def drawn(self) -> Drawn:
        """Look at the image in the first viewport."""
        seen = self.page.evaluate(_DRAWN)
        pixels = np.array(seen["pixels"], dtype=np.uint8).reshape(seen["shape"])
        return Drawn(pixels, seen["step"], (seen["lower"], seen["upper"]))

    def open_series(self, description: str) -> None:
        """Show another series of the open study in the viewport, by its description."""
        self.page.locator('[data-cy="study-browser-thumbnail"]', has_text=description).first.dblclick()

    def open_no_image(self, description: str) -> None:
        """Load a series of the open study that has no picture in the list, such as a segmentation."""
        self.page.locator('[data-cy="study-browser-thumbnail-no-image"]', has_text=description).first.dblclick()

    def click(self, name: str) -> None:
        """Click the part of the page that OHIF gave this name for tests, or that we gave it."""
        self.page.locator(f'[data-cy="{name}"]').first.click()

    def choose_measurement_tool(self, name: str) -> None:
        """Choose a tool from the menu of those that measure."""
        self.click("MeasurementTools-split-button-secondary")
        self.page.locator(f'[data-cy="{name}"]').last.click()

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Draw a line in the first viewport; positions are shares of its width and height."""
        self.page.wait_for_timeout(500)  # a tool that was clicked takes effect a moment later
        box = self.page.locator(".cornerstone-canvas").first.bounding_box()
        assert box
        (x0, y0), (x1, y1) = (
            (box["x"] + x * box["width"], box["y"] + y * box["height"])
            for x, y in (start, ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2))
        )
        self.page.mouse.move(x0, y0)
        self.page.mouse.down()
        self.page.mouse.move(x1, y1)
        self.page.mouse.move(2 * x1 - x0, 2 * y1 - y0)
        self.page.mouse.up()

    def planes(self) -> list[str]:
        """Give the planes of the viewports that show a volume which has arrived."""
        return self.page.evaluate("""() => cornerstone.getEnabledElements()
          .filter(({ viewport }) => viewport.type === 'orthographic' && viewport.getImageData?.())
          .map(({ viewport }) => viewport.options.orientation).sort()""")

    def measurements(self) -> list[dict[str, Any]]:
        """Give the measurements that the viewer knows."""
        text = self.page.evaluate(
            "JSON.stringify(services.measurementService.getMeasurements()"
            ".map(({ toolName, label, displayText }) => ({ toolName, label, displayText })))"
        )
        return json.loads(text)

    def segmented_voxels(self) -> list[int]:
        """Count the voxels that belong to segments, in each of the segmentations that the viewer knows."""
        return self.page.evaluate("""() => services.segmentationService.getSegmentations().map(segmentation =>
          segmentation.representationData.Labelmap.imageIds
            .map(id => cornerstone.cache.getImage(id).voxelManager.getScalarData().filter(Boolean).length)
            .reduce((sum, count) => sum + count, 0))""")

    def wait_for_message(self, text: str) -> None:
        """Wait until the viewer tells something."""
        self.page.get_by_text(text).first.wait_for()

    def wait_for(self, condition: Callable[[], Any]) -> Any:
        """Wait until something is true, and return it."""
        deadline = time.monotonic() + _SECONDS
        while not (value := condition()):
            assert time.monotonic() < deadline, "the viewer did not do it in time"
            self.page.wait_for_timeout(100)
        return value

    def screenshot(self, name: str) -> None:
        """Keep a picture for the documentation, if PIXELS_SCREENSHOTS is set."""
        if "PIXELS_SCREENSHOTS" in os.environ:
            SCREENSHOTS.mkdir(exist_ok=True)
            self.page.screenshot(path=SCREENSHOTS / f"{name}.png")


@pytest.fixture(scope="session")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where browsers keep the viewer's scripts and what they have compiled of them, one after the other."""
    return tmp_path_factory.mktemp("profile")


@pytest.fixture(scope="module")
def browser(profile: Path) -> Iterator[BrowserContext]:
    """The system's Chromium; tests are skipped without it or without a built viewer, except in CI."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        skip_without("Chromium is missing: install it to test the viewer")
    if not viewer_files.FOLDER.exists():
        skip_without("the viewer is not built: run `make viewer`")
    # Root, as in a container, has no sandbox; a machine without a graphics card draws WebGL by software, as well as all
    # else, which takes less time if it is not drawn as WebGL is.
    arguments = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-gpu-compositing"]
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=chromium, args=arguments, viewport=_SIZE
        )
        context.set_default_timeout(_SECONDS * 1000)
        context.add_init_script(_SEEN)
        yield context
        context.close()


@contextlib.contextmanager
def new_page(browser: BrowserContext) -> Iterator[Page]:
    """Open a page in a browser that has the viewer's scripts, and nothing that other pages have kept."""
    page = browser.new_page()
    browser.new_cdp_session(page).send(
        "Storage.clearDataForOrigin", {"origin": "*", "storageTypes": "cookies,indexeddb,local_storage"}
    )
    yield page
    page.close()


@pytest.fixture
def page(browser: BrowserContext) -> Iterator[Page]:
    """A page of the test's own."""
    with new_page(browser) as page:
        yield page


@pytest.fixture
def viewer(browser: BrowserContext, server: RunningServer) -> Iterator[Viewer]:
    """The viewer of the server that the module's tests are about."""
    with new_page(browser) as page:
        yield Viewer(page, server.url)
