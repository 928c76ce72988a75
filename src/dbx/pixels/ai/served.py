"""The runner as a model of MLflow: what an endpoint answers."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
from pydicom.dataset import Dataset

from dbx.pixels.ai.extra import extra_ai
from dbx.pixels.ai.info import PROMPTS
from dbx.pixels.ai.models import Models
from dbx.pixels.ai.runner import Runner
from dbx.pixels.ai.segmentation import write_segmentation
from dbx.pixels.ai.sources import open_source
from dbx.pixels.errors import ArgumentError, ModelNotFoundError, PixelsError, SeriesNotFoundError
from dbx.pixels.table import EVERYTHING

with extra_ai():
    from mlflow.exceptions import MlflowException
    from mlflow.models import ModelSignature
    from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST
    from mlflow.pyfunc import PythonModel
    from mlflow.types.schema import AnyType, ColSpec, DataType, Object, Property, Schema

#: The name of the artifact that holds the bundle.
MODELS = "models"
#: Values of the input `output`: the path of the stored segmentation, its bytes, or what is known of the model.
PATH, BYTES, INFO = "path", "bytes", "info"

SIGNATURE = ModelSignature(
    Schema(
        [
            ColSpec(DataType.string, "series_uid"),
            # Prompts are lists of lists: MLflow does not take a list of whole numbers for one of numbers.
            ColSpec(Object([Property(name, AnyType(), required=False) for name in PROMPTS]), "params", required=False),
            ColSpec(DataType.string, "output", required=False),
        ]
    ),
    Schema([ColSpec(AnyType())]),  # Unity Catalog takes no models that do not say what they answer
)


class ServedModel(PythonModel):
    """One version of a model, with what reads series for it.

    Its input is ``{"series_uid": ..., "params": {...}}``. It answers with the path of the segmentation, which is a
    proposal in the table, or, where it has no table, with the segmentation's bytes; ``"output": "bytes"`` asks for
    these, and leaves the table as it is.
    """

    def load_context(self, context: Any) -> None:
        """Open the bundle, and where series come from."""
        models = Models(Path(context.artifacts[MODELS]))
        (self._info,) = models.list()
        self._source = open_source(context.model_config)
        self._runner = Runner(models, self._source.index)

    def predict(self, context: Any, model_input: Any, params: Any = None) -> dict[str, Any]:  # noqa: ARG002 - MLflow's
        """Segment a series."""
        try:
            return self._answer(_only_row(model_input))
        except PixelsError as error:
            raise _for_mlflow(error) from error

    def _answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        output = asked.get("output") or PATH
        if output not in (PATH, BYTES, INFO):
            raise ArgumentError("output", f"{output} is none", f"Ask for {PATH}, {BYTES} or {INFO}.")
        if output == INFO:
            return asdict(self._info)
        series_uid = str(asked["series_uid"])
        with self._source.fetched(series_uid):
            found = self._runner.run(self._info.name, series_uid, EVERYTHING, params=asked.get("params"))
            segmentation = write_segmentation(found)
            path = self._source.keep(segmentation) if output == PATH else None
        return {
            "series_uid": series_uid,
            "model": found.model,
            "version": found.version,
            "labels": dict(found.labels),
            "metrics": {"volumes_ml": found.volumes_ml, "seconds": found.seconds},
            **({"seg": _bytes(segmentation)} if path is None else {"seg_path": path}),
        }


def _only_row(given: Any) -> dict[str, Any]:
    """Return the input as MLflow hands it over: as a table of one row."""
    rows = given.to_dict("records") if isinstance(given, pd.DataFrame) else [given]
    if len(rows) != 1:
        raise ArgumentError("inputs", f"are {len(rows)}", "Ask for one series at a time.")
    return rows[0]


def _bytes(segmentation: Dataset) -> str:
    content = BytesIO()
    segmentation.save_as(content, enforce_file_format=True)
    return base64.b64encode(content.getvalue()).decode("ascii")


def _for_mlflow(error: PixelsError) -> MlflowException:
    """Return what MLflow's server answers with the right status, and all that `RemoteRunner` needs to raise it anew."""
    if isinstance(error, SeriesNotFoundError | ModelNotFoundError):
        code = RESOURCE_DOES_NOT_EXIST
    else:
        code = INVALID_PARAMETER_VALUE if isinstance(error, ValueError) else INTERNAL_ERROR
    facts = {"kind": type(error).__name__, "subject": error.subject, "problem": error.problem, "remedy": error.remedy}
    return MlflowException(str(error), error_code=code, **facts)
