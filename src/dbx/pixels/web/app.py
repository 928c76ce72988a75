"""The application: all routes, and what stands before them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, multiprocess
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from dbx.pixels.errors import PixelsError
from dbx.pixels.web import errors, viewer_files
from dbx.pixels.web.ai import routes as ai
from dbx.pixels.web.databricks import DatabricksLogin, UnityCatalog
from dbx.pixels.web.dicomweb import retrieve, search, store
from dbx.pixels.web.guard import Guard
from dbx.pixels.web.monai import routes as monai
from dbx.pixels.web.monai.proxy import MonaiLabelProxy
from dbx.pixels.web.observing import Observer
from dbx.pixels.web.server import Server
from dbx.pixels.web.urls import DICOMWEB


def create_app(
    server: Server,
    hosts: Iterable[str] = (),
    monai_label_url: str | None = None,
    unity_catalog: UnityCatalog | None = None,
) -> Starlette:
    """Make the ASGI application.

    Parameters
    ----------
    server : Server
        What is served; started and stopped with the application.
    hosts : iterable of str
        Names by which clients may call the server, besides those of loopback: see `Guard`.
    monai_label_url : str, optional
        URL of a MONAI Label server that answers at ``/monai`` instead of this one.
    unity_catalog : UnityCatalog, optional
        Decides who is let in; the server is called through the proxy of Databricks Apps then.

    Raises
    ------
    ArgumentError
        If that is no URL.
    """
    proxy = MonaiLabelProxy(monai_label_url) if monai_label_url else None
    login = [Middleware(DatabricksLogin, catalog=unity_catalog)] if unity_catalog else []

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await run_in_threadpool(server.start)
        yield
        if proxy:
            await proxy.close()
        await run_in_threadpool(server.stop)

    app = Starlette(
        routes=[
            Mount(DICOMWEB, routes=[*retrieve.routes, *search.routes, *store.routes]),
            Mount("/api/ai", routes=ai.routes),
            Mount("/monai", routes=proxy.routes if proxy else monai.routes),
            Route("/healthz", _health),
            Route("/metrics", _metrics),
            *viewer_files.routes,
        ],
        middleware=[Middleware(Observer), *login, Middleware(Guard, hosts=hosts, any_host=bool(login))],
        exception_handlers={
            HTTPException: errors.answer_http_error,
            PixelsError: errors.answer_pixels_error,
            MemoryError: errors.answer_memory_error,
            Exception: errors.answer_unexpected_error,
        },
        lifespan=lifespan,
    )
    app.state.server = server
    return app


async def _health(request: Request) -> Response:
    server: Server = request.app.state.server
    status = "ok" if server.problem is None else "behind"
    return JSONResponse({"status": status, "synced": server.synced.isoformat(timespec="milliseconds")})


async def _metrics(_request: Request) -> Response:
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:  # several workers add up
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
