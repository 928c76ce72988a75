"""Models in Unity Catalog, from which Databricks serves them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dbx.pixels.ai.extra import extra_ai
from dbx.pixels.ai.models import Models
from dbx.pixels.ai.registry import CHAMPION, save_served
from dbx.pixels.ai.tracking import tracking_uri
from dbx.pixels.errors import ArgumentError, ModelError
from dbx.pixels.storage import Home

_REGISTRY = "databricks-uc"
_LEVELS = 3


def register(home: Home, name: str, version: str, source: Mapping[str, Any], full_name: str) -> str:
    """Register a version of a model in Unity Catalog, where it gets the alias ``champion``.

    Parameters
    ----------
    home : Home
        Where the model is.
    name, version : str
        The model and its version.
    source : mapping
        Where series come from, as `dbx.pixels.ai.sources` has it.
    full_name : str
        ``catalog.schema.model``. The workspace is the one that ``DATABRICKS_HOST`` names, or the one this runs in.

    Returns
    -------
    str
        The version's number in Unity Catalog.

    Raises
    ------
    ArgumentError
        If `full_name` is none.
    ModelNotFoundError, ModelNotReadyError
        If there is no such version of the model, or it cannot be run.
    ModelError
        If it cannot be registered.
    """
    with extra_ai():
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    if len([part for part in full_name.split(".") if part]) != _LEVELS or full_name.count(".") != _LEVELS - 1:
        raise ArgumentError(full_name, "is no name of a model in Unity Catalog", "Write catalog.schema.model.")
    models = Models(home.models)
    with tempfile.TemporaryDirectory() as staging:
        folder = Path(staging, "model")
        save_served(models, name, version, source, folder)
        client = MlflowClient(tracking_uri=tracking_uri(home), registry_uri=_REGISTRY)
        try:
            _create_if_missing(client, full_name, models.info(name).description)
            registered = client.create_model_version(full_name, folder.as_uri())
            client.set_registered_model_alias(full_name, CHAMPION, registered.version)
        except MlflowException as error:
            raise ModelError(
                full_name,
                f"cannot be registered: {' '.join(str(error.message).split()).rstrip('.')}",
                "Check DATABRICKS_HOST, your login, and your rights in the schema.",
            ) from error
    return str(registered.version)


def _create_if_missing(client: Any, full_name: str, description: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(full_name, description=description)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
