"""Taking objects out of zip archives: where they are, or unpacked to a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import pyarrow as pa

from dbx.pixels.catalog.objects import LISTED_SCHEMA
from dbx.pixels.catalog.selection import Archives, Selection, outermost
from dbx.pixels.engine.frame import BATCH_ROWS
from dbx.pixels.errors import ArchiveError, StorageError
from dbx.pixels.storage.archive import extract_member, members
from dbx.pixels.storage.changed import Listed
from dbx.pixels.storage.home import Home
from dbx.pixels.storage.paths import extension

#: Of a member that is refused: it is some bytes, which trying again would not tell more of.
UNKNOWN_TYPE = "application/octet-stream"


def open_archives(
    archives: Sequence[dict], selection: Selection, home: Home
) -> Iterator[tuple[dict, Iterator[pa.RecordBatch]]]:
    """Open archives one after the other, and extract them if that is asked for.

    Parameters
    ----------
    archives : sequence of dict
        The archives' own rows of `LISTED_SCHEMA`.
    selection : Selection
        Says whether members stay where they are or are extracted, and which names are wanted.
    home : Home
        Resolves volume paths.

    Yields
    ------
    archive : dict
        Each of the archives.
    batches : iterator of pyarrow.RecordBatch
        Its members, see `member_batches`.
    """
    for archive in archives:
        batches = member_batches(archive, selection)
        if selection.archives is Archives.EXTRACT:
            batches = (extracted_batch(batch, selection, home) for batch in batches)
        yield archive, batches


def member_batches(archive: dict, selection: Selection) -> Iterator[pa.RecordBatch]:
    """List the members of one archive as objects, where they are.

    Parameters
    ----------
    archive : dict
        The archive's own row of `LISTED_SCHEMA`.
    selection : Selection
        Says which names are wanted.

    Yields
    ------
    pyarrow.RecordBatch
        Rows of `LISTED_SCHEMA`. A member that cannot be read has an `error`.

    Raises
    ------
    StorageError
        When the archive itself cannot be read to its end, or hides members behind others of the same name; after what
        could be read has been yielded.
    """
    rows: list[dict] = []
    failure = None
    try:
        for row in _member_rows(archive, selection):
            rows.append(row)
            if len(rows) == BATCH_ROWS:
                yield pa.RecordBatch.from_pylist(rows, schema=LISTED_SCHEMA)
                rows = []
    except StorageError as error:
        failure = error
    if rows:
        yield pa.RecordBatch.from_pylist(rows, schema=LISTED_SCHEMA)
    if failure:
        raise failure


def extracted_batch(batch: pa.RecordBatch, selection: Selection, home: Home) -> pa.RecordBatch:
    """Extract members, and say where they now are, or why they could not be extracted.

    Parameters
    ----------
    batch : pyarrow.RecordBatch
        Rows of members where they are, of one archive or several.
    selection : Selection
        Says below which folder they are extracted.
    home : Home
        Resolves volume paths.
    """
    rows = rows_of(batch)
    return pa.RecordBatch.from_pylist(
        [row if row["error"] else row | _extracted(row, selection, home) for row in rows], schema=LISTED_SCHEMA
    )


def rows_of(batch: pa.RecordBatch) -> list[dict]:
    """Return the rows as Python's, with times as numbers: Python's calendar has fewer of them."""
    place = batch.schema.get_field_index("modificationTime")
    return batch.set_column(place, "modificationTime", batch.column(place).cast(pa.int64())).to_pylist()


def extraction_folder(archive: str, selection: Selection) -> str:
    """Name the folder that an archive is extracted to: archives of one name in different folders do not meet."""
    assert selection.extract_to is not None  # Selection.of sees to it
    digest = hashlib.sha256(archive.encode()).hexdigest()[:12]
    return f"{selection.extract_to.rstrip('/')}/{PurePosixPath(archive).stem}-{digest}"


def _member_rows(archive: dict, selection: Selection) -> Iterator[dict]:
    repeated = []
    for member in members(archive["local_path"], Listed(archive["modificationTime"])):
        if member.is_repeated:
            repeated.append(member.name)
        relative = f"{archive['relative_path']}/{member.relative_path}"
        if not selection.wants(relative):
            continue
        address = member.address_in(archive["path"])
        yield {
            **archive,
            "path": address,
            "original_path": address,
            "relative_path": relative,
            "local_path": member.address,
            "extension": extension(address),
            "length": member.length,
            "file_type": None,
            "error": member.problem,
        }
    if repeated:
        raise ArchiveError(
            archive["path"], f"holds members of one name, of which the last counts: {', '.join(repeated)}"
        )


def _extracted(row: dict, selection: Selection, home: Home) -> dict:
    """Extract one member and return the columns that change."""
    folder = extraction_folder(outermost(row["path"]), selection)
    try:
        below = extract_member(row["local_path"], home.local_path(folder), row["modificationTime"])
    except ArchiveError as error:
        return {"error": error.problem, "file_type": UNKNOWN_TYPE}
    return {"path": f"{folder}/{below}", "local_path": home.local_path(f"{folder}/{below}")}
