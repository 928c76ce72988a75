"""Objects in a store: reading ranges of them, and what tables need to know of the store."""

from __future__ import annotations

import contextlib
import uuid
from typing import Any

from obstore.exceptions import AlreadyExistsError, NotSupportedError, PreconditionError
from obstore.store import ObjectStore

from dbx.pixels.errors import StorageError, UnsafeStoreError
from dbx.pixels.storage.buckets import RETRIES, as_object, is_denied, locate
from dbx.pixels.storage.changed import ANY, Listed
from dbx.pixels.storage.local import Object
from dbx.pixels.storage.reader import ClosingReader

#: Bytes of an object that are fetched before anybody asks, and the least that is fetched at once.
HEAD_BYTES = 64 * 1024


def stat_remote(address: str) -> Object:
    """Return address, modification time and length of one object.

    Raises
    ------
    StorageError
        If there is no such object, or the store does not tell.
    """
    bucket, key = locate(address)
    return as_object(bucket, bucket.ask(key, lambda store: store.head(key)))


class CloudReader(ClosingReader):
    """A `Reader` of an object in a store, which fetches at least `HEAD_BYTES` at once and keeps the last fetch.

    Parameters
    ----------
    address : str
        Canonical address of the object.
    listed : Listed, optional
        What is known of it; the store is asked for its length when that is not given.

    Raises
    ------
    StorageError
        If the length has to be asked for and the store does not tell it.
    """

    def __init__(self, address: str, listed: Listed = ANY) -> None:
        self._address = address
        self._bucket, self._key = locate(address)
        self.size = stat_remote(address)[2] if listed.length is None else listed.length
        self._listed = listed._replace(length=self.size)
        self._kept = (0, b"")

    def read(self, offset: int, length: int) -> bytes:
        """Read `length` bytes from `offset`; fewer at the object's end."""
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        # One tuple, read and replaced as a whole, so that threads may share the reader.
        start, kept = self._kept
        if not start <= offset <= offset + length <= start + len(kept):
            start, wanted = offset, min(max(length, HEAD_BYTES), self.size - offset)
            kept = self._fetch(offset, offset + wanted)
            self._kept = (start, kept)
        return kept[offset - start : offset - start + length]

    def _fetch(self, start: int, end: int) -> bytes:
        def get(store: ObjectStore) -> tuple[Object, bytes]:
            answer = store.get(self._key, options={"range": (start, end)})
            return as_object(self._bucket, answer.meta), bytes(answer.bytes())

        try:
            found, data = self._bucket.ask(self._key, get)
        except StorageError as error:
            if "416" in error.problem:  # the range lies beyond the end of another object
                self._listed.check(*stat_remote(self._address))
            raise
        self._listed.check(*found)
        return data


def probe_conditional_put(url: str) -> None:
    """Make sure that a store refuses to create an object twice, which is what keeps concurrent commits apart.

    Parameters
    ----------
    url : str
        Where a table is about to be written; an empty object is written next to it and taken away again.

    Raises
    ------
    UnsafeStoreError
        If the store ignores conditional puts.
    StorageError
        If it cannot be written to at all.
    """
    bucket, prefix = locate(url)
    key = f"{prefix}/_pixels_probe_{uuid.uuid4().hex}".lstrip("/")

    def create(store: ObjectStore) -> bool:
        try:
            store.put(key, b"", mode="create")
        except (AlreadyExistsError, PreconditionError):
            return False
        return True

    try:
        bucket.ask(key, create)
        created_twice = bucket.ask(key, create)
    except StorageError as error:
        if is_denied(error.__cause__):
            raise StorageError(
                url, "cannot be written to with the credentials that were found", error.remedy
            ) from error
        if not isinstance(error.__cause__, NotSupportedError) and "NotImplemented" not in str(error.__cause__):
            raise
        created_twice = True
    finally:
        with contextlib.suppress(StorageError):  # the probe is empty, and the error above, if any, tells more
            bucket.ask(key, lambda store: store.delete(key))
    if created_twice:
        raise UnsafeStoreError(
            url, "the store ignores conditional puts, so that concurrent commits would be lost", "Use another store."
        )


def storage_options(url: str) -> dict[str, str]:
    """Return the options by which deltalake reaches the same store with the same credentials."""
    access = locate(url)[0].access
    options = dict(access.options)
    if access.provider:
        names = {"access_key_id": "aws_access_key_id", "secret_access_key": "aws_secret_access_key"}
        names["token"] = "aws_session_token"
        credential = access.provider()
        options |= {option: credential[name] for name, option in names.items() if credential.get(name)}
    return options


def filesystem(url: str) -> Any:
    """Return an fsspec file system, for DuckDB, over the same store with the same credentials."""
    # Imported here because only SQL over a remote table needs fsspec.
    from obstore.fsspec import FsspecStore

    bucket = locate(url)[0]
    options = {name: value for name, value in bucket.access.options.items() if name != "allow_http"}
    return FsspecStore(
        url.partition("://")[0],  # type: ignore[call-overload]
        config=options,
        client_options={"allow_http": bucket.access.allow_http},
        retry_config=RETRIES,
        **({"credential_provider": bucket.access.provider} if bucket.access.provider else {}),
    )
