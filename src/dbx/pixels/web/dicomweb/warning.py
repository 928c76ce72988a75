"""Telling clients what was not done as they asked (PS3.18 8.3.4.4, 10.6.3.2)."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request

from dbx.pixels.web.urls import dicomweb_root


def warning_header(request: Request, texts: Sequence[str]) -> dict[str, str]:
    """Return the header Warning with these texts; none if there are none."""
    if not texts:
        return {}
    text = "; ".join(texts).encode("ascii", "replace").decode().replace('"', "'")
    return {"Warning": f'299 {dicomweb_root(request)} "{text}"'}
