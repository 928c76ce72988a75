"""A grid of pictures, as HTML that needs nothing from elsewhere: for notebooks and as a file."""

from __future__ import annotations

import base64
import html
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa

from dbx.pixels.dicom.transformers import DicomThumbnailExtractor, path_words
from dbx.pixels.engine.transformer import BatchRow, BatchTransformer, is_spark
from dbx.pixels.errors import EngineError

#: Columns of which something is shown.
_SHOWN = ("thumbnail", "relative_path", "path", "local_path", "Modality", "SeriesDescription", "path_tags")

#: Tags that are offered as filters: the most frequent ones.
_OFFERED_TAGS = 40


@dataclass(frozen=True)
class Picture:
    """A thumbnail with what is said about it.

    Attributes
    ----------
    data : bytes
        JPEG or WebP.
    title : str
        Modality and series description.
    name : str
        Where the object lies.
    tags : tuple of str
        Words of its path.
    """

    data: bytes
    title: str
    name: str
    tags: tuple[str, ...]


class DicomPlot:
    """Pictures of a frame in a grid, with the words of their paths as filters.

    Parameters
    ----------
    df : Frame or pyspark.sql.DataFrame
        Frame with thumbnails, or with what they can be made of: see `DicomThumbnailExtractor`.
    limit : int
        How many pictures are shown; the frame is read no further, and of a DataFrame no more is collected.
    """

    def __init__(self, df: Any, limit: int = 256) -> None:
        self.df = df
        self.limit = limit

    def display(self) -> None:
        """Show the pictures in a notebook.

        Raises
        ------
        EngineError
            Outside of notebooks.
        """
        try:
            from IPython.display import HTML, display
        except ImportError as error:
            raise EngineError(
                "DicomPlot.display", "IPython is not installed", "Use save(path) and open that in a browser."
            ) from error
        display(HTML(self.to_html()))

    def save(self, path: str | Path) -> None:
        """Write the pictures as a page for browsers."""
        page = (
            '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>Pixels</title>'
            '<meta name="viewport" content="width=device-width"></head>\n<body>\n'
            f"{self.to_html()}</body>\n</html>\n"
        )
        Path(path).write_text(page, encoding="utf-8")

    def to_html(self) -> str:
        """Make the HTML element that `display` shows: pictures, styles and script in one."""
        shown = list(pictures(self.df, self.limit + 1))
        more = len(shown) > self.limit
        shown = shown[: self.limit]
        identifier = f"pixels-{uuid4().hex}"
        count = f"The first {len(shown)} pictures" if more else f"{len(shown)} pictures"
        return (
            f'<div id="{identifier}" class="pixels-plot">\n<style>{_STYLE}</style>\n'
            f'<p><span class="count">{count}</span></p>\n'
            f'<div class="tags" role="group" aria-label="Filter by words of the path">{_buttons(shown)}</div>\n'
            f'<div class="grid">{"".join(map(_figure, shown))}</div>\n'
            f'<script>({_SCRIPT})(document.getElementById("{identifier}"))</script>\n</div>\n'
        )


class _Shown(BatchTransformer):
    """Keeps what is shown of rows; thumbnails are made where a batch has none."""

    def __init__(self) -> None:
        self._extractor = DicomThumbnailExtractor()

    def output_schema(self, input_schema: pa.Schema) -> pa.Schema:
        if "thumbnail" not in input_schema.names:
            input_schema = self._extractor.output_schema(input_schema)
        return pa.schema([input_schema.field(name) for name in _SHOWN if name in input_schema.names])

    def transform_batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        shown = self.output_schema(batch.schema).names
        if "thumbnail" not in batch.schema.names or batch.column("thumbnail").null_count == batch.num_rows:
            batch = self._extractor.transform_batch(batch)
        return batch.select(shown)


def pictures(df: Any, most: int) -> Iterator[Picture]:
    """Give the first pictures of a frame, in order; it is read no further, and of a DataFrame no more is collected."""
    rows = _spark_rows(df, most) if is_spark(df) else _rows(df)
    return map(_picture, islice(rows, most))


def _rows(df: Any) -> Iterator[Mapping[str, Any]]:
    for batch in map(_Shown().transform_batch, df.batches()):
        for index in range(batch.num_rows):
            row = BatchRow(batch, index)
            if row["thumbnail"] is not None:
                yield row


def _spark_rows(df: Any, most: int) -> Iterator[Mapping[str, Any]]:
    # Imported here because whoever has no DataFrame of Spark needs no Spark.
    from dbx.pixels.engine.spark.failures import telling

    with telling():
        rows = _Shown().transform(df).where("thumbnail IS NOT NULL").limit(most).collect()
    return (row.asDict() for row in rows)


def _picture(row: Mapping[str, Any]) -> Picture:
    path = row.get("relative_path") or row.get("path") or row.get("local_path") or ""
    title = " · ".join(row[name] for name in ("Modality", "SeriesDescription") if row.get(name))
    tags = row.get("path_tags")
    return Picture(row["thumbnail"], title, path, tuple(path_words(path) if tags is None else tags))


def _buttons(shown: Iterable[Picture]) -> str:
    counts = Counter(tag for picture in shown for tag in set(picture.tags))
    return "".join(
        f'<button type="button" aria-pressed="false" data-tag="{html.escape(tag)}">{html.escape(tag)} '
        f"<small>{count}</small></button>"
        for tag, count in counts.most_common(_OFFERED_TAGS)
    )


def _figure(picture: Picture) -> str:
    media_type = "image/webp" if picture.data[:4] == b"RIFF" else "image/jpeg"
    data = base64.b64encode(picture.data).decode("ascii")
    title, name = html.escape(picture.title), html.escape(picture.name)
    tags = html.escape(json.dumps(picture.tags))
    return (
        f'<figure data-tags="{tags}" title="{name}"><img alt="{title or name}" src="data:{media_type};base64,{data}">'
        f"<figcaption><b>{title}</b><span>{name}</span></figcaption></figure>\n"
    )


_STYLE = """
.pixels-plot { font: 13px/1.4 system-ui, sans-serif; }
.pixels-plot .tags { display: flex; flex-wrap: wrap; gap: 4px; margin: 0 0 12px; }
.pixels-plot button { font: inherit; color: inherit; background: none; border: 1px solid #8888; border-radius: 12px;
  padding: 1px 9px; cursor: pointer; }
.pixels-plot button small { opacity: .6; }
.pixels-plot button[aria-pressed="true"] { background: #1668c7; border-color: #1668c7; color: #fff; }
.pixels-plot button:disabled { opacity: .35; cursor: default; }
.pixels-plot .grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 10px; }
.pixels-plot figure { margin: 0; min-width: 0; }
.pixels-plot figure[hidden] { display: none; }
.pixels-plot img { width: 100%; aspect-ratio: 1; object-fit: contain; background: #000; border-radius: 4px; margin: 0; }
.pixels-plot figcaption b, .pixels-plot figcaption span { display: block; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }
.pixels-plot figcaption span { opacity: .65; }
"""

#: A picture is shown if it has all pressed tags; a tag that no shown picture has cannot be pressed.
_SCRIPT = """plot => {
  const figures = [...plot.querySelectorAll("figure")].map(
    element => ({ element, tags: new Set(JSON.parse(element.dataset.tags)) }));
  const buttons = [...plot.querySelectorAll("button")];
  const count = plot.querySelector(".count");
  const everything = count.textContent;
  const isPressed = button => button.getAttribute("aria-pressed") === "true";
  const update = () => {
    const pressed = buttons.filter(isPressed).map(button => button.dataset.tag);
    const shown = figures.filter(figure => pressed.every(tag => figure.tags.has(tag)));
    for (const figure of figures) figure.element.hidden = !shown.includes(figure);
    for (const button of buttons) {
      const found = shown.filter(figure => figure.tags.has(button.dataset.tag)).length;
      button.querySelector("small").textContent = found;
      button.disabled = found === 0 && !isPressed(button);
    }
    count.textContent = pressed.length ? `${shown.length} of ${figures.length} pictures` : everything;
  };
  for (const button of buttons) button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(!isPressed(button)));
    update();
  });
}"""
