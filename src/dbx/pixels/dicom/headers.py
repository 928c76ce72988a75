"""Reading DICOM headers to Arrow: by the native core, else by pydicom, else a row that says why not."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from threading import Lock
from typing import Any

import puremagic
import pyarrow as pa

from dbx.pixels.dicom import charset, dictionary
from dbx.pixels.dicom._core import HeaderReader
from dbx.pixels.dicom.fallback import read_with_pydicom
from dbx.pixels.dicom.inflating import inflate
from dbx.pixels.dicom.schema import HEADER_SCHEMA, ZIP_TYPE
from dbx.pixels.storage.reader import Reader

#: Confidence from which puremagic's guesses are believed; it grows with a signature's length, and text is long on
#: letters that are some format's signature.
_LEAST_CONFIDENCE = 0.2
_LEAST_CONFIDENCE_OF_TEXT = 0.4

_ZIP_SIGNATURE = b"PK\x03\x04"

_reader_lock = Lock()


def read_headers(sources: Sequence[str | bytes | Reader], *, bulk_threshold: int | None = 1024) -> pa.RecordBatch:
    """Read the headers of DICOM objects; pixel data is located, not read.

    The GIL is released, and several threads may call at once.

    Parameters
    ----------
    sources : sequence of str, bytes or Reader
        Local paths, contents, or opened objects.
    bulk_threshold : int or None
        Binary values of more bytes become a ``BulkDataURI``, ``bulkdata/`` followed by the path of tags and item
        numbers (from 0). With None, all are inline.

    Returns
    -------
    pyarrow.RecordBatch
        One row a source, in order, of `HEADER_SCHEMA`. What is wrong with one element is among the row's ``issues``;
        what is wrong with the object as a whole is its ``error``. Objects that are no DICOM have a ``file_type`` and no
        ``meta``.
    """
    with _reader_lock:  # threads that come first wait for one of them to make it
        reader = _reader()
    rows, doubtful, unrecognized = reader.read(list(sources), bulk_threshold)
    batch = pa.record_batch(rows)
    if unrecognized:
        batch = _with_file_types(batch, {row: _media_type(head) for row, head in unrecognized})
    if doubtful:
        batch = _with_second_opinions(batch, doubtful, sources, bulk_threshold)
    return batch


@cache
def _reader() -> HeaderReader:
    return HeaderReader(
        dictionary.public_attributes(),
        dictionary.repeating_attributes(),
        dictionary.private_attributes(),
        dictionary.typed_columns(),
        charset.describe,
        charset.decode,
        _inflate,
    )


def _inflate(deflated: bytes) -> bytes:
    inflated = io.BytesIO()
    inflate(io.BytesIO(deflated), inflated)
    return inflated.getvalue()


def _with_file_types(batch: pa.RecordBatch, media_types: dict[int, str]) -> pa.RecordBatch:
    index = batch.schema.get_field_index("file_type")
    values = batch.column(index).to_pylist()
    for row, media_type in media_types.items():
        values[row] = media_type
    return batch.set_column(index, batch.schema.field(index), pa.array(values, pa.string()))


def _media_type(head: bytes) -> str:
    """Tell the media type by an object's first bytes."""
    if head.startswith(_ZIP_SIGNATURE):
        return ZIP_TYPE  # more than the first bytes tells what else it may be
    is_text = _is_text(head)
    try:
        guess = max(puremagic.magic_string(head), key=lambda guess: guess.confidence)
        if guess.mime_type and guess.confidence >= (_LEAST_CONFIDENCE_OF_TEXT if is_text else _LEAST_CONFIDENCE):
            return str(guess.mime_type)
    except (puremagic.PureError, ValueError):
        pass
    return "text/plain" if is_text else "application/octet-stream"


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # else the head ends inside a character
            return False
        text = head[: error.start].decode("utf-8")
    return all(character.isprintable() or character.isspace() for character in text)


def _with_second_opinions(
    batch: pa.RecordBatch, doubtful: list[int], sources: Sequence[Any], bulk_threshold: int | None
) -> pa.RecordBatch:
    """Replace the rows that pydicom reads although their structure is broken."""
    order = list(range(batch.num_rows))
    replacements: list[dict[str, Any]] = []
    for row in doubtful:
        replacement = read_with_pydicom(sources[row], bulk_threshold)
        if replacement is None:
            continue
        replacement["issues"] = (batch.column("issues")[row].as_py() or []) + replacement["issues"]
        order[row] = batch.num_rows + len(replacements)
        replacements.append(replacement)
    if not replacements:
        return batch
    both = pa.concat_batches([batch, pa.RecordBatch.from_pylist(replacements, HEADER_SCHEMA)])
    return both.take(pa.array(order))
