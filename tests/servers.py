"""Object stores for tests: real servers on loopback, started once a session and stopped at its end."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.client
import logging
import os
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from missing import skip_without

AZURITE = Path(__file__).parent / "azurite" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
AZURITE_SECONDS = 60
# The account that every Azurite has; its key is printed in Azurite's manual.
AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

WsgiApplication = Callable[[dict, Any], Any]


@contextlib.contextmanager
def serve(application: WsgiApplication) -> Iterator[str]:
    """Serve an application on a free port of loopback; the value is its URL."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, application, threaded=True)
    looks_every = 0.05  # seconds, whether it shall stop
    thread = threading.Thread(target=server.serve_forever, args=(looks_every,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


def without_conditions(application: WsgiApplication) -> WsgiApplication:
    """Make a store forget, as some do, that a put was only meant to create."""

    def serve_unconditionally(environ: dict, start_response: Any) -> Any:
        environ.pop("HTTP_IF_NONE_MATCH", None)
        return application(environ, start_response)

    return serve_unconditionally


def without_accounts(application: WsgiApplication) -> WsgiApplication:
    """Make a store know nobody: who shows credentials is turned away, who shows none may read what is public."""

    def turn_away(environ: dict, start_response: Any) -> Any:
        if "HTTP_AUTHORIZATION" in environ:
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            return [b"<Error><Code>InvalidAccessKeyId</Code></Error>"]
        return application(environ, start_response)

    return turn_away


@dataclass(frozen=True)
class S3Bucket:
    """A bucket of the test's own."""

    name: str
    client: Any

    @property
    def url(self) -> str:
        """Its address."""
        return f"s3://{self.name}"

    def put(self, key: str, data: bytes = b"", *, public: bool = False) -> str:
        """Store an object and return its address."""
        self.client.put_object(Bucket=self.name, Key=key, Body=data, ACL="public-read" if public else "private")
        return f"{self.url}/{key}"


def new_bucket(endpoint: str) -> S3Bucket:
    """Make a bucket that has not been there before."""
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 1}),
    )
    name = f"bucket{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    return S3Bucket(name, client)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The URL of an S3 server."""
    with serve(DomainDispatcherApplication(create_backend_app)) as url:
        yield url


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away what this machine knows of stores and their credentials."""
    for name in os.environ:
        if name.startswith(("AWS_", "AZURE_", "AZURITE_", "GOOGLE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-aws-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def bucket(s3_server: str, clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> S3Bucket:  # noqa: ARG001
    """An empty bucket, with the environment set so that it is found."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return new_bucket(s3_server)


@pytest.fixture
def careless_bucket(bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Bucket]:  # noqa: ARG001
    """A bucket on a server that ignores conditional puts."""
    with serve(without_conditions(DomainDispatcherApplication(create_backend_app))) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        yield new_bucket(url)


@pytest.fixture
def strange_bucket(bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Bucket]:
    """A bucket on a server that knows other accounts than ours."""
    with serve(without_accounts(DomainDispatcherApplication(create_backend_app))) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        yield bucket


@pytest.fixture(scope="session")
def azurite() -> Iterator[str]:
    """The URL of an Azure blob server; without one the tests that need it are skipped, except in CI."""
    node = shutil.which("node")
    if not node or not AZURITE.exists():
        skip_without(f"Azurite is missing: install Node.js, then run `npm ci` in {AZURITE.parents[4]}")
    command = [node, str(AZURITE), "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]
    server = subprocess.Popen(
        [*command, "--blobHost", "127.0.0.1", "--blobPort", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        yield _azurite_url(server)
    finally:
        server.terminate()
        server.wait()


def _azurite_url(server: subprocess.Popen) -> str:
    """Read from what Azurite prints where it listens, and go on reading lest it blocks."""
    listening = threading.Event()
    found: list[str] = []

    def read() -> None:
        for line in server.stdout or ():
            if "successfully listens on" in line:
                found.append(line.split()[-1])
                listening.set()

    threading.Thread(target=read, daemon=True).start()
    deadline = time.monotonic() + AZURITE_SECONDS
    while not listening.wait(0.1):
        if server.poll() is not None or time.monotonic() > deadline:
            pytest.fail("Azurite did not start")
    return found[0]


@pytest.fixture
def container(azurite: str, clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> str:  # noqa: ARG001
    """The address of an empty Azure container, with the environment set so that it is found."""
    monkeypatch.setenv("AZURE_STORAGE_USE_EMULATOR", "true")
    monkeypatch.setenv("AZURITE_BLOB_STORAGE_URL", azurite)
    name = f"container-{uuid.uuid4().hex}"
    _make_container(azurite, name)
    return f"az://{name}"


def _make_container(url: str, name: str) -> None:
    """Make a container; obstore, which knows of objects only, cannot."""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-12-02", "Content-Length": "0"}
    empty_headers = "\n" * 11
    stamped = f"x-ms-date:{headers['x-ms-date']}\nx-ms-version:{headers['x-ms-version']}"
    signed = f"PUT\n{empty_headers}{stamped}\n/{AZURITE_ACCOUNT}/{AZURITE_ACCOUNT}/{name}\nrestype:container"
    signature = hmac.new(base64.b64decode(AZURITE_KEY), signed.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {AZURITE_ACCOUNT}:{base64.b64encode(signature).decode()}"
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    connection.request("PUT", f"/{AZURITE_ACCOUNT}/{name}?restype=container", headers=headers)
    assert connection.getresponse().status == http.HTTPStatus.CREATED
    connection.close()
