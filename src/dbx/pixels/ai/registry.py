"""Models in MLflow's registry, from which they are served."""

from __future__ import annotations

import json
import tempfile
import uuid
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbx.pixels import __version__
from dbx.pixels.ai.models import Models
from dbx.pixels.ai.tracking import mlflow_client
from dbx.pixels.storage import Home

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

#: Alias of the version that is served.
CHAMPION = "champion"
#: Tag that holds the version that `dbx.pixels.ai.versions` knows.
_VERSION = "pixels.version"
#: Tag that holds where series come from, as JSON.
_SOURCE = "pixels.source"


class Registry:
    """The registered models of a home folder: each version is a bundle, with what reads series for it.

    Parameters
    ----------
    home : Home
        Whose models and MLflow they are.

    Raises
    ------
    EngineError
        If MLflow is not installed.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._models = Models(home.models)
        self._client: MlflowClient = mlflow_client(home)

    def register(self, name: str, version: str, source: Mapping[str, Any], run_id: str | None = None) -> str:
        """Register a version of a model; the champion gets the alias ``champion``, under which it is served.

        Parameters
        ----------
        name, version : str
            The model and its version.
        source : mapping
            Where series come from, as `dbx.pixels.ai.sources` has it.
        run_id : str, optional
            The run of MLflow that it came from.

        Returns
        -------
        str
            The version's number in MLflow.

        Raises
        ------
        ModelNotFoundError
            If there is no such model, or no such version of it.
        ModelNotReadyError
            If it cannot be run.
        """
        folder = self._home.mlflow / "artifacts" / name / "registered" / uuid.uuid4().hex
        save_served(self._models, name, version, source, folder)
        if not self._client.search_registered_models(f"name = '{name}'"):
            self._client.create_registered_model(name, description=self._models.info(name).description)
        tags = {_VERSION: version, _SOURCE: json.dumps(source)}
        registered = self._client.create_model_version(name, folder.as_uri(), run_id=run_id, tags=tags)
        self.follow_champion(name)
        return str(registered.version)

    def follow_champion(self, name: str) -> str | None:
        """Give the alias to the newest registration of the version that is used now.

        Returns
        -------
        str or None
            Its number in MLflow; None if that version is not registered. Then none has the alias.
        """
        champion = self._models.versions(name).champion()
        registered = self._registered(name)
        for one in registered:
            if one.tags[_VERSION] == champion:
                self._client.set_registered_model_alias(name, CHAMPION, one.version)
                return str(one.version)
        if registered:
            self._client.delete_registered_model_alias(name, CHAMPION)
        return None

    def source(self, name: str) -> dict[str, Any] | None:
        """Return where series come from, as the model was last registered; None if it was not."""
        for one in self._registered(name):
            return json.loads(one.tags[_SOURCE])
        return None

    def _registered(self, name: str) -> list[ModelVersion]:
        """Return all registrations of a model, the newest first."""
        found = self._client.search_model_versions(f"name = '{name}'")
        return sorted((one for one in found if _VERSION in one.tags), key=lambda one: -int(one.version))


def save_served(models: Models, name: str, version: str, source: Mapping[str, Any], folder: Path) -> None:
    """Save a version of a model, with what reads series for it, as a model of MLflow.

    Parameters
    ----------
    models : Models
        Where the model is.
    name, version : str
        The model and its version.
    source : mapping
        Where series come from, as `dbx.pixels.ai.sources` has it.
    folder : pathlib.Path
        Where to save it; not there yet.

    Raises
    ------
    ModelNotFoundError
        If there is no such model, or no such version of it.
    ModelNotReadyError
        If it cannot be run.
    """
    models.ready(name)
    # MLflow warns, unfiltered, of what is not needed where there is a signature: type hints and examples.
    with tempfile.TemporaryDirectory() as staging, warnings.catch_warnings(record=True):
        from mlflow.pyfunc import save_model

        from dbx.pixels.ai import served

        models.export(name, version, Path(staging))
        save_model(
            folder,
            python_model=str(Path(served.__file__).with_name("served_code.py")),
            artifacts={served.MODELS: staging},
            model_config=dict(source),
            signature=served.SIGNATURE,
            pip_requirements=[f"dbx-pixels[ai]=={__version__}"],
        )
