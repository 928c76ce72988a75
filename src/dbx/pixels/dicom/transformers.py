"""The transformers that users import: from paths to metadata, thumbnails and tags, one batch at a time."""

from __future__ import annotations

import re
from contextlib import ExitStack
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dbx.pixels import storage
from dbx.pixels.dicom.headers import read_headers
from dbx.pixels.dicom.image import DISPLAY_COLUMNS, PIXEL_COLUMNS
from dbx.pixels.dicom.issues import add_pixel_issues
from dbx.pixels.dicom.schema import HEADER_SCHEMA, ISSUES, STATISTICS_FIELDS, ZIP_TYPE
from dbx.pixels.dicom.statistics import add_statistics
from dbx.pixels.engine.transformer import BatchTransformer, merge_columns, merge_fields
from dbx.pixels.errors import ArgumentError, PixelsError
from dbx.pixels.storage.paths import extension, relative_path, split_extension

#: A word of a path: a UID or another dotted number as a whole, else a run of letters and digits.
_WORD = re.compile(r"\d+(?:\.\d+)+|[^\W_]+")


class PathExtractor(BatchTransformer):
    """Take addresses apart: `relative_path`, `local_path` and `extension`.

    Parameters
    ----------
    inputCol : str
        Column of addresses.
    basePath : str
        What `relative_path` is relative to; an address elsewhere is seen by its name. Without it, addresses stay whole.
    home : str, optional
        The home folder, where volumes lie; ``PIXELS_HOME`` or ``~/.pixels`` by default.
    """

    def __init__(self, inputCol: str = "path", basePath: str = "", home: str | None = None) -> None:
        self.inputCol = inputCol
        self.basePath = basePath
        self.home = home

    def output_schema(self, input_schema: pa.Schema) -> pa.Schema:
        names = ("relative_path", "local_path", "extension")
        return merge_fields(input_schema, [pa.field(name, pa.string()) for name in names])

    def transform_batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        paths = _column(batch, self.inputCol).to_pylist()
        home = storage.Home.from_environment(self.home)
        columns = {
            "relative_path": [path and relative_path(path, self.basePath) if self.basePath else path for path in paths],
            "local_path": [path and home.local_path(path) for path in paths],
            "extension": [path and extension(path) for path in paths],
        }
        arrays = {name: pa.array(values, pa.string()) for name, values in columns.items()}
        return merge_columns(batch, arrays, self.output_schema(batch.schema))


class TagExtractor(BatchTransformer):
    """Make the words of a path into tags to filter by: ``ct-head/series_2/IM1.dcm`` has ct, head, series, 2 and IM1.

    Parameters
    ----------
    inputCol : str
        Column of paths.
    outputCol : str
        Column of lists of words, without repetition, in order.
    """

    def __init__(self, inputCol: str = "relative_path", outputCol: str = "path_tags") -> None:
        self.inputCol = inputCol
        self.outputCol = outputCol

    def output_schema(self, input_schema: pa.Schema) -> pa.Schema:
        return merge_fields(input_schema, [pa.field(self.outputCol, pa.list_(pa.string()))])

    def transform_batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        paths = _column(batch, self.inputCol).to_pylist()
        tags = pa.array([None if path is None else path_words(path) for path in paths], pa.list_(pa.string()))
        return merge_columns(batch, {self.outputCol: tags}, self.output_schema(batch.schema))


class FileTypeExtractor(BatchTransformer):
    """Look at each object's first bytes for its media type; null where they cannot be read.

    Parameters
    ----------
    inputCol : str
        Column of addresses that this engine opens.
    outputCol : str
        Column of media types, ``application/dicom`` for DICOM.
    """

    def __init__(self, inputCol: str = "local_path", outputCol: str = "file_type") -> None:
        self.inputCol = inputCol
        self.outputCol = outputCol

    def output_schema(self, input_schema: pa.Schema) -> pa.Schema:
        return merge_fields(input_schema, [pa.field(self.outputCol, pa.string())])

    def transform_batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        with ExitStack() as stack:
            types = read_headers(_open(stack, batch, list(range(batch.num_rows)), self.inputCol)).column("file_type")
        return merge_columns(batch, {self.outputCol: types}, self.output_schema(batch.schema))


class DicomMetaExtractor(BatchTransformer):
    """Read the header of every object into DICOM JSON and typed columns.

    Archives, and objects that already have an `error`, pass through with nulls.

    Parameters
    ----------
    catalog : Catalog
        Where the frame comes from. Its rows hold all that is needed, so that nothing of it travels to other machines.
    inputCol : str
        Column of addresses that this engine opens.
    outputCol : str
        Column of the DICOM JSON model (PS3.18 Annex F); the typed columns have their DICOM keywords as names.
    deep : bool
        Also read every object to its end, for `pixel_statistics` and `content_hash`.
    """

    def __init__(
        self, catalog: Any = None, inputCol: str = "local_path", outputCol: str = "meta", deep: bool = False
    ) -> None:
        del catalog
        self.inputCol = inputCol
        self.outputCol = outputCol
        self.deep = deep

    def output_schema(self, input_schema: pa.Schema) -> pa.Schema:
        fields = [field.with_name(self.outputCol) if field.name == "meta" else field for field in HEADER_SCHEMA]
        if self.deep:
            fields += STATISTICS_FIELDS
        return merge_fields(input_schema, fields)

    def transform_batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        wanted = _to_parse(batch)
        indices = [index for index, want in enumerate(wanted) if want]
        with ExitStack() as stack:
            sources = _open(stack, batch, indices, self.inputCol)
            headers = read_headers(sources)
            columns = dict(zip(headers.schema.names, headers.columns, strict=True))
            if self.deep:
                columns |= add_statistics(sources, headers)
        if not all(wanted):  # rows that were not parsed get nulls, by taking a null row number
            row_numbers = iter(range(len(indices)))
            positions = pa.array([next(row_numbers) if want else None for want in wanted], pa.int32())
            columns = {name: column.take(positions) for name, column in columns.items()}
        for name in ("file_type", "error"):
            if name in batch.schema.names:
                columns[name] = pc.coalesce(columns[name], batch.column(name))
        columns[self.outputCol] = columns.pop("meta")
        return merge_columns(batch, columns, self.output_schema(batch.schema))


class DicomThumbnailExtractor(BatchTransformer):
    """Make a small picture of every image: windowed as the image asks for, in true colours.

    Objects without pixel data have none; a picture that cannot be made is null and leaves an issue.

    Parameters
    ----------
    inputCol : str
        Column of addresses that this engine opens.
    outputCol : str
        Column of encoded pictures.
    size : int
        The longer edge in pixels.
    imageFormat : str
        ``"JPEG"`` or ``"WEBP"``.

    Raises
    ------
    ArgumentError
        If `size` or `imageFormat` cannot be served.
    """

    def __init__(
        self,
        inputCol: str = "local_path",
        outputCol: str = "thumbnail",
        size: int = 256,
        imageFormat: str = "JPEG",
    ) -> None:
        if imageFormat not in ("JPEG", "WEBP"):
            raise ArgumentError("imageFormat", f"{imageFormat!r} is no format of thumbnails", "Use JPEG or WEBP.")
        if not 1 <= size <= 4096:
            raise ArgumentError("size", f"{size} pixels is no size of a thumbnail", "Use 1 to 4096.")
        self.inputCol = inputCol
        self.outputCol = outputCol
        self.size = size
        self.imageFormat = imageFormat

    def output_schema(self, input_schema: pa.Schema) -> pa.Schema:
        missing = {*PIXEL_COLUMNS, *DISPLAY_COLUMNS}.difference(input_schema.names)
        if missing:
            raise ArgumentError(
                "DicomThumbnailExtractor",
                f"the frame has no column {sorted(missing)[0]}",
                "Run DicomMetaExtractor(catalog).transform(df) first.",
            )
        return merge_fields(input_schema, [pa.field(self.outputCol, pa.binary()), pa.field("issues", ISSUES)])

    def transform_batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        # Imported here so that importing the package does not load the codecs.
        from dbx.pixels.dicom.thumbnail import thumbnail

        schema = self.output_schema(batch.schema)
        thumbnails: list[bytes | None] = [None] * batch.num_rows
        failures: dict[int, str] = {}
        images = [index for index, valid in enumerate(batch.column("pixel_data").is_valid().to_pylist()) if valid]
        rows = batch.select([*PIXEL_COLUMNS, *DISPLAY_COLUMNS]).take(pa.array(images, pa.int32())).to_pylist()
        with ExitStack() as stack:
            sources = _open(stack, batch, images, self.inputCol)
            for index, source, row in zip(images, sources, rows, strict=True):
                try:
                    thumbnails[index] = thumbnail(source, row, size=self.size, image_format=self.imageFormat)
                except PixelsError as error:
                    failures[index] = f"no thumbnail: {error.problem}"
                except MemoryError:
                    failures[index] = "no thumbnail: there was not enough memory"
        columns = {self.outputCol: pa.array(thumbnails, pa.binary()), "issues": add_pixel_issues(batch, failures)}
        return merge_columns(batch, columns, schema)


def _to_parse(batch: pa.RecordBatch) -> list[bool]:
    wanted = [True] * batch.num_rows
    if "file_type" in batch.schema.names:
        wanted = [file_type != ZIP_TYPE for file_type in batch.column("file_type").to_pylist()]
    if "error" in batch.schema.names:
        errors = batch.column("error").is_null().to_pylist()
        wanted = [want and fine for want, fine in zip(wanted, errors, strict=True)]
    return wanted


def _open(stack: ExitStack, batch: pa.RecordBatch, indices: list[int], address_column: str) -> list[Any]:
    """Open the objects of some rows; they are closed with `stack`."""
    rows = pa.array(indices, pa.int32())
    paths = _column(batch, address_column).take(rows).to_pylist()
    lengths = _column(batch, "length").take(rows).to_pylist()
    sources = storage.sources(paths, lengths)
    for source in sources:
        if not isinstance(source, str):
            stack.enter_context(source)
    return sources


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    if name not in batch.schema.names:
        raise ArgumentError(name, "the frame has no such column", "Start from what Catalog.catalog() returns.")
    return batch.column(name)


def path_words(path: str) -> list[str]:
    """Give the words of a path, without its extension and without repetition."""
    folder, _, name = path.rpartition("/")
    stem, _ = split_extension(name)
    return list(_folder_words(folder) | dict.fromkeys(_WORD.findall(stem)))


@lru_cache(maxsize=1024)
def _folder_words(folder: str) -> dict[str, None]:
    return dict.fromkeys(_WORD.findall(folder))
