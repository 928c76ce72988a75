"""``/monai/activelearning/{strategy}``: which series is labelled next."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from dbx.pixels.ai.active_learning import STRATEGIES, Sample
from dbx.pixels.ai.info import ModelInfo
from dbx.pixels.table import Principal
from dbx.pixels.web.asking import json_body
from dbx.pixels.web.assistant import Assistant
from dbx.pixels.web.errors import HttpError
from dbx.pixels.web.monai.answering import JSON, answer_json
from dbx.pixels.web.monai.asking import declared
from dbx.pixels.web.server import Server
from dbx.pixels.web.urls import dicomweb_root

#: What clients show of a sample.
_SHOWN = ("Modality", "StudyDate", "StudyTime", "PatientID", "StudyDescription", "SeriesDescription")


async def next_sample(request: Request) -> Response:
    """Answer with a series that has no final label; with an empty object if none is left."""
    server: Server = request.app.state.server
    strategy = request.path_params["strategy"]
    if strategy not in STRATEGIES:
        raise HttpError(404, f"there is no strategy of this name; there are {', '.join(STRATEGIES)}")
    params = declared(await json_body(request), {"model"})
    root = dicomweb_root(request)
    return await answer_json(_next, server.assistant, strategy, params.get("model"), server.principal(request), root)


def _next(assistant: Assistant, strategy: str, model: Any, principal: Principal, root: str) -> JSON:
    sample = assistant.learning.next(strategy, _model(assistant, model), principal)
    return _told(sample, root) if sample else {}


def _model(assistant: Assistant, name: Any) -> ModelInfo:
    """Return the model that series are labelled for: the first one, unless the client names another."""
    if name:
        return assistant.info(str(name))
    for models in (assistant.offered(), assistant.trainable()):
        if models:
            return models[0]
    raise HttpError(404, "there is no model to label for: pixels models new NAME --labels A,B makes one")


def _told(sample: Sample, root: str) -> JSON:
    series = sample.series
    told = {
        "id": series.SeriesInstanceUID,
        "name": f"{series.SeriesInstanceUID}.nrrd",  # by which 3D Slicer knows how to read what it downloads
        "SeriesInstanceUID": series.SeriesInstanceUID,
        "StudyInstanceUID": series.StudyInstanceUID,
        **{keyword: str(series.header.get(keyword, "")) for keyword in _SHOWN},
        "RetrieveURL": f"{root}/studies/{series.StudyInstanceUID}/series/{series.SeriesInstanceUID}",
    }
    return told if sample.score is None else told | {"score": sample.score}
