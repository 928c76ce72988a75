"""Routes of ``/api/ai``: models, runs, trainings, what is labelled next and what is labelled."""

from __future__ import annotations

from collections import Counter
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dbx.pixels.ai.active_learning import STRATEGIES
from dbx.pixels.ai.info import ModelInfo
from dbx.pixels.ai.task import Task
from dbx.pixels.table import Principal
from dbx.pixels.web.ai.labels import described
from dbx.pixels.web.ai.segmenting import segment
from dbx.pixels.web.asking import json_body, queried, required
from dbx.pixels.web.assistant import Assistant
from dbx.pixels.web.server import Server


async def _models(request: Request) -> Response:
    return JSONResponse(await run_in_threadpool(_list_models, _assistant(request)))


def _list_models(assistant: Assistant) -> dict[str, Any]:
    """List the models that can be run, and those that can be trained until they can."""
    assistant.check()
    offered = assistant.offered()
    names = {info.name for info in offered}
    trainable = {info.name: info for info in assistant.trainable()}
    infos = [*offered, *(info for name, info in trainable.items() if name not in names)]
    models = [_model(info, is_trainable=info.name in trainable) for info in sorted(infos, key=lambda info: info.name)]
    return {"models": models, "strategies": [{"name": name, "description": told} for name, told in STRATEGIES.items()]}


def _model(info: ModelInfo, *, is_trainable: bool) -> dict[str, Any]:
    return {
        "name": info.name,
        "version": info.version,
        "description": info.description,
        "modality": info.modality,
        "labels": described(info.labels),
        "prompts": list(info.prompts),
        "is_ready": info.is_ready,
        "reason": info.reason,
        "is_trainable": is_trainable,
    }


async def _training(request: Request) -> Response:
    return JSONResponse(await run_in_threadpool(_tell_training, _assistant(request)))


def _tell_training(assistant: Assistant) -> dict[str, Any]:
    """Tell of the training that goes on, else of the last one, with its curve, and how many wait."""
    tasks = assistant.trainings.list()
    going_on = [task for task in tasks if not task.status.has_ended]
    task = next(iter(going_on or tasks[-1:]), None)
    told = task and {**task.to_json(), "curve": assistant.trainings.curve(task.id)}
    return {"training": told, "waiting": max(len(going_on) - 1, 0)}


async def _start_training(request: Request) -> Response:
    server: Server = request.app.state.server
    asked = await json_body(request)
    model = required(asked, "model", str)
    epochs = required(asked, "epochs", int) if "epochs" in asked else None
    task: Task = await run_in_threadpool(
        server.assistant.trainings.start, model, server.principal(request), epochs=epochs
    )
    return JSONResponse({"training": task.to_json()}, 202)


async def _stop_training(request: Request) -> Response:
    task_id = request.query_params.get("id")
    task: Task | None = await run_in_threadpool(_assistant(request).trainings.stop, task_id)
    return JSONResponse({"training": task and task.to_json()})


async def _next(request: Request) -> Response:
    server: Server = request.app.state.server
    strategy, model = queried(request, "strategy"), queried(request, "model")
    besides = request.query_params.get("besides")
    sample = await run_in_threadpool(_choose, server.assistant, strategy, model, besides, server.principal(request))
    return JSONResponse({"sample": sample})


def _choose(
    assistant: Assistant, strategy: str, model: str, besides: str | None, principal: Principal
) -> dict[str, Any] | None:
    sample = assistant.learning.next(strategy, assistant.info(model), principal, besides=besides)
    if sample is None:
        return None
    uids = {key: getattr(sample.series, key) for key in ("StudyInstanceUID", "SeriesInstanceUID")}
    return {**uids, "score": sample.score}


async def _progress(request: Request) -> Response:
    server: Server = request.app.state.server
    model, series = queried(request, "model"), request.query_params.get("series")
    return JSONResponse(await run_in_threadpool(_count, server.assistant, model, series, server.principal(request)))


def _count(assistant: Assistant, model: str, series: str | None, principal: Principal) -> dict[str, Any]:
    """Tell how many series of a model's modality are labelled, with what, and what one of them has."""
    info = assistant.info(model)
    labelling = assistant.learning.labelling([info.modality], principal)
    often = Counter(segment for label in labelling.labelled.values() for segment in set(label.segments))
    label = labelling.labelled.get(series or "")
    return {
        "total": len(labelling.series),
        "labelled": len(labelling.labelled),
        "labels": {name: often[name] for name in info.labels},
        "series": list(label.segments) if label else [],
    }


def _assistant(request: Request) -> Assistant:
    server: Server = request.app.state.server
    return server.assistant


routes = [
    Route("/models", _models),
    Route("/segment", segment, methods=["POST"]),
    Route("/training", _training, methods=["GET"]),
    Route("/training", _start_training, methods=["POST"]),
    Route("/training", _stop_training, methods=["DELETE"]),
    Route("/next", _next),
    Route("/progress", _progress),
]
