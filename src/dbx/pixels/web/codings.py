"""Content codings that clients accept (RFC 9110 12.5.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from starlette.requests import Request

_REFUSED = re.compile(r"\s*q\s*=\s*0(\.0*)?\s*")


def accepted_coding(request: Request, offered: Iterable[str]) -> str | None:
    """Return the first content coding among those offered that a client accepts; None if it accepts none of them."""
    accepted = {}
    for entry in ",".join(request.headers.getlist("accept-encoding")).lower().split(","):
        coding, _, parameter = entry.partition(";")
        accepted[coding.strip()] = not _REFUSED.fullmatch(parameter)
    return next((coding for coding in offered if accepted.get(coding, accepted.get("*", False))), None)
