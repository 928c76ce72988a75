"""URLs of resources as the client that asks can resolve them."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request


def service_root(request: Request) -> str:
    """Return the root of the DICOMweb service as this client calls it, such as ``http://host:8042/dicom-web``."""
    return f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path', '')}"


def resource_url(root: str, study: str, series: str | None = None, instance: str | None = None) -> str:
    """Return the URL of a study, a series or an instance (PS3.18 10.4.1.1)."""
    url = f"{root}/studies/{quote(study)}"
    if series is not None:
        url += f"/series/{quote(series)}"
    if instance is not None:
        url += f"/instances/{quote(instance)}"
    return url
