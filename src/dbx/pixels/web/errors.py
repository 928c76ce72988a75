"""Errors as HTTP answers them: a status, and JSON that says what was wrong."""

from __future__ import annotations

import logging
from pathlib import PurePath

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dbx.pixels.errors import (
    ArgumentError,
    DicomError,
    EngineError,
    IndexUnavailableError,
    ModelError,
    ModelNotFoundError,
    ModelNotReadyError,
    PixelsError,
    SeriesNotFoundError,
    ServingError,
    StorageError,
    TrainingError,
    UnsuitableSegmentationError,
    UnsuitableSeriesError,
)

#: Of errors that are not the server's; others are 500.
_STATUSES = (
    ((ArgumentError, UnsuitableSeriesError, UnsuitableSegmentationError), 400),
    ((ModelNotFoundError, SeriesNotFoundError), 404),
    ((ModelNotReadyError, TrainingError), 409),
    ((EngineError,), 501),  # an extra is not installed
    ((ServingError,), 502),
    ((IndexUnavailableError,), 503),
)

_log = logging.getLogger(__name__)


class HttpError(HTTPException):
    """What a handler raises to answer with a status.

    Parameters
    ----------
    status : int
        HTTP status code.
    detail : str
        What was wrong, for the client; names no patient.
    headers : dict, optional
        Further headers of the answer.
    """

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)


def answer_http_error(_request: Request, error: Exception) -> Response:
    """Answer a status that a handler or the router raised."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def answer_pixels_error(_request: Request, error: Exception) -> Response:
    """Answer one of our own errors: the client's fault if what it asked for cannot be, else the server's."""
    assert isinstance(error, PixelsError)
    status = status_of(error)
    if status < 500 or isinstance(error, EngineError):
        return JSONResponse({"error": str(error)}, status)
    # Its subject may be a path; that of a model's folder ends in its name.
    name = f"{PurePath(error.subject).name}: " if isinstance(error, ModelError) else ""
    told = f"{name}{error.problem}. {error.remedy}".strip()
    # Paths of objects have UIDs in them, or names of patients, which the log does not hold either.
    _log.error("%s", f"{type(error).__name__}: {told}" if isinstance(error, (StorageError, DicomError)) else error)
    return JSONResponse({"error": told}, status)


def answer_memory_error(_request: Request, _error: Exception) -> Response:
    """Answer that something is too much now: with less to do at the same time it may be had."""
    _log.error("there is not enough memory for a request")
    return JSONResponse({"error": "the server has not enough memory for this now"}, 503)


def status_of(error: PixelsError) -> int:
    """Return the HTTP status code of an error."""
    return next((status for kinds, status in _STATUSES if isinstance(error, kinds)), 500)


def answer_unexpected_error(_request: Request, _error: Exception) -> Response:
    """Answer a fault of ours; what it was goes to the log, not to the client."""
    return JSONResponse({"error": "the server failed; its log says why"}, 500)
