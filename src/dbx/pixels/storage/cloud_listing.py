"""Listing what lies under a prefix of an object store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from obstore.exceptions import InvalidPathError

from dbx.pixels.errors import ObjectNotFoundError, StorageError
from dbx.pixels.storage.buckets import FAILURES, Bucket, as_object, is_denied, locate
from dbx.pixels.storage.local import Object, Report

_PAGE_ROWS = 1000


def lister(root: str, *, recurse: bool = True) -> tuple[bool, Callable[[Report], Iterator[Object]]]:
    """Find what lies at a prefix, or the one object of that name.

    Returns
    -------
    bool
        Whether the store is read without credentials.
    callable
        Lists the objects, sorted by key. Hidden names and Delta tables are left out, as in folders.

    Raises
    ------
    ObjectNotFoundError
        If there is neither.
    StorageError
        If the store cannot be reached or does not let anything be listed.
    """
    bucket, key = locate(root)
    try:
        found = bucket.ask(key, lambda store: any(store.list(key or None, chunk_size=1)))
    except StorageError as error:
        # An unreadable page is met again, and reported, by the listing; a single object may be readable all the same.
        if isinstance(error.__cause__, InvalidPathError):
            found = True
        elif key and is_denied(error.__cause__):
            found = False
        else:
            raise
    if found or not key:
        return bucket.access.is_anon, lambda report: _walk(bucket, key, report, recurse=recurse)
    meta = bucket.ask(key, lambda store: store.head(key))
    return bucket.access.is_anon, lambda _report: iter([as_object(bucket, meta)])


def _walk(bucket: Bucket, prefix: str, report: Report, *, recurse: bool) -> Iterator[Object]:
    start = len(bucket.url) + 1 + (len(prefix) + 1 if prefix else 0)
    pages = _pages(bucket, prefix, report) if recurse else _folder_pages(bucket, prefix, report, recurse=False)
    table = ""
    for found in _without_markers(bucket, pages):
        path = found[0]
        inside = "/" + path[start:]
        if "/." in inside:
            continue
        # Keys come sorted, so that what a table holds under names before `_delta_log` has been listed by now.
        if (log := inside.find("/_delta_log/")) >= 0:
            table = path[: start + log]
        if not table or not path.startswith(table):
            yield found


def _pages(bucket: Bucket, prefix: str, report: Report) -> Iterator[Object]:
    """List everything below a prefix, a thousand objects a request."""
    last = ""
    try:
        for page in bucket.store.list(prefix or None, chunk_size=_PAGE_ROWS):
            for meta in page:
                yield as_object(bucket, meta)
            last = page[-1]["path"]
    except InvalidPathError:
        # One key that obstore cannot address spoils its whole page: go on folder by folder, so that it spoils one.
        already = f"{bucket.url}/{last}"
        yield from (found for found in _folder_pages(bucket, prefix, report, recurse=True) if found[0] > already)
    except FAILURES as failure:
        error = bucket.error(prefix, failure)
        report(error.subject, error.problem)


def _folder_pages(bucket: Bucket, prefix: str, report: Report, *, recurse: bool) -> Iterator[Object]:
    """List a prefix like a folder, sorted by key, with one request a folder."""
    try:
        found = bucket.ask(prefix, lambda store: store.list_with_delimiter(prefix or None))
    except StorageError as error:
        spoiled = isinstance(error.__cause__, InvalidPathError)
        report(error.subject, "holds a key with //, . or .. in it, and was left out" if spoiled else error.problem)
        return
    entries: list[tuple[str, Any]] = [(meta["path"], meta) for meta in found["objects"]]
    entries += [(f"{folder}/", None) for folder in found["common_prefixes"] if recurse]
    for key, meta in sorted(entries, key=lambda entry: entry[0]):
        if meta is None:
            yield from _folder_pages(bucket, key.rstrip("/"), report, recurse=True)
        else:
            yield as_object(bucket, meta)


def _without_markers(bucket: Bucket, objects: Iterator[Object]) -> Iterator[Object]:
    """Leave out the empty objects ``folder/`` by which consoles show folders; obstore lists them as ``folder``."""
    doubtful: Object | None = None
    for found in objects:
        if doubtful and not found[0].startswith(doubtful[0] + "/") and _exists(bucket, doubtful[0]):
            yield doubtful
        doubtful = found if found[2] == 0 else None
        if not doubtful:
            yield found
    if doubtful and _exists(bucket, doubtful[0]):
        yield doubtful


def _exists(bucket: Bucket, address: str) -> bool:
    key = address[len(bucket.url) + 1 :]
    try:
        bucket.ask(key, lambda store: store.head(key))
    except ObjectNotFoundError:
        return False
    except StorageError:
        return True  # reading it will say what is wrong
    return True
