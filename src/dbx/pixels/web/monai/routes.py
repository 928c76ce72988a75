"""The routes of the MONAI Label protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dbx.pixels.web.monai.datastore import get_datastore, get_image, get_label, put_label
from dbx.pixels.web.monai.infer import infer
from dbx.pixels.web.monai.info import get_info
from dbx.pixels.web.monai.learning import next_sample
from dbx.pixels.web.monai.logs import get_logs
from dbx.pixels.web.monai.sessions import delete_session, get_session, put_session
from dbx.pixels.web.monai.train import get_training, start_training, stop_training
from dbx.pixels.web.server import Server

_Answer = Callable[[Request], Awaitable[Response]]


def _route(path: str, method: str, answer: _Answer) -> Route:
    """Make a route that answers if what AI needs is installed, else says how to install it."""

    @wraps(answer)
    async def checked(request: Request) -> Response:
        server: Server = request.app.state.server
        server.assistant.check()
        return await answer(request)

    return Route(path, checked, methods=[method])


routes = [
    _route("/info/", "GET", get_info),
    _route("/infer/{model}", "POST", infer),
    _route("/activelearning/{strategy}", "POST", next_sample),
    _route("/train/", "GET", get_training),
    _route("/train/", "POST", start_training),
    _route("/train/{model}", "POST", start_training),
    _route("/train/", "DELETE", stop_training),
    _route("/datastore/", "GET", get_datastore),
    _route("/datastore/image", "GET", get_image),
    _route("/datastore/label", "GET", get_label),
    _route("/datastore/label", "PUT", put_label),
    _route("/session/", "PUT", put_session),
    _route("/session/{session_id}", "GET", get_session),
    _route("/session/{session_id}", "DELETE", delete_session),
    _route("/logs/", "GET", get_logs),
]
