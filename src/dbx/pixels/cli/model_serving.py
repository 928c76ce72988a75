"""`pixels models register`, `serve` and `rollback`: which version of a model is used, here and by others."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from dbx.pixels.ai.models import Models
from dbx.pixels.ai.sources import TOKEN, dicom_web_config, table_config
from dbx.pixels.catalog import Catalog
from dbx.pixels.cli.listening import listen
from dbx.pixels.cli.options import with_catalog
from dbx.pixels.errors import ModelError
from dbx.pixels.storage import Home

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

#: Seconds that a served model may take for one series: MLflow allows for one minute.
_LONGEST = 3600


@click.command()
@click.argument("name")
@with_catalog
@click.option("--dicom-web", metavar="URL", help="fetch series from this DICOMweb server instead of the table")
@click.option(
    "--unity-catalog", metavar="NAME", help="register it there as catalog.schema.model, not in the home folder"
)
def register(catalog: Catalog, name: str, dicom_web: str | None, unity_catalog: str | None) -> None:
    """Register the version of a model that is used, with where it gets its series from, in MLflow."""
    version = Models(catalog.home.models).versions(name).champion()
    source = dicom_web_config(dicom_web) if dicom_web else table_config(catalog)
    if unity_catalog:
        from dbx.pixels.ai.unity_catalog import register as register_in_unity_catalog

        number = register_in_unity_catalog(catalog.home, name, version, source, unity_catalog)
        click.echo(f"{name} {version} is version {number} of {unity_catalog}")
    else:
        from dbx.pixels.ai.registry import Registry

        number = Registry(catalog.home).register(name, version, source)
        click.echo(f"{name} {version} is version {number} in MLflow: pixels models serve {name}")
    if dicom_web:
        click.echo(f"The endpoint sends the token that {TOKEN} holds when it is started.")


@click.command()
@click.argument("name")
@click.option("--home", metavar="DIR", help="where models lie  [default: $PIXELS_HOME or ~/.pixels]")
@click.option("--port", default=8043, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free one")
def serve(name: str, home: str | None, port: int) -> None:
    """Serve the registered version of a model at http://127.0.0.1:PORT/invocations until interrupted."""
    from dbx.pixels.ai.registry import CHAMPION, Registry
    from dbx.pixels.ai.tracking import mlflow_client

    place = Home.from_environment(home)
    if Registry(place).follow_champion(name) is None:
        problem = "is not registered, or not in the version that is used"
        raise ModelError(name, problem, f"pixels models register {name}")
    with listen("127.0.0.1", port) as listener:
        model = _load(mlflow_client(place).get_model_version_by_alias(name, CHAMPION))
        click.echo(f"Endpoint: http://127.0.0.1:{listener.getsockname()[1]}/invocations\nStop with Ctrl+C.", err=True)
        _answer(model, listener)


def _load(registered: ModelVersion) -> Any:
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc import load_model

    try:
        return load_model(registered.source)
    except MlflowException as error:  # it has absolute paths, and the home folder may have been moved
        problem = f"cannot be loaded from where it was registered: {' '.join(error.message.split()).rstrip('.')}"
        raise ModelError(registered.name, problem, f"pixels models register {registered.name}") from error


def _answer(model: Any, listener: socket.socket) -> None:
    """Do what `mlflow models serve` does in its third process, each of which imports MLflow for seconds."""
    import uvicorn
    from mlflow.pyfunc.scoring_server import init

    os.environ["MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT"] = str(_LONGEST)
    with suppress(KeyboardInterrupt):  # which uvicorn raises again when it has stopped
        uvicorn.Server(uvicorn.Config(init(model))).run(sockets=[listener])


@click.command()
@click.argument("name")
@click.option("--to", "version", metavar="VERSION", help="use this one instead, an earlier or a later one")
@click.option("--home", metavar="DIR", help="where models lie  [default: $PIXELS_HOME or ~/.pixels]")
def rollback(name: str, version: str | None, home: str | None) -> None:
    """Use the version of a model that was used before the present one."""
    place = Home.from_environment(home)
    versions = Models(place.models).versions(name)
    if version is None:
        version = versions.roll_back()
    else:
        versions.set_champion(version)
    click.echo(f"{name}: version {version} is used from now on")
    if place.mlflow.exists():
        from dbx.pixels.ai.registry import Registry

        Registry(place).follow_champion(name)
