"""`pixels serve`: the viewer and DICOMweb on a port of this machine."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import signal
import sys
from collections.abc import Iterable
from contextlib import closing
from tempfile import TemporaryDirectory
from typing import Any

import click
import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.supervisors import Multiprocess

from dbx.pixels.catalog import Catalog
from dbx.pixels.cli.listening import listen
from dbx.pixels.cli.options import with_catalog
from dbx.pixels.errors import ArgumentError
from dbx.pixels.index import Level, ServingIndex
from dbx.pixels.web.allocation import give_memory_back

#: How workers, which are processes of their own, learn what to serve.
_SETTINGS = "PIXELS_SERVE_SETTINGS"
#: Seconds that running requests get to finish when the server is stopped.
_GRACE = 30

_EMPTY = (
    "Nothing is in the table yet. Fill it with `pixels ingest PATH`, with the same --home and --table if you gave them."
)
_HOST_NAME = re.compile(r"[\w.-]+", re.ASCII)


@click.command()
@with_catalog
@click.option("--port", default=8042, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free one")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="address to listen on; loopback only without login"
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    metavar="NAME",
    multiple=True,
    help="name by which a proxy with login is called that stands in front; may be repeated",
)
@click.option("--index", "index_url", metavar="URL", help="serving index, such as postgresql://...  [default: a file]")
@click.option(
    "--serving-endpoint", metavar="URL", help="run the model that is served there instead of those of the home folder"
)
@click.option(
    "--monai-label-url", metavar="URL", help="have that MONAI Label server answer at /monai instead of this one"
)
@click.option(
    "--unity-catalog",
    metavar="NAME",
    help="in a Databricks App: answer those whom Unity Catalog lets read this table, catalog.schema.table",
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(min=1), help="processes that answer")
def serve(
    catalog: Catalog,
    port: int,
    host: str,
    allowed_hosts: tuple[str, ...],
    index_url: str | None,
    serving_endpoint: str | None,
    monai_label_url: str | None,
    unity_catalog: str | None,
    workers: int,
) -> None:
    """Serve the viewer at / and DICOMweb at /dicom-web until interrupted.

    What other processes ingest meanwhile appears within two seconds.
    """
    run(
        catalog,
        host=host,
        port=port,
        allowed_hosts=allowed_hosts,
        index_url=index_url,
        serving_endpoint=serving_endpoint,
        monai_label_url=monai_label_url,
        unity_catalog=unity_catalog,
        workers=workers,
    )


def run(
    catalog: Catalog,
    *,
    host: str,
    port: int,
    allowed_hosts: Iterable[str] = (),
    index_url: str | None = None,
    serving_endpoint: str | None = None,
    monai_label_url: str | None = None,
    unity_catalog: str | None = None,
    workers: int = 1,
) -> None:
    """Serve a catalog until the process is interrupted; requests that are running then are finished.

    Raises
    ------
    ArgumentError
        If the address is not one of this machine's own, or cannot be listened on, or a name or a URL is none.
    TableError
        If the table or the index cannot be read.
    """
    give_memory_back()  # before there are threads
    if unity_catalog:
        from dbx.pixels.web.databricks import UnityCatalog

        UnityCatalog.from_environment(unity_catalog)
    elif not _is_loopback(host):
        raise ArgumentError(
            f"--host {host}",
            "would let everybody on the network read patient data: this version has no login",
            "Use 127.0.0.1, and a tunnel, or a proxy with login in front of it: see --allowed-host.",
        )
    for name in allowed_hosts:
        if not _HOST_NAME.fullmatch(name):
            raise ArgumentError(f"--allowed-host {name}", "is no name of a host", "Write it as pixels.example.org.")
    if monai_label_url:
        from dbx.pixels.web.monai.proxy import checked_url

        checked_url(monai_label_url)
    listener = listen(host, port)
    settings: dict[str, Any] = {"home": str(catalog.home.root), "table": catalog.table, "volume": catalog.volume}
    settings |= {"index_url": index_url, "serving_endpoint": serving_endpoint, "monai_label_url": monai_label_url}
    settings |= {"hosts": [host, *allowed_hosts], "unity_catalog": unity_catalog}
    os.environ[_SETTINGS] = json.dumps(settings)
    config = uvicorn.Config(
        "dbx.pixels.cli.serve:application",
        factory=True,
        workers=workers,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=_GRACE,
        server_header=False,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it ends like Ctrl+C
    try:
        is_empty = _prepare(catalog, index_url)
        listener.listen()  # whoever calls from here on is answered
        address = f"http://{host if ':' not in host else f'[{host}]'}:{listener.getsockname()[1]}"
        click.echo(f"Viewer:   {address}/\nDICOMweb: {address}/dicom-web\nStop with Ctrl+C.", err=True)
        if is_empty:
            click.echo(_EMPTY, err=True)
        if workers > 1:
            with TemporaryDirectory(prefix="pixels-metrics-") as folder:
                os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
                _Workers(config, sockets=[listener]).run()
        else:
            server = uvicorn.Server(config)
            server.run(sockets=[listener])
            if not server.started:
                sys.exit(1)
    except KeyboardInterrupt:
        pass
    click.echo("Stopped.", err=True)


def application() -> object:
    """Make the application of one worker, which finds in its environment what to serve."""
    from dbx.pixels.web.app import create_app
    from dbx.pixels.web.databricks import UnityCatalog
    from dbx.pixels.web.logs import log_as_json
    from dbx.pixels.web.server import Server

    give_memory_back()
    log_as_json()
    settings = json.loads(os.environ[_SETTINGS])
    catalog = Catalog(table=settings["table"], volume=settings["volume"], home=settings["home"])
    server = Server(catalog, settings["index_url"], settings["serving_endpoint"])
    unity_catalog = UnityCatalog.from_environment(settings["unity_catalog"]) if settings["unity_catalog"] else None
    return create_app(server, settings["hosts"], settings["monai_label_url"], unity_catalog)


class _Workers(Multiprocess):
    """Processes that answer; those that ended are taken out of the metrics of what is running."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._pids: set[int | None] = set()

    def keep_subprocess_alive(self) -> None:
        super().keep_subprocess_alive()
        pids = {process.pid for process in self.processes}
        for pid in self._pids - pids:
            mark_process_dead(pid)
        self._pids = pids


def _prepare(catalog: Catalog, index_url: str | None) -> bool:
    """Bring the index up to date, so that what is wrong with it is told once; tell whether it is empty."""
    with closing(ServingIndex.open(catalog, index_url)) as index:
        index.sync()
        return index.totals()[Level.INSTANCE] == 0


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
