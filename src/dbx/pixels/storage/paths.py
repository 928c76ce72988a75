"""Addresses of objects: their one canonical spelling, zip members, names, extensions and patterns."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

from dbx.pixels.errors import ArgumentError

#: Schemes of object stores, each under all the names it goes by, to the one that Pixels keeps.
CLOUD_SCHEMES = {
    "s3": "s3",
    "s3a": "s3",
    "s3n": "s3",
    "gs": "gs",
    "gcs": "gs",
    "az": "az",
    "azure": "az",
    "abfs": "abfss",
    "abfss": "abfss",
}

ZIP_PREFIX = "zip://"
_MEMBER_END = "::"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/")


def canonical(path: str | os.PathLike[str]) -> str:
    """Spell an address the one way in which tables keep it.

    Local paths become absolute, with ``~`` expanded and links left unresolved, so that a path means the same on every
    engine; ``file:`` and ``dbfs:`` are taken off.

    Parameters
    ----------
    path : str or path-like
        A local path, a ``file:``, ``dbfs:``, ``s3://``, ``gs://``, ``az://``, ``abfss://`` or ``zip://`` address.

    Returns
    -------
    str
        The address, without a slash at its end.

    Raises
    ------
    ArgumentError
        If the address is empty, is not valid text, or has a scheme that Pixels does not know.
    """
    text = os.fspath(path)
    if not text or "\0" in text or not _is_utf8(text):
        raise ArgumentError(printable(text), "is not a path", "Give a folder, a file or a bucket.")
    if text.startswith(ZIP_PREFIX):
        member, archive = split_zip_address(text)
        return zip_address(member, canonical(archive))
    match = _SCHEME.match(text)
    scheme = match[1].lower() if match else ""
    if scheme == "file":
        # RFC 8089 writes file:///a%20b; Hadoop writes file:/a b, without escapes.
        rest = text[len("file:") :]
        return _absolute(unquote(rest[len("//") :].removeprefix("localhost")) if rest.startswith("//") else rest)
    if scheme == "dbfs":
        inside = "/" + text[len("dbfs:") :].lstrip("/")
        return _absolute(inside if inside.startswith("/Volumes/") else "/dbfs" + inside)
    if scheme in CLOUD_SCHEMES and text.startswith("://", len(scheme)):
        rest = text[len(scheme) + len("://") :].rstrip("/")
        if not rest or rest.startswith("/"):
            raise ArgumentError(text, "names no bucket", f"Write {scheme}://bucket/prefix.")
        return f"{CLOUD_SCHEMES[scheme]}://{rest}"
    if scheme and text.startswith("://", len(scheme)):
        known = ", ".join(f"{name}://" for name in dict.fromkeys(CLOUD_SCHEMES.values()))
        raise ArgumentError(text, f"has a scheme that cannot be read: {scheme}://", f"Use a local path, {known}.")
    return _absolute(text)


def _absolute(path: str) -> str:
    # `..` is taken away as text: os.path.realpath would resolve links.
    absolute = os.path.abspath(Path(path).expanduser())  # noqa: PTH100 - Path.absolute keeps `..`
    # POSIX lets two leading slashes mean something else, and nothing that Pixels reads does.
    return "/" + absolute.lstrip("/")


def scheme_of(address: str) -> str:
    """Return ``"s3"``, ``"gs"``, ``"az"``, ``"abfss"``, ``"zip"``, or ``""`` for a local path."""
    return address.partition("://")[0] if "://" in address and not address.startswith("/") else ""


def is_remote(address: str) -> bool:
    """Tell whether a canonical address lies in an object store; a zip member lies where its archive does."""
    if is_zip_address(address):
        return is_remote(split_zip_address(address)[1])
    return scheme_of(address) in CLOUD_SCHEMES


def is_zip_address(address: str) -> bool:
    """Tell whether an address names a member of a zip archive."""
    return address.startswith(ZIP_PREFIX)


def zip_address(member: str, archive: str) -> str:
    """Join a member's name and its archive's address to ``zip://member::archive``.

    Parameters
    ----------
    member : str
        The name as the archive has it.
    archive : str
        Address of the archive, itself a zip address if it lies in another one.
    """
    escaped = member.replace("%", "%25").replace(_MEMBER_END, "%3A%3A")
    if escaped.endswith(":"):
        escaped = escaped[:-1] + "%3A"
    return f"{ZIP_PREFIX}{escaped}{_MEMBER_END}{archive}"


def split_zip_address(address: str) -> tuple[str, str]:
    """Split ``zip://member::archive`` into the member's name and the archive's address.

    Raises
    ------
    ArgumentError
        If the address is none of a zip member.
    """
    escaped, separator, archive = address.removeprefix(ZIP_PREFIX).partition(_MEMBER_END)
    if not is_zip_address(address) or not separator or not escaped or not archive:
        raise ArgumentError(address, "is no address of a zip member", "Write zip://member::archive.")
    return escaped.replace("%3A", ":").replace("%25", "%"), archive


def name_of(address: str) -> str:
    """Return the last part of an address; for a zip member, of the member's name."""
    if is_zip_address(address):
        address = split_zip_address(address)[0]
    return address.rpartition("/")[2]


def extension(address: str) -> str:
    """Return the lower-case extension of an address without its dot, or an empty string; see `split_extension`."""
    return split_extension(name_of(address))[1]


def split_extension(name: str) -> tuple[str, str]:
    """Split a name into its stem and its lower-case extension without the dot.

    DICOM files are often named by a UID, whose last component is no extension: one has at least one letter.
    """
    stem, _, suffix = name.rpartition(".")
    if not stem or suffix.isdigit() or not suffix.isalnum():
        return name, ""
    return stem, suffix.lower()


def relative_path(address: str, root: str) -> str:
    """Return an address as seen from the root that it was listed under.

    A zip member continues its archive: ``study.zip/series/1.dcm``. The root itself is seen by its name.
    """
    if is_zip_address(address) and not is_zip_address(root):
        member, archive = split_zip_address(address)
        return f"{relative_path(archive, root)}/{member.lstrip('/')}"
    folder = root if root.endswith("/") else root + "/"
    return address.removeprefix(folder) if address.startswith(folder) else name_of(address)


@lru_cache
def glob_filter(pattern: str) -> Callable[[str], bool]:
    """Make the test of whether a relative path matches a pattern.

    ``*`` and ``?`` stay within a name, ``**`` spans folders, ``[ab]`` and ``[!ab]`` are one character, ``{dcm,ima}``
    one of several words. A pattern without a slash is held against the object's name, one with a slash against the
    entire relative path. Case matters.

    Raises
    ------
    ArgumentError
        If the pattern cannot be understood.
    """
    expression = _translate(pattern.lstrip("/"))
    if "/" not in pattern:
        expression = rf"(?:.*/)?{expression}"
    try:
        match = re.compile(expression, re.DOTALL).fullmatch
    except re.error as error:
        raise ArgumentError(pattern, "is no pattern", "Write for example *.dcm or 2024/**/*.{dcm,ima}.") from error
    return lambda relative: match(relative) is not None


_GLOB_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[[!^]?\]?[^\]]*\]|\{|\}|,|.", re.DOTALL)
_GLOB_WILDCARDS = {"**/": r"(?:.*/)?", "**": r".*", "*": r"[^/]*", "?": r"[^/]", "{": "(?:", "}": ")"}


def _translate(pattern: str) -> str:
    expression = []
    depth = 0
    for token in _GLOB_TOKEN.findall(pattern):
        depth += (token == "{") - (token == "}")
        if token in _GLOB_WILDCARDS:
            expression.append(_GLOB_WILDCARDS[token])
        elif token == "," and depth:
            expression.append("|")
        elif len(token) > 1:
            negation = "^" if token[1] in "!^" else ""
            members = token[1 + len(negation) : -1].replace("\\", r"\\").replace("[", r"\[").replace("]", r"\]")
            expression.append(f"(?!/)[{negation}{members}]")
        else:
            expression.append(re.escape(token))
    return "".join(expression)


def printable(text: str) -> str:
    """Return text in which bytes that are no UTF-8 are written as escapes, fit for messages and tables."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
