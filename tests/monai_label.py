"""Requests as the MONAI Label plug-ins of OHIF and 3D Slicer send them, byte by byte.

They were written down from what the plug-ins' clients do: `axios` with a browser's `FormData`, and Python's
`http.client` with a form that the plug-in puts together itself. Only host and length are filled in when they are sent.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, urlsplit

import httpx
from python_multipart.multipart import parse_options_header

from dbx.pixels.web.dicomweb.multipart import PartBegins, PartEnds, Splitter

_OHIF_BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
_SLICER_BOUNDARY = "----------lImIt_of_THE_fIle_eW_$"

_OHIF_HEADERS = {
    "Accept": "application/json,multipart/form-data",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-US,en;q=0.9",
    "Connection": "keep-alive",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Site": "same-origin",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36",
}
_SLICER_HEADERS = {"Accept-Encoding": "identity"}


@dataclass(frozen=True)
class Recorded:
    """A request, without host and length."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def send(self, url: str, timeout: float = 120) -> httpx.Response:
        """Send it to a server that is told as ``http://host:port/monai``, over a connection of its own."""
        parts = urlsplit(url)
        headers = {"Host": parts.netloc, **self.headers}
        if "Origin" in headers:
            headers["Origin"] = f"http://{parts.netloc}"
        if self.body or self.method in ("POST", "PUT"):
            headers["Content-Length"] = str(len(self.body))
        head = f"{self.method} {parts.path}{self.target} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        with socket.create_connection((parts.hostname, parts.port), timeout=timeout) as connection:
            connection.sendall(f"{head}\r\n".encode() + self.body)
            return _received(connection)


def ohif_info() -> Recorded:
    """*Connect* in OHIF's panel."""
    return Recorded("GET", "/info/", {**_OHIF_HEADERS, "Accept": "application/json, text/plain, */*"})


def ohif_infer(model: str, series: str, output: str = "image", dtype: str = "uint8", **params: Any) -> Recorded:
    """*Run* in OHIF's panel; older versions ask for all, and for 16 bit."""
    result = {"result_extension": ".nrrd", "result_dtype": dtype, "result_compress": False, "restore_label_idx": False}
    return _ohif("POST", f"/infer/{model}?image={series}&output={output}", _ohif_form({**params, **result}))


def ohif_next_sample(strategy: str, **params: Any) -> Recorded:
    """*Next Sample* in OHIF's panel."""
    return _ohif("POST", f"/activelearning/{strategy}", params)


def ohif_is_train_running() -> Recorded:
    """What OHIF's panel asks when it opens."""
    headers = {**_OHIF_HEADERS, "Accept": "application/json, text/plain, */*"}
    return Recorded("GET", "/train/?check_if_running=true", headers)


def ohif_run_train(**params: Any) -> Recorded:
    """*Update Model* in OHIF's panel; parameters are those that the user changed, by model."""
    return _ohif("POST", "/train/", params)


def ohif_stop_train() -> Recorded:
    """*Stop Training* in OHIF's panel."""
    headers = {**_OHIF_HEADERS, "Accept": "application/json, text/plain, */*", "Origin": ""}
    return Recorded("DELETE", "/train/", headers)


def ohif_save_label(series: str, label: bytes, names: list[dict[str, Any]]) -> Recorded:
    """*Submit Label* in OHIF's panel: bare voxels."""
    form = _ohif_form({"label_info": names}, ("label", "label.bin", "application/octet-stream", label))
    return _ohif("PUT", f"/datastore/label?image={series}", form)


def slicer_info() -> Recorded:
    """*Connect* in 3D Slicer."""
    return Recorded("GET", "/info/", _SLICER_HEADERS)


def slicer_infer(model: str, image: str, session_id: str | None = None, **params: Any) -> Recorded:
    """*Run* in 3D Slicer, on a series, or on what it sent before."""
    target = f"/infer/{quote_plus(model)}?image={quote_plus(image)}"
    if session_id:
        target += f"&session_id={session_id}"
    return _slicer_form("POST", target, {"params": json.dumps({**params, "client_id": "user-xyz"})}, {})


def slicer_next_sample(strategy: str, **params: Any) -> Recorded:
    """*Next Sample* in 3D Slicer, which sends the first choice of everything that it may configure."""
    return _slicer_json("POST", f"/activelearning/{strategy}", {**params, "client_id": "user-xyz"})


def slicer_image(series: str) -> Recorded:
    """What 3D Slicer downloads of a sample."""
    headers = {**_SLICER_HEADERS, "User-Agent": "Python-urllib/3.9", "Connection": "close"}
    return Recorded("GET", f"/datastore/image?image={series}", headers)


def slicer_datastore() -> Recorded:
    """What 3D Slicer asks after a sample, for a label that came with it."""
    return Recorded("GET", "/datastore/?output=all", _SLICER_HEADERS)


def slicer_label(series: str, tag: str) -> Recorded:
    """What 3D Slicer downloads of such a label."""
    return Recorded("GET", f"/datastore/label?label={series}&tag={tag}", _SLICER_HEADERS)


def slicer_save_label(series: str, label: bytes, names: list[dict[str, Any]], ending: str = ".nii.gz") -> Recorded:
    """*Submit label* in 3D Slicer."""
    fields = {"params": json.dumps({"label_info": names, "client_id": "user-xyz"})}
    file = f"/tmp/Slicer-user/slicer-monai-label/tmpk2v4r1xw{ending}"
    return _slicer_form("PUT", f"/datastore/label?image={series}", fields, {"label": (file, label)})


def slicer_train_start(model: str, **params: Any) -> Recorded:
    """*Train* in 3D Slicer; without a model all are trained."""
    return _slicer_json("POST", f"/train/{model}", {**params, "client_id": "user-xyz"})


def slicer_train_status(check_if_running: bool) -> Recorded:
    """What 3D Slicer asks again and again while a training goes on."""
    return Recorded("GET", "/train/?check_if_running=true" if check_if_running else "/train/", _SLICER_HEADERS)


def slicer_train_stop() -> Recorded:
    """*Stop* in 3D Slicer."""
    return Recorded("DELETE", "/train/", _SLICER_HEADERS)


def slicer_create_session(volume: bytes, name: str) -> Recorded:
    """What 3D Slicer sends of a volume that it has loaded itself; `requests` makes this form."""
    boundary = "c5f2b3a0d4e94f6b8d3f2a1b0c9e8d7f"
    headers = {
        "User-Agent": "python-requests/2.32.3",
        "Accept-Encoding": "gzip, deflate",
        "Accept": "*/*",
        "Connection": "keep-alive",
        "Content-Type": f"multipart/form-data; boundary={boundary}",
    }
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="client_id"\r\n\r\nuser-xyz\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    ).encode()
    return Recorded("PUT", "/session/", headers, body + volume + f"\r\n--{boundary}--\r\n".encode())


def slicer_get_session(session_id: str) -> Recorded:
    """What 3D Slicer asks before it uses a session again."""
    return Recorded("GET", f"/session/{session_id}", _SLICER_HEADERS)


def slicer_remove_session(session_id: str) -> Recorded:
    """What its client can do with a session that is not needed any more."""
    return Recorded("DELETE", f"/session/{session_id}", _SLICER_HEADERS)


def parts(answer: httpx.Response) -> dict[str, tuple[dict[str, str], bytes]]:
    """Headers and content of the parts of an answer that is a form, by their names."""
    boundary = parse_options_header(answer.headers["content-type"])[1][b"boundary"].decode()
    found: dict[str, tuple[dict[str, str], bytes]] = {}
    headers, content = {}, bytearray()
    for event in Splitter(boundary).feed(answer.content):
        if isinstance(event, PartBegins):
            headers, content = event.headers, bytearray()
        elif isinstance(event, PartEnds):
            name = parse_options_header(headers["content-disposition"])[1][b"name"].decode()
            found[name] = headers, bytes(content)
        else:
            content += event
    return found


def _ohif(method: str, target: str, body: bytes | dict[str, Any]) -> Recorded:
    form = isinstance(body, bytes)
    content_type = f"multipart/form-data; boundary={_OHIF_BOUNDARY}" if form else "application/json"
    content = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
    return Recorded(method, target, {**_OHIF_HEADERS, "Content-Type": content_type, "Origin": ""}, content)


def _ohif_form(params: dict[str, Any], file: tuple[str, str, str, bytes] | None = None) -> bytes:
    body = f'--{_OHIF_BOUNDARY}\r\nContent-Disposition: form-data; name="params"\r\n\r\n'.encode()
    body += f"{json.dumps(params)}\r\n".encode()
    if file:
        name, filename, content_type, content = file
        head = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\nContent-Type: {content_type}'
        body += f"--{_OHIF_BOUNDARY}\r\n{head}\r\n\r\n".encode() + content + b"\r\n"
    return body + f"--{_OHIF_BOUNDARY}--\r\n".encode()


def _slicer_json(method: str, target: str, params: dict[str, Any]) -> Recorded:
    headers = {**_SLICER_HEADERS, "content-type": "application/json"}
    return Recorded(method, target, headers, json.dumps(params).encode())


def _slicer_form(
    method: str, target: str, fields: Mapping[str, str], files: Mapping[str, tuple[str, bytes]]
) -> Recorded:
    lines: list[str | bytes] = []
    for name, value in fields.items():
        lines += [f"--{_SLICER_BOUNDARY}", f'Content-Disposition: form-data; name="{name}"', "", value]
    for name, (filename, content) in files.items():
        lines += [f"--{_SLICER_BOUNDARY}", f'Content-Disposition: form-data; name="{name}"; filename="{filename}"']
        lines += ["Content-Type: application/octet-stream", "", content]
    lines += [f"--{_SLICER_BOUNDARY}--", ""]
    body = b"".join((line if isinstance(line, bytes) else line.encode()) + b"\r\n" for line in lines)
    headers = {**_SLICER_HEADERS, "content-type": f"multipart/form-data; boundary={_SLICER_BOUNDARY}"}
    return Recorded(method, target, headers, body)


def _received(connection: socket.socket) -> httpx.Response:
    """Read one answer, as long as its Content-Length says."""
    received = bytearray()
    while b"\r\n\r\n" not in received:
        received += _some(connection)
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = [tuple(line.split(": ", 1)) for line in lines]
    length = int(dict(headers)["content-length"])
    while len(body) < length:
        body += _some(connection)
    return httpx.Response(int(status.split()[1]), headers=headers, content=body)


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 16)
    assert data, "the connection was closed before the answer's end"
    return data
