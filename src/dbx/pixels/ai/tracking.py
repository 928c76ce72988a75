"""Trainings as runs of MLflow: what went in, how it went, and what it looks like."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbx.pixels.ai.examples import Examples
from dbx.pixels.ai.extra import extra_ai
from dbx.pixels.ai.sources import table_config
from dbx.pixels.catalog import Catalog
from dbx.pixels.storage import Home

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from PIL.Image import Image

_TRAINING = "pixels.training"

_log = logging.getLogger(__name__)


def tracking_uri(home: Home) -> str:
    """Return what MLflow is told to find the runs and the registered models of a home folder."""
    home.mlflow.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{home.mlflow / 'mlflow.db'}"


def mlflow_client(home: Home) -> MlflowClient:
    """Return the client for runs and registered models of a home folder.

    Raises
    ------
    EngineError
        If MLflow is not installed.
    """
    with extra_ai():
        from mlflow import MlflowClient

    uri = tracking_uri(home)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _tolerant(method: Callable[..., None]) -> Callable[..., None]:
    """Let a method of `TrackedRun` fail once and for all, without raising."""

    @wraps(method)
    def tolerant(self: TrackedRun, *args: Any) -> None:
        if self.client is None:
            return
        try:
            method(self, *args)
        except Exception as error:  # of MLflow, its database, its disk
            self.give_up(error)

    return tolerant


class TrackedRun:
    """The run of one training; when that goes on after an interruption, it is the same run.

    A training does not end because it cannot be tracked: that is told once.

    Parameters
    ----------
    home : Home
        Whose MLflow it is tracked in.
    model : str
        What is trained: the experiment.
    training : str
        The training's name.
    on_failure : callable
        Told why it cannot be tracked.

    Attributes
    ----------
    client : MlflowClient or None
        None if tracking has failed.
    id : str
        The run's id in MLflow; empty if there is none.
    """

    client: Any
    id: str

    def __init__(self, home: Home, model: str, training: str, on_failure: Callable[[str], None]) -> None:
        self._on_failure = on_failure
        self.id = ""
        try:
            self.client = mlflow_client(home)
            self.id = _run_id(self.client, home.mlflow / "artifacts" / model, model, training)
        except Exception as error:
            self.give_up(error)

    @_tolerant
    def begin(self, parameters: Mapping[str, Any], examples: Examples, table: str) -> None:
        """Tell what goes in.

        Parameters
        ----------
        parameters : mapping
            Of the bundle and of the training.
        examples : Examples
            The data set: the series, and the version of the table that they were chosen from.
        table : str
            Where the table lies.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        for name, value in parameters.items():
            self.client.log_param(self.id, name, value)
        dataset = Dataset(
            name=table.rsplit("/", 1)[-1],
            digest=examples.digest,
            source_type="delta_table",
            source=json.dumps({"path": table, "delta_table_version": examples.table_version}),
            profile=json.dumps({"series": len({*examples.train, *examples.validate})}),
        )
        self.client.log_inputs(self.id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
        self.client.log_dict(self.id, {"table": table, **examples.to_json()}, "examples.json")

    @_tolerant
    def epoch(self, epoch: int, metrics: Mapping[str, float | None]) -> None:
        """Add a point to each curve."""
        for name, value in metrics.items():
            if value is not None:
                self.client.log_metric(self.id, name, value, step=epoch)

    @_tolerant
    def pictures(self, epoch: int, pictures: Iterable[Image]) -> None:
        """Keep pictures of what the model found after an epoch."""
        with tempfile.TemporaryDirectory() as folder:
            for number, picture in enumerate(pictures, 1):
                path = Path(folder) / f"epoch-{epoch:04}-sample-{number}.png"
                picture.save(path)
                self.client.log_artifact(self.id, str(path), "samples")

    @_tolerant
    def register(self, catalog: Catalog, model: str, version: str) -> None:
        """Register the version that came of it, to be served with series from where earlier ones got them."""
        from dbx.pixels.ai.registry import Registry

        registry = Registry(catalog.home)
        registry.register(model, version, registry.source(model) or table_config(catalog), self.id)

    @_tolerant
    def end(self, status: str, details: Iterable[str]) -> None:
        """End the run, ``FINISHED``, ``FAILED`` or ``KILLED``, with what there is to tell."""
        self.client.set_tag(self.id, "mlflow.note.content", "\n\n".join(details))
        self.client.set_terminated(self.id, status)

    def give_up(self, error: Exception) -> None:
        """Track no more."""
        _log.error("MLflow failed", exc_info=error)
        self.client = None
        self._on_failure(f"Not tracked in MLflow any more: {' '.join(str(error).split())}")


def _run_id(client: MlflowClient, artifacts: Path, model: str, training: str) -> str:
    experiment = client.get_experiment_by_name(model)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(model, artifacts.as_uri())
    runs = client.search_runs([experiment_id], f"tags.`{_TRAINING}` = '{training}'", max_results=1)
    run = runs[0] if runs else client.create_run(experiment_id, run_name=training, tags={_TRAINING: training})
    return run.info.run_id
