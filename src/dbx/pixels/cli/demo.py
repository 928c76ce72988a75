"""`pixels demo`: real files, a phantom, SQL answers and pictures, in half a minute, then the viewer on all that."""

from __future__ import annotations

import time
from pathlib import Path

import click
import pydicom.data

from dbx.pixels.catalog import Catalog
from dbx.pixels.catalog.ingest import ingest
from dbx.pixels.catalog.selection import Archives
from dbx.pixels.cli import demo_ai
from dbx.pixels.cli.listening import is_free
from dbx.pixels.cli.serve import run
from dbx.pixels.dicom.contact_sheet import contact_sheet
from dbx.pixels.dicom.phantom import write_ct_series
from dbx.pixels.dicom.plot import DicomPlot
from dbx.pixels.engine.frame import Frame
from dbx.pixels.storage import volume_path

#: Where the viewer is served, if no other program is there.
_PORT = 8042

_QUESTIONS = (
    (
        "What is there?",
        "SELECT Modality, count(*) AS images, count(DISTINCT StudyInstanceUID) AS studies FROM instances"
        " GROUP BY Modality ORDER BY images DESC, Modality LIMIT 8",
    ),
    (
        "Which CT series have ten slices or more, and how thick are they?",
        "SELECT PatientID, SeriesDescription, count(*) AS slices, any_value(SliceThickness) AS mm FROM instances"
        " WHERE Modality = 'CT' GROUP BY ALL HAVING count(*) >= 10",
    ),
    (
        "Who made the scanners? (any attribute of the metadata, not only the columns)",
        "SELECT dicom(meta, 'Manufacturer') AS manufacturer, count(*) AS images FROM instances"
        " GROUP BY 1 ORDER BY images DESC, 1 LIMIT 5",
    ),
    (
        "What was wrong with the files?",
        "SELECT kind, keyword, count(*) AS times, min(message) AS example FROM issues"
        " GROUP BY ALL ORDER BY times DESC, keyword LIMIT 8",
    ),
)


@click.command()
@click.option("--home", metavar="DIR", help="where tables and volumes lie  [default: $PIXELS_HOME or ~/.pixels]")
@click.option("--ai", is_flag=True, help="train a small model on further phantoms, and offer it in the viewer")
@click.option("--no-serve", is_flag=True, help="end when the answers are shown, without serving the viewer")
def demo(home: str | None, ai: bool, no_serve: bool) -> None:
    """Ingest pydicom's bundled files and a phantom CT, and show what can be asked of them."""
    catalog = Catalog(home=home)
    started = time.perf_counter()
    folder = f"{volume_path(catalog.volume)}/phantom-ct"
    slices = write_ct_series(catalog.home.local_path(folder))
    click.echo(f"Made a phantom CT of {len(slices)} slices in {time.perf_counter() - started:.1f} s: {folder}")

    bundled = Path(pydicom.data.__file__).parent / "test_files"
    selection = catalog.selection(
        [str(bundled), folder], pattern=None, recurse=True, archives=Archives.IN_PLACE, extract_to=None
    )
    summary = ingest(catalog, selection, thumbnails=True)
    click.echo(
        f"Ingested {summary.listed:,} objects from {bundled.name} and the phantom, thumbnails included, in"
        f" {summary.seconds:.1f} s: {summary.indexed:,} DICOM, {summary.other:,} other, {summary.failed:,} failed,"
        f" {summary.issues:,} issues\n"
    )
    for question, query in _QUESTIONS:
        click.echo(f'{question}\n  pixels sql "{query}"')
        catalog.sql(query).show()

    pictures: Frame = catalog.sql("SELECT * FROM instances WHERE thumbnail IS NOT NULL ORDER BY path")
    sheet = catalog.home.root / "contact-sheet.png"
    contact_sheet(pictures).save(sheet)
    page = catalog.home.root / "contact-sheet.html"
    DicomPlot(pictures).save(page)
    click.echo(f"Thumbnails on a contact sheet: {sheet}\nThe same to filter in a browser: {page}\n")
    if ai:
        demo_ai.prepare(catalog)
    if not no_serve:
        run(catalog, host="127.0.0.1", port=_PORT if is_free(_PORT) else 0)
