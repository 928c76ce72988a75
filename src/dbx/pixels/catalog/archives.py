"""Taking objects out of zip archives: where they are, or unpacked to a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import PurePosixPath

import pyarrow as pa

from dbx.pixels.catalog.objects import LISTED_SCHEMA
from dbx.pixels.catalog.selection import Archives, Selection
from dbx.pixels.errors import ArchiveError, StorageError
from dbx.pixels.storage.archive import Member, extract_member, members
from dbx.pixels.storage.changed import Listed
from dbx.pixels.storage.home import Home
from dbx.pixels.storage.paths import extension

#: Of a member that is refused: it is some bytes, which trying again would not tell more of.
UNKNOWN_TYPE = "application/octet-stream"

#: Rows that are gathered before they are handed on.
_ROWS = 256


def member_batches(archive: dict, selection: Selection, home: Home) -> Iterator[pa.RecordBatch]:
    """List the members of one archive as objects.

    Parameters
    ----------
    archive : dict
        The archive's own row of `LISTED_SCHEMA`.
    selection : Selection
        Says whether members stay where they are or are extracted, and which names are wanted.
    home : Home
        Resolves volume paths.

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
        for row in _member_rows(archive, selection, home):
            rows.append(row)
            if len(rows) == _ROWS:
                yield pa.RecordBatch.from_pylist(rows, schema=LISTED_SCHEMA)
                rows = []
    except StorageError as error:
        failure = error
    if rows:
        yield pa.RecordBatch.from_pylist(rows, schema=LISTED_SCHEMA)
    if failure:
        raise failure


def extraction_folder(archive: str, selection: Selection) -> str:
    """Name the folder that an archive is extracted to: archives of one name in different folders do not meet."""
    assert selection.extract_to is not None  # Selection.of sees to it
    digest = hashlib.sha256(archive.encode()).hexdigest()[:12]
    return f"{selection.extract_to.rstrip('/')}/{PurePosixPath(archive).stem}-{digest}"


def _member_rows(archive: dict, selection: Selection, home: Home) -> Iterator[dict]:
    repeated = []
    for member in members(archive["local_path"], Listed(archive["modificationTime"])):
        if member.is_repeated:
            repeated.append(member.name)
        relative = f"{archive['relative_path']}/{member.relative_path}"
        if not selection.wants(relative):
            continue
        address = member.address_in(archive["path"])
        row = {
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
        if selection.archives is Archives.EXTRACT and member.problem is None:
            row |= _extracted(member, archive, selection, home)
        yield row
    if repeated:
        raise ArchiveError(
            archive["path"], f"holds members of one name, of which the last counts: {', '.join(repeated)}"
        )


def _extracted(member: Member, archive: dict, selection: Selection, home: Home) -> dict:
    """Extract one member and say where it now is, or why it could not be extracted."""
    folder = extraction_folder(archive["path"], selection)
    try:
        below = extract_member(member, home.local_path(folder), archive["modificationTime"])
    except ArchiveError as error:
        return {"error": error.problem, "file_type": UNKNOWN_TYPE}
    return {"path": f"{folder}/{below}", "local_path": home.local_path(f"{folder}/{below}")}
