"""Reaching a bucket of an object store, over obstore, and saying what goes wrong there."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeVar

from obstore.exceptions import BaseError, InvalidPathError, PermissionDeniedError, UnauthenticatedError
from obstore.store import ObjectStore, from_url

from dbx.pixels.errors import ObjectNotFoundError, StorageError
from dbx.pixels.storage.credentials import VARIABLES, Access, anonymous, find_access
from dbx.pixels.storage.local import Object

#: Everything that obstore raises.
FAILURES = (BaseError, OSError, ValueError)
RETRIES: Any = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2},
}
_HOW_TO_SIGN = "Set the store's variables (AWS_..., AZURE_STORAGE_..., GOOGLE_...) or log in with its tools."

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Result = TypeVar("Result")


class Bucket:
    """One bucket, or container, and how it is reached.

    Attributes
    ----------
    url : str
        Its address, without a key.
    access : Access
        The credentials in use. They change to none when the store refuses those that were found and not the public.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.access = find_access(url)
        self.store = _make_store(url, self.access)

    def ask(self, key: str, question: Callable[[ObjectStore], Result]) -> Result:
        """Call ``question(store)``, and once more without credentials if access is denied.

        Raises
        ------
        StorageError
            If the store refuses, cannot be reached or does not have what was asked for.
        """
        try:
            return question(self.store)
        except FAILURES as failure:
            if is_denied(failure) and not self.access.is_anon:
                access = anonymous(self.url, self.access)
                store = _make_store(self.url, access)
                with contextlib.suppress(*FAILURES):  # then the first failure tells more
                    answer = question(store)
                    self.access, self.store = access, store
                    return answer
            raise self.error(key, failure) from failure

    def error(self, key: str, failure: Exception) -> StorageError:
        """Say a failure of obstore in the words of Pixels."""
        address = f"{self.url}/{key}" if key else self.url
        text = str(failure)
        if re.search(r"NoSuchBucket|ContainerNotFound|The specified bucket does not exist", text):
            return ObjectNotFoundError(
                self.url, "does not exist", "Check the spelling, and the endpoint if you set one."
            )
        if isinstance(failure, FileNotFoundError):
            return ObjectNotFoundError(address, "does not exist", "Check the spelling.")
        if is_denied(failure):
            if self.access.is_anon:
                return StorageError(address, "is not public, and no credentials were found", _HOW_TO_SIGN)
            return StorageError(address, "may not be read with the credentials that were found", _HOW_TO_SIGN)
        if isinstance(failure, ValueError | InvalidPathError):
            return StorageError(address, "has a name that cannot be addressed", "Avoid //, . and .. within keys.")
        if re.search(r"error sending request|timed out|TimedOut|dns error", text):
            return StorageError(address, "cannot be reached", "Check the network, and the endpoint if you set one.")
        status = re.search(r"status code: (\d{3}[ \w]*)", text)
        code = re.search(r"<Code>(\w+)</Code>", text)
        reason = ", ".join(match[1] for match in (status, code) if match) or text.partition("\n")[0]
        return StorageError(address, f"the store answered with an error: {reason}")


def is_denied(failure: BaseException | None) -> bool:
    """Tell whether a failure of obstore is one of credentials; those of listings come without a type."""
    if isinstance(failure, PermissionDeniedError | UnauthenticatedError):
        return True
    return isinstance(failure, BaseError) and re.search(r"status code: 40[13]\b", str(failure)) is not None


def _make_store(url: str, access: Access) -> ObjectStore:
    options = {name: value for name, value in access.options.items() if name != "allow_http"}
    arguments: dict[str, Any] = {"credential_provider": access.provider} if access.provider else {}
    return from_url(
        url,
        config=options,  # type: ignore[call-overload]
        client_options={"allow_http": access.allow_http, "connect_timeout": "5s", "timeout": "120s"},
        retry_config=RETRIES,
        **arguments,
    )


def locate(address: str) -> tuple[Bucket, str]:
    """Split a canonical address into its bucket and its key.

    Raises
    ------
    StorageError
        If the environment's settings for the store make no sense.
    """
    scheme, _, rest = address.partition("://")
    authority, _, key = rest.partition("/")
    url = f"{scheme}://{authority}"
    # The environment is part of the question, because people, and tests, change it while a program runs.
    variables = frozenset(item for item in os.environ.items() if item[0].startswith(VARIABLES))
    try:
        return _bucket(url, variables), key
    except FAILURES as failure:
        reason = str(failure).partition("\n")[0]
        raise StorageError(url, f"cannot be set up: {reason}", _HOW_TO_SIGN) from failure


@lru_cache(maxsize=64)
def _bucket(url: str, _variables: frozenset[tuple[str, str]]) -> Bucket:
    return Bucket(url)


def as_object(bucket: Bucket, meta: Any) -> Object:
    """Take from obstore's description of an object what a listing tells of it."""
    return f"{bucket.url}/{meta['path']}", (meta["last_modified"] - _EPOCH) // _MICROSECOND, meta["size"]
