"""``/monai/info/``: what there is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from dbx.pixels import __version__
from dbx.pixels.ai.active_learning import STRATEGIES, Labelling
from dbx.pixels.ai.info import ModelInfo
from dbx.pixels.ai.task import Task
from dbx.pixels.table import Principal
from dbx.pixels.web.assistant import Assistant
from dbx.pixels.web.monai.answering import JSON, answer_json
from dbx.pixels.web.server import Server


async def get_info(request: Request) -> Response:
    """Answer with models, trainers, strategies, and how far labelling and training are."""
    server: Server = request.app.state.server
    return await answer_json(_info, server.assistant, server.principal(request))


def _info(assistant: Assistant, principal: Principal) -> JSON:
    offered, trainable = assistant.offered(), assistant.trainable()
    names = [model.name for model in offered]
    return {
        "name": "Pixels",
        "description": "Segments, and learns from what people save",
        "version": __version__,
        "labels": sorted({label for model in (*offered, *trainable) for label in model.labels}),
        "models": {model.name: _model(model) for model in offered},
        "trainers": {
            model.name: {"description": model.description, "config": {"max_epochs": assistant.epochs(model.name) or 0}}
            for model in trainable
        },
        "strategies": {
            name: {"description": told, "config": {"model": names} if names else {}}
            for name, told in STRATEGIES.items()
        },
        "scoring": {},
        "train_stats": _train_stats(assistant.trainings.list()),
        "datastore": stats_of(labelling_of(assistant, principal)),
    }


def labelling_of(assistant: Assistant, principal: Principal) -> Labelling:
    """Tell how far labelling is: of the series that are of a modality of any model; without models, of all."""
    models = {model.name: model for model in (*assistant.trainable(), *assistant.offered())}
    return assistant.learning.labelling({model.modality for model in models.values()} or {""}, principal)


def stats_of(labelling: Labelling) -> JSON:
    """Count series, and those that have a final label."""
    labelled = len(labelling.labelled)
    return {"total": len(labelling.series), "completed": labelled, "label_tags": {"final": labelled}}


def _model(model: ModelInfo) -> JSON:
    return {
        "type": "vista3d" if model.prompts else "segmentation",  # by which clients know that it takes points
        "labels": dict(model.labels),
        "dimension": 3,
        "description": model.description,
        "config": {},
        "version": model.version,
    }


def _train_stats(tasks: Iterable[Task]) -> dict[str, Any]:
    """Tell of the last training of each model; first of the one that goes on, as some clients show the first only."""
    latest = {task.model: task for task in tasks}
    return {task.model: _stats(task) for task in sorted(latest.values(), key=lambda task: task.status.has_ended)}


def _stats(task: Task) -> JSON:
    stats: JSON = {"epoch": task.epoch, "total_epochs": task.total_epochs, "best_metric": task.best_metric or 0.0}
    if task.start_ts and task.end_ts:
        stats["total_time"] = str(task.end_ts - task.start_ts)
    return stats
