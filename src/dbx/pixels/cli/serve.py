"""`pixels serve`: the viewer and DICOMweb on a port of this machine."""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import socket
import sys
import tempfile

import click
import uvicorn
from uvicorn.supervisors import Multiprocess

from dbx.pixels.catalog import Catalog
from dbx.pixels.cli.options import with_catalog
from dbx.pixels.errors import ArgumentError

#: How workers, which are processes of their own, learn what to serve.
_SETTINGS = "PIXELS_SERVE_SETTINGS"
#: Seconds that running requests get to finish when the server is stopped.
_GRACE = 30


@click.command()
@with_catalog
@click.option("--port", default=8042, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free one")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="address to listen on; loopback only without login"
)
@click.option("--index", "index_url", metavar="URL", help="serving index, such as postgresql://...  [default: a file]")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(min=1), help="processes that answer")
def serve(catalog: Catalog, port: int, host: str, index_url: str | None, workers: int) -> None:
    """Serve the viewer at / and DICOMweb at /dicom-web until interrupted.

    What other processes ingest meanwhile appears within two seconds.
    """
    run(catalog, host=host, port=port, index_url=index_url, workers=workers)


def run(catalog: Catalog, *, host: str, port: int, index_url: str | None = None, workers: int = 1) -> None:
    """Serve a catalog until the process is interrupted; requests that are running then are finished.

    Raises
    ------
    ArgumentError
        If the address is not one of this machine's own, or cannot be listened on.
    """
    if not _is_loopback(host):
        raise ArgumentError(
            f"--host {host}",
            "would let everybody on the network read patient data: this version has no login",
            "Use 127.0.0.1, and a tunnel or a proxy with login in front of it.",
        )
    listener = _listen(host, port)
    address = f"http://{host if ':' not in host else f'[{host}]'}:{listener.getsockname()[1]}"
    os.environ[_SETTINGS] = json.dumps(
        {"home": str(catalog.home.root), "table": catalog.table, "volume": catalog.volume, "index_url": index_url}
    )
    if workers > 1:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="pixels-metrics-")
    click.echo(f"Viewer:   {address}/\nDICOMweb: {address}/dicom-web\nStop with Ctrl+C.", err=True)
    config = uvicorn.Config(
        "dbx.pixels.cli.serve:application",
        factory=True,
        workers=workers,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=_GRACE,
        server_header=False,
    )
    if workers > 1:
        Multiprocess(config, sockets=[listener]).run()
        return
    server = uvicorn.Server(config)
    server.run(sockets=[listener])
    if not server.started:
        sys.exit(1)


def is_free(port: int) -> bool:
    """Tell whether a port of loopback can be listened on."""
    try:
        _listen("127.0.0.1", port).close()
    except ArgumentError:
        return False
    return True


def application() -> object:
    """Make the application of one worker, which finds in its environment what to serve."""
    from dbx.pixels.web.app import create_app
    from dbx.pixels.web.server import Server

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    settings = json.loads(os.environ[_SETTINGS])
    catalog = Catalog(table=settings["table"], volume=settings["volume"], home=settings["home"])
    return create_app(Server(catalog, settings["index_url"]))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ArgumentError(
            f"port {port}", f"cannot be listened on: {error.strerror}", "Choose another: --port 0 takes a free one."
        ) from error
    listener.set_inheritable(True)
    return listener
