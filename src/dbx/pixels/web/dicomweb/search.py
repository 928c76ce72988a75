"""QIDO-RS: searching for studies, series and instances (PS3.18 10.6)."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import chain, repeat

import anyio.to_thread
import orjson
from pydicom.datadict import tag_for_keyword
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dbx.pixels.index import BULK_ROOT, Found, Key, Level, Search
from dbx.pixels.web.dicomweb.media import DICOM_JSON, DICOM_XML, MediaType, Part, multipart_spooled, negotiate
from dbx.pixels.web.dicomweb.native_xml import native_xml
from dbx.pixels.web.dicomweb.numbers import LARGEST, whole_number
from dbx.pixels.web.dicomweb.warning import warning_header
from dbx.pixels.web.errors import HttpError
from dbx.pixels.web.streaming import spooled
from dbx.pixels.web.urls import dicomweb_root

#: Results of one answer at most; with all attributes, of which an instance has kilobytes.
MOST = 50_000
MOST_WITH_ALL = 5_000
#: Results that are answered at once.
FEW = 2_000
#: Searches for more, or for all attributes, that go on at once: each has tens of megabytes in memory.
_LARGE = anyio.CapacityLimiter(4)
#: Query parameters that are no matching keys.
_OPTIONS = {"accept", "charset", "fuzzymatching", "includefield", "limit", "offset"}
_OFFERED = (MediaType(DICOM_JSON), MediaType("application/json"), MediaType(DICOM_XML, multipart=True))
_TAG = re.compile(r"[0-9A-Fa-f]{8}")


async def _search(request: Request, level: Level) -> Response:
    search = parse_search(request, level)
    media_type = negotiate(request, _OFFERED)
    if not search.include_all:
        few = await anyio.to_thread.run_sync(_few, request, search, media_type)
        if few:
            return few
    return await anyio.to_thread.run_sync(_all, request, search, media_type, limiter=_LARGE)


def _few(request: Request, search: Search, media_type: MediaType) -> Response | None:
    """Answer a search that has few results; None if it has more."""
    most = min(FEW, MOST)
    found = _find(request, search, most)
    return None if len(found.texts) > most else _answer(request, found.texts, found.warnings, media_type)


def _all(request: Request, search: Search, media_type: MediaType) -> Response:
    most = MOST_WITH_ALL if search.include_all else MOST
    found = _find(request, search, most)
    texts, warnings = found.texts, found.warnings
    if len(texts) > most:
        texts = texts[:most]
        warnings = [
            *warnings,
            f"There are more than {most} results: ask for the next with offset={search.offset + most}.",
        ]
    return _answer(request, texts, warnings, media_type)


def _find(request: Request, search: Search, most: int) -> Found:
    """Search for so many results, and one that tells that there are more."""
    server = request.app.state.server
    asked = search if search.limit is not None and search.limit <= most else replace(search, limit=most + 1)
    return server.index.search(asked, server.principal(request))


def _answer(request: Request, texts: list[bytes], warnings: list[str], media_type: MediaType) -> Response:
    root = dicomweb_root(request)
    headers = warning_header(request, warnings)
    if not texts:
        return Response(status_code=204, headers=headers)
    if media_type.multipart:
        parts = (Part(DICOM_XML, native_xml(orjson.loads(_resolved(text, root)))) for text in texts)
        response = multipart_spooled(parts, DICOM_XML)
        response.headers.update(headers)
        return response
    pieces = (prefix + _resolved(text, root) for prefix, text in zip(chain([b"["], repeat(b",")), texts, strict=False))
    return spooled(chain(pieces, [b"]"]), {"Content-Type": media_type.name, **headers})


async def _studies(request: Request) -> Response:
    return await _search(request, Level.STUDY)


async def _series(request: Request) -> Response:
    return await _search(request, Level.SERIES)


async def _instances(request: Request) -> Response:
    return await _search(request, Level.INSTANCE)


routes = [
    Route("/studies", _studies),
    Route("/series", _series),
    Route("/instances", _instances),
    Route("/studies/{study}/series", _series),
    Route("/studies/{study}/instances", _instances),
    Route("/studies/{study}/series/{series}/instances", _instances),
]


def parse_search(request: Request, level: Level) -> Search:
    """Read a search from the path and the query of its URL (PS3.18 8.3.4).

    Raises
    ------
    HttpError
        400, if a parameter cannot be understood.
    """
    parameters = request.query_params.multi_items()
    keys = [Key(_tags(name), value) for name, value in parameters if name.lower() not in _OPTIONS]
    options = QueryParams([(name.lower(), value) for name, value in parameters])
    fields = [field.strip() for text in options.getlist("includefield") for field in text.split(",") if field.strip()]
    return Search(
        level,
        study=request.path_params.get("study"),
        series=request.path_params.get("series"),
        keys=tuple(keys),
        include=frozenset(_tags(field)[0] for field in fields if field.lower() != "all"),
        include_all=any(field.lower() == "all" for field in fields),
        fuzzy=_truth(options.get("fuzzymatching", "false")),
        limit=_count(options, "limit"),
        offset=_count(options, "offset") or 0,
    )


def _tags(attribute: str) -> tuple[str, ...]:
    """Read an attribute: keywords or tags, those inside of sequences behind dots (PS3.18 8.3.4.1)."""
    return tuple(_tag(part) for part in attribute.split("."))


def _tag(name: str) -> str:
    if _TAG.fullmatch(name):
        return name.upper()
    tag = tag_for_keyword(name) if name else None  # pydicom knows one attribute without a keyword
    if tag is None:
        raise HttpError(400, f"{name!r} is no DICOM attribute: give its keyword, or its tag as GGGGEEEE")
    return f"{tag:08X}"


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise HttpError(400, f"fuzzymatching={text} is neither true nor false")
    return text.lower() == "true"


def _count(options: QueryParams, name: str) -> int | None:
    text = options.get(name)
    if text is None:
        return None
    number = whole_number(text)
    if number is None:
        raise HttpError(400, f"{name}={text} is no number of results from 0 to {LARGEST}")
    return number


def _resolved(text: bytes, root: str) -> bytes:
    return text.replace(BULK_ROOT, root.encode())
