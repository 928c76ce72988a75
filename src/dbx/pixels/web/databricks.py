"""Login by Databricks: the proxy of its Apps tells who asks, and Unity Catalog whether they may read the table."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from typing import Any

import httpx
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from dbx.pixels.engine.spark.sql import identifier
from dbx.pixels.errors import ArgumentError
from dbx.pixels.table import TableName

#: What Databricks, or ``app.yaml``, sets in the environment of an App.
HOST, WAREHOUSE = "DATABRICKS_HOST", "DATABRICKS_WAREHOUSE_ID"

#: Seconds for which Unity Catalog's answer holds.
_GRANTED, _REFUSED = 300.0, 10.0
#: Users that are remembered.
_MOST = 10_000
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)

_TOKEN = "x-forwarded-access-token"
_READING = ("GET", "HEAD", "OPTIONS")
#: What is answered to anybody: whether the server lives.
_OPEN = ("/healthz",)

_log = logging.getLogger(__name__)


class UnityCatalog:
    """Asks Unity Catalog whether users may read a table, with their own tokens.

    Who may not select from the table gets an error of its SQL. Row filters and column masks are counted by the same
    query: what this server answers from knows nothing of them.

    Parameters
    ----------
    table : str
        Its three-level name.
    host : str
        Of the workspace.
    warehouse : str
        The identifier of the SQL warehouse that answers.
    """

    def __init__(self, table: str, host: str, warehouse: str) -> None:
        self.table = TableName.parse(table)
        self._url = f"{host if '://' in host else f'https://{host}'}/api/2.0/sql/statements"
        self._warehouse = warehouse
        self._answers: dict[bytes, _Answer] = {}

    @classmethod
    def from_environment(cls, table: str) -> UnityCatalog:
        """Take the workspace and the warehouse from the environment.

        Raises
        ------
        ArgumentError
            If it does not tell them, or `table` is no name.
        """
        for name in (HOST, WAREHOUSE):
            if not os.environ.get(name):
                raise ArgumentError(name, "is not set", "Databricks sets it in an App whose app.yaml is ours.")
        return cls(table, os.environ[HOST], os.environ[WAREHOUSE])

    async def may_read(self, token: str) -> bool:
        """Tell whether the user that a token is from may read all of the table.

        Raises
        ------
        httpx.HTTPError
            If Databricks does not answer.
        """
        user = hashlib.sha256(token.encode()).digest()
        answer = self._answers.get(user)
        if answer is None or answer.is_old:
            if len(self._answers) >= _MOST:
                self._answers.clear()
            answer = self._answers[user] = _Answer(asyncio.create_task(self._ask(token)))
        return await asyncio.shield(answer.task)  # others wait for it, too

    async def _ask(self, token: str) -> bool:
        async with httpx.AsyncClient(timeout=_TIMEOUT, headers={"Authorization": f"Bearer {token}"}) as client:
            response = await client.post(self._url, json=self._statement())
        if response.status_code in (401, 403):
            return False
        response.raise_for_status()
        try:
            answer = response.json()
            state = answer["status"]["state"]
            if state == "SUCCEEDED":
                return answer["result"]["data_array"] == [["0"]]
        except (ValueError, KeyError, TypeError) as error:
            raise httpx.HTTPError("the answer is none of a SQL warehouse") from error
        if state == "FAILED":
            return False
        raise httpx.HTTPError("the SQL warehouse did not answer in time")

    def _statement(self) -> dict[str, Any]:
        catalog, schema, table = map(identifier, self.table)
        rules = " UNION ALL ".join(
            f"SELECT table_name FROM {catalog}.information_schema.{of}"
            " WHERE schema_name = lower(:schema) AND table_name = lower(:table)"
            for of in ("row_filters", "column_masks")
        )
        reading = f"SELECT path FROM {catalog}.{schema}.{table} WHERE false"
        return {
            "statement": f"SELECT count(*) FROM ({rules} UNION ALL {reading})",
            "parameters": [
                {"name": "schema", "value": self.table.schema},
                {"name": "table", "value": self.table.table},
            ],
            "warehouse_id": self._warehouse,
            "wait_timeout": "50s",
            "on_wait_timeout": "CANCEL",
        }


class _Answer:
    """An answer of Unity Catalog, or the question on its way."""

    def __init__(self, task: asyncio.Task[bool]) -> None:
        self.task = task
        self._asked = time.monotonic()

    @property
    def is_old(self) -> bool:
        """Whether to ask again."""
        if not self.task.done():
            return False
        if self.task.cancelled() or self.task.exception():
            return True
        return time.monotonic() > self._asked + (_GRANTED if self.task.result() else _REFUSED)


class DatabricksLogin:
    """Lets in who may read the table, for reading.

    The proxy of Databricks Apps puts the user's token into ``X-Forwarded-Access-Token``, and what the user called into
    ``X-Forwarded-Host``. Whoever gets around the proxy needs a token that Databricks takes, too.

    Parameters
    ----------
    app : ASGI application
        What is guarded.
    catalog : UnityCatalog
        Whom to ask.
    """

    def __init__(self, app: ASGIApp, catalog: UnityCatalog) -> None:
        self._app = app
        self._catalog = catalog

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _OPEN:
            await self._app(scope, receive, send)
            return
        answer = await self._refusal(scope) or self._app
        await answer(_as_called(scope), receive, send)

    async def _refusal(self, scope: Scope) -> ASGIApp | None:
        token = Headers(scope=scope).get(_TOKEN)
        if not token:
            return _refused(401, "the proxy of Databricks Apps has sent no token of a user")
        try:
            may = await self._catalog.may_read(token)
        except httpx.HTTPError as error:
            _log.warning("Unity Catalog cannot be asked: %s", type(error).__name__)
            return _refused(503, "Databricks does not answer now, or its SQL warehouse is starting: try again")
        if not may:
            return _refused(403, f"Unity Catalog does not let you read all of {self._catalog.table}")
        if scope["method"] not in _READING:
            return _refused(403, "this server is for reading only")
        return None


def _as_called(scope: Scope) -> Scope:
    """Return a scope with the address that the user called, for URLs in answers, and without the user's token."""
    headers = MutableHeaders(raw=list(scope["headers"]))
    del headers[_TOKEN]
    headers["host"] = headers.get("x-forwarded-host") or headers.get("host", "")
    return {**scope, "scheme": headers.get("x-forwarded-proto", "https"), "headers": headers.raw}


def _refused(status: int, problem: str) -> JSONResponse:
    return JSONResponse({"error": problem}, status)
