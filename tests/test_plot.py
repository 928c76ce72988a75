"""Plots: pages that need nothing from elsewhere, with filters, captions and all text escaped; and contact sheets."""

from __future__ import annotations

import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from dbx.pixels.dicom import DicomMetaExtractor, DicomPlot, DicomThumbnailExtractor
from dbx.pixels.dicom.contact_sheet import contact_sheet
from dbx.pixels.engine.frame import Frame
from dbx.pixels.errors import ArgumentError

from conftest import TEST_FILES

NAMES = ["CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "rtplan.dcm", "examples_ybr_color.dcm"]


@pytest.fixture
def frame() -> Frame:
    paths = [str(TEST_FILES / name) for name in NAMES]
    frame = Frame.from_arrow(
        {
            "path": paths,
            "local_path": paths,
            "relative_path": [f"heads & <more>/{name}" for name in NAMES],
            "length": [Path(path).stat().st_size for path in paths],
        }
    )
    return DicomMetaExtractor(None).transform(frame)


class Page(HTMLParser):
    """What a browser would find on a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_pictures_are_made_and_shown(frame: Frame) -> None:
    page = Page(DicomPlot(frame).to_html())
    assert len(page.all("figure")) == 4  # the plan has none
    assert all(str(image["src"]).startswith("data:image/jpeg;base64,") for image in page.all("img"))
    assert "4 pictures" in page.text
    assert "CT" in page.text
    assert "heads & <more>/CT_small.dcm" in page.text


def test_pictures_that_are_there_are_shown(frame: Frame) -> None:
    thumbnails = DicomThumbnailExtractor(imageFormat="WEBP").transform(frame).select("path", "thumbnail")
    page = Page(DicomPlot(thumbnails).to_html())
    assert all(str(image["src"]).startswith("data:image/webp;base64,") for image in page.all("img"))


def test_pages_ask_for_nothing_from_elsewhere(frame: Frame, tmp_path: Path) -> None:
    DicomPlot(frame).save(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert not re.search(r"https?://|url\(|@import|<link|<script src", re.sub(r'data:[^"]*', "", text))


def test_tags_are_filters(frame: Frame) -> None:
    page = Page(DicomPlot(frame).to_html())
    tags = {button["data-tag"] for button in page.all("button")}
    assert {"MR", "small", "RLE", "heads", "more"} <= tags
    figures = [json.loads(unescape(str(figure["data-tags"]))) for figure in page.all("figure")]
    assert sum({"MR", "small"} <= set(figure) for figure in figures) == 2


def test_text_is_escaped(frame: Frame) -> None:
    hostile = '"><script>alert(1)</script>'
    batch = DicomThumbnailExtractor().transform(frame).limit(1).to_arrow()
    for column in ("SeriesDescription", "relative_path"):
        batch = batch.set_column(batch.schema.get_field_index(column), column, [[hostile]])
    batch = batch.append_column("path_tags", [[[hostile]]])
    page = Page(DicomPlot(Frame.from_arrow(batch)).to_html())
    assert len(page.all("script")) == 1  # the plot's own
    assert hostile in page.text
    assert page.all("button")[0]["data-tag"] == hostile


def test_first_pictures_only(frame: Frame) -> None:
    page = Page(DicomPlot(frame, limit=2).to_html())
    assert len(page.all("figure")) == 2
    assert "The first 2 pictures" in page.text


def test_plots_of_one_page_do_not_meet(frame: Frame) -> None:
    plot = DicomPlot(frame, limit=1)
    identifiers = [Page(plot.to_html()).all("div")[0]["id"] for _ in range(2)]
    assert identifiers[0] != identifiers[1]


def test_nothing_to_show(frame: Frame) -> None:
    assert "0 pictures" in Page(DicomPlot(frame.limit(0)).to_html()).text


def test_frames_without_metadata_are_refused() -> None:
    paths = [str(TEST_FILES / "CT_small.dcm")]
    with pytest.raises(ArgumentError, match="DicomMetaExtractor"):
        DicomPlot(Frame.from_arrow({"path": paths, "local_path": paths, "length": [1]})).to_html()


def test_notebooks_show_the_page(frame: Frame) -> None:
    pytest.importorskip("IPython")
    DicomPlot(frame, limit=1).display()


def test_a_contact_sheet_has_rows_of_pictures(frame: Frame) -> None:
    sheet = contact_sheet(frame, columns=2)
    assert sheet.width < sheet.height < 2 * sheet.width  # four pictures with captions
    left, top = sheet.width // 4, sheet.height // 8
    assert sheet.getpixel((left, top)) not in ((255, 255, 255), (0, 0, 0))


def test_contact_sheets_of_nothing(frame: Frame) -> None:
    assert contact_sheet(frame.limit(0)).width > 0
