"""``/monai/train/``: trainings, one at a time."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from dbx.pixels.ai.task import Task
from dbx.pixels.errors import TrainingError
from dbx.pixels.table import Principal
from dbx.pixels.web.asking import json_body
from dbx.pixels.web.assistant import Assistant
from dbx.pixels.web.errors import HttpError
from dbx.pixels.web.monai.answering import JSON, answer_json
from dbx.pixels.web.monai.asking import declared
from dbx.pixels.web.server import Server

#: How often every series is seen; 0 for as often as the model's configuration says.
_EPOCHS = "max_epochs"


async def get_training(request: Request) -> Response:
    """Answer with the training that goes on, else the last one, or with all of them.

    404 if there was none, or with ``check_if_running`` if none goes on.
    """
    server: Server = request.app.state.server
    flags = {name: request.query_params.get(name, "").lower() == "true" for name in ("all", "check_if_running")}
    return await answer_json(_status, server.assistant, flags["all"], flags["check_if_running"])


def _status(assistant: Assistant, of_all: bool, only_running: bool) -> Any:
    tasks = assistant.trainings.list()
    if of_all:
        return list(map(_told, tasks))
    going_on = [task for task in tasks if not task.status.has_ended]
    if not going_on and (only_running or not tasks):
        raise HttpError(404, "no training goes on")
    return _told((going_on or tasks[-1:])[0])


async def start_training(request: Request) -> Response:
    """Train one model, or all that can be trained, one after the other; 429 if a training goes on."""
    server: Server = request.app.state.server
    model = request.path_params.get("model")
    may_wait = request.query_params.get("enqueue", "").lower() == "true"
    params = await json_body(request)
    return await answer_json(_start, server.assistant, model, params, may_wait, server.principal(request))


def _start(
    assistant: Assistant, model: str | None, params: dict[str, Any], may_wait: bool, principal: Principal
) -> JSON:
    if not may_wait and assistant.trainings.current():
        raise HttpError(429, "a training goes on already; stop it, or wait for its end")
    if model is not None:
        return _told(assistant.trainings.start(model, principal, epochs=_epochs(declared(params, {_EPOCHS}))))
    models = [info.name for info in assistant.trainable()]
    if not models:
        raise HttpError(404, "there is no model that can be trained: pixels models new NAME --labels A,B makes one")
    of_models = declared(params, models)
    epochs = {name: _epochs(declared(_mapping(of_models, name), {_EPOCHS})) for name in models}
    return _told(_start_all(assistant, epochs, principal))


def _start_all(assistant: Assistant, epochs: dict[str, int | None], principal: Principal) -> Task:
    """Start a training of each model that has something to learn from, and return the first one."""
    tasks, problems = [], []
    for model, wanted in epochs.items():
        try:
            tasks.append(assistant.trainings.start(model, principal, epochs=wanted))
        except TrainingError as error:
            problems.append(error)
    if not tasks:
        raise problems[0]
    return tasks[0]


def _mapping(params: dict[str, Any], model: str) -> dict[str, Any]:
    values = params.get(model) or {}
    if not isinstance(values, dict):
        raise HttpError(400, f"{model!r} has to have parameters: {{'{_EPOCHS}': 50}}")
    return values


def _epochs(params: dict[str, Any]) -> int | None:
    epochs = params.get(_EPOCHS) or None
    if epochs is not None and type(epochs) is not int:
        raise HttpError(400, f"{_EPOCHS} is no whole number")
    return epochs


async def stop_training(request: Request) -> Response:
    """Stop the training that goes on, and answer with it; with ``null`` if there is none."""
    server: Server = request.app.state.server

    def stop() -> JSON | None:
        task = server.assistant.trainings.stop()
        return _told(task) if task else None

    return await answer_json(stop)


def _told(task: Task) -> JSON:
    """Return a training as clients know it; some of them show the last of its details without a look."""
    told = task.to_json()
    return told | {"details": told["details"] or [task.status.value]}
