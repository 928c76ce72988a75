"""Addresses of studies, series and instances below the root of a DICOMweb service."""

from __future__ import annotations

import re
from urllib.parse import quote

_UID = re.compile(r"[0-9.]+")


def resource_url(root: str, study: str, series: str | None = None, instance: str | None = None) -> str:
    """Return the URL of a study, a series or an instance (PS3.18 10.4.1.1)."""
    url = f"{root}/studies/{quoted(study)}"
    if series is not None:
        url += f"/series/{quoted(series)}"
    if instance is not None:
        url += f"/instances/{quoted(instance)}"
    return url


def quoted(uid: str) -> str:
    """Return a UID as it stands in a URL. What is one needs no quoting, which takes long where there are many."""
    return uid if _UID.fullmatch(uid) else quote(uid, safe="")
