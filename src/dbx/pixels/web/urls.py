"""URLs of resources as the client that asks can resolve them."""

from __future__ import annotations

from starlette.requests import Request

#: Where the DICOMweb services are mounted.
DICOMWEB = "/dicom-web"

_USUAL_PORTS = {"http": 80, "https": 443}
#: Headers that proxies add.
_FORWARDING = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "via")


def dicomweb_root(request: Request) -> str:
    """Return the root of the DICOMweb services as this client calls it, such as ``http://host:8042/dicom-web``.

    Some clients, dicomweb-client among them, leave the port out of the Host header. Where no proxy says that it stands
    in between, it is the port of this server.
    """
    url = request.base_url
    netloc = url.netloc
    port = (request.scope.get("server") or ("", None))[1]
    if url.port is None and port and port != _USUAL_PORTS.get(url.scheme) and not _is_forwarded(request):
        netloc = f"{netloc}:{port}"
    return f"{url.scheme}://{netloc}{url.path.rstrip('/')}{DICOMWEB}"


def _is_forwarded(request: Request) -> bool:
    return any(name in request.headers for name in _FORWARDING)
