"""The viewer's files: OHIF with our extension, as `make viewer` put them beside this module."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from dbx.pixels.web.codings import accepted_coding
from dbx.pixels.web.errors import HttpError

#: Where `viewer/build.py` puts them: what compresses well as ``name.br`` and ``name.gz``, all else as it is.
FOLDER: Final = Path(__file__).parent / "viewer"

#: First segments of the addresses that are pages of the viewer, besides the study list: modes, and OHIF's notices.
PAGES: Final = frozenset(("viewer", "tmtv", "dynamic-volume", "usAnnotation", "notfoundserver", "notfoundstudy"))

_SUFFIXES: Final = {".br": "br", ".gz": "gzip"}
_IDENTITY: Final = "identity"
_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
}
#: Names that change with their content, such as ``app.bundle.0f6159c501addfe9.js``.
_HASHED: Final = re.compile(r"(^|[./])[0-9a-f]{16}\.")

_NOT_BUILT: Final = """<!doctype html>
<html lang="en"><title>Pixels</title>
<h1>The viewer is not part of this installation</h1>
<p>DICOMweb is served at <code>/dicom-web</code>. To get the viewer, too, run <code>make viewer</code> in the folder of
the sources, or install a wheel made by <code>make wheel</code>; then start the server again.</p>
</html>
"""


@dataclass(frozen=True)
class _File:
    """A file of the viewer.

    Attributes
    ----------
    paths : mapping of str to pathlib.Path
        By content coding, the preferred one first.
    media_type : str
        What it is, for Content-Type.
    tag : str or None
        Hash of the content; None if the name has one in it.
    """

    paths: Mapping[str, Path]
    media_type: str
    tag: str | None


@dataclass(frozen=True)
class _Viewer:
    """All files by their names, and the Content-Security-Policy that goes with each of them."""

    files: Mapping[str, _File]
    policy: str


def load_viewer() -> _Viewer | None:
    """Look at what is there, once for each time that it is built; None if the viewer was not built."""
    try:
        built = FOLDER.stat()
    except FileNotFoundError:
        return None
    return _viewer_in(FOLDER, (built.st_ino, built.st_mtime_ns))


@lru_cache(maxsize=1)
def _viewer_in(folder: Path, _built: tuple[int, int]) -> _Viewer | None:
    paths: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            coding = _SUFFIXES.get(path.suffix, _IDENTITY)
            whole = path if coding == _IDENTITY else path.with_suffix("")
            paths.setdefault(whole.relative_to(folder).as_posix(), {})[coding] = path
    if "index.html" not in paths:
        return None
    files = {name: _file(name, by_coding) for name, by_coding in paths.items()}
    return _Viewer(files, _policy(gzip.decompress(paths["index.html"]["gzip"].read_bytes())))


def _file(name: str, paths: dict[str, Path]) -> _File:
    tag = None if _HASHED.search(name) else hashlib.sha256(next(iter(paths.values())).read_bytes()).hexdigest()[:16]
    return _File(paths, _TYPES.get(Path(name).suffix, "application/octet-stream"), tag)


def _policy(page: bytes) -> str:
    """Write what the viewer may do: run and load nothing that this server does not have.

    OHIF's codec for JPEG-LS makes functions from text, hence ``unsafe-eval``; its components bring style with them; its
    workers are blobs.
    """
    scripts = (hashlib.sha256(text).digest() for text in re.findall(rb"<script>(.*?)</script>", page, re.DOTALL))
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in scripts)
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src 'self' 'unsafe-eval' blob: {hashes}",
            "worker-src 'self' blob:",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self' data: blob:",
            "media-src 'self' data: blob:",
            "object-src 'self' blob:",
            "frame-src 'self' blob:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'self'",
        )
    )


async def _answer(request: Request) -> Response:
    name: str = request.path_params["name"]
    page = not name or name.split("/", 1)[0] in PAGES
    viewer = await run_in_threadpool(load_viewer)
    if viewer is None and page:
        return HTMLResponse(_NOT_BUILT, 503)
    file = viewer and viewer.files.get("index.html" if page else name)
    if not viewer or not file:
        raise HttpError(404, "there is no such page")

    coding = accepted_coding(request, file.paths) or _IDENTITY
    headers = {
        "Cache-Control": "no-cache" if file.tag else "public, max-age=31536000, immutable",
        "Content-Security-Policy": viewer.policy,
        "Referrer-Policy": "no-referrer",  # addresses have UIDs in them
        "Vary": "Accept-Encoding",
    }
    if file.tag:
        headers["ETag"] = f'"{file.tag}-{coding}"'
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
    if coding != _IDENTITY:
        headers["Content-Encoding"] = coding
    try:
        content = await run_in_threadpool(_read, file, coding)
    except FileNotFoundError:
        raise HttpError(503, "the viewer is being built anew: try again", {"Retry-After": "1"}) from None
    return Response(content, media_type=file.media_type, headers=headers)


def _read(file: _File, coding: str) -> bytes:
    """Read a file as it is sent; the largest has a few megabytes."""
    if coding in file.paths:
        return file.paths[coding].read_bytes()
    return gzip.decompress(file.paths["gzip"].read_bytes())


#: The last of the application's routes: whatever is no file and no page is 404, not the study list.
routes: list[BaseRoute] = [Route("/{name:path}", _answer, methods=["GET"])]
