"""A server whose index goes away: it tells so, goes on following the table, and serves again."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import sqlalchemy as sa

from dbx.pixels import Catalog

from conftest import TEST_FILES

if TYPE_CHECKING:
    from postgres import Postgres
    from web_server import RunningServer

pytest_plugins = ["web_server", "postgres"]


@pytest.fixture
def server(empty_server: RunningServer) -> RunningServer:
    """A server with a study and an index in a file."""
    empty_server.ingest(TEST_FILES / "CT_small.dcm")
    empty_server.wait_until_served()
    return empty_server


@pytest.fixture
def postgres_server(own_postgres: Postgres, catalog: Catalog) -> Iterator[RunningServer]:
    """A server with a study and an index in PostgreSQL."""
    from web_server import running  # a plugin of pytest, which is to load it first

    with running(catalog, own_postgres.url) as running_server:
        running_server.ingest(TEST_FILES / "CT_small.dcm")
        running_server.wait_until_served()
        yield running_server


def test_a_database_that_stops_is_told_and_followed_again(
    postgres_server: RunningServer, own_postgres: Postgres
) -> None:
    own_postgres.stop()
    answer = httpx.get(f"{postgres_server.dicomweb}/studies")
    assert answer.status_code == 503
    assert answer.json()["error"].endswith("check the address, and that the server is running.")
    behind = until(lambda: health(postgres_server), lambda told: told["status"] == "behind")

    own_postgres.start()
    postgres_server.ingest(TEST_FILES / "MR_small.dcm")
    until(lambda: studies(postgres_server), lambda found: found == 2)
    now = until(lambda: health(postgres_server), lambda told: told["status"] == "ok")
    assert now["synced"] > behind["synced"]


def test_a_schema_that_is_dropped_is_made_anew(postgres_server: RunningServer, own_postgres: Postgres) -> None:
    engine = sa.create_engine(own_postgres.url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        (name,) = [name for name in sa.inspect(connection).get_schema_names() if name.startswith("pixels_")]
        connection.execute(sa.schema.DropSchema(name, cascade=True))
    engine.dispose()
    until(lambda: studies(postgres_server), lambda found: found == 1)


def test_a_file_that_is_deleted_is_made_anew(server: RunningServer, home: Path) -> None:
    shutil.rmtree(home / "index")
    with ThreadPoolExecutor(8) as pool:
        statuses = set(pool.map(lambda _: httpx.get(f"{server.dicomweb}/studies").status_code, range(40)))
    assert statuses <= {200, 503}
    until(lambda: studies(server), lambda found: found == 1)
    server.ingest(TEST_FILES / "MR_small.dcm")
    until(lambda: studies(server), lambda found: found == 2)


def health(server: RunningServer) -> dict[str, str]:
    return httpx.get(f"{server.url}/healthz").json()


def studies(server: RunningServer) -> int:
    """How many studies a search finds; none while it cannot be answered."""
    answer = httpx.get(f"{server.dicomweb}/studies")
    return len(answer.json()) if answer.status_code == 200 else 0


def until(look: Callable[[], Any], is_so: Callable[[Any], bool]) -> Any:
    """What is seen as soon as it is so, on a machine that may be busy with other tests."""
    deadline = time.monotonic() + 20
    while not is_so(seen := look()):
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)
    return seen
