"""A model that is served elsewhere, used as if it ran here."""

from __future__ import annotations

import asyncio
import base64
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any, TypeVar

import httpx
import pydicom

from dbx.pixels import errors
from dbx.pixels.ai.info import ModelInfo
from dbx.pixels.ai.segmentation import read_segmentation
from dbx.pixels.ai.segmented import Segmented
from dbx.pixels.ai.series import read_series
from dbx.pixels.errors import ModelNotFoundError, ModelNotReadyError, PixelsError, RunCancelledError, ServingError
from dbx.pixels.index import ServingIndex
from dbx.pixels.table.principal import Principal

_T = TypeVar("_T")

#: The environment's variable that holds the bearer token for the endpoint.
TOKEN = "PIXELS_SERVING_TOKEN"

#: Seconds within which an endpoint takes a connection, and within which it answers.
_TIMEOUT = httpx.Timeout(3600.0, connect=10.0)
#: Seconds between two looks at whether the caller still waits.
_PATIENCE = 0.2


class RemoteRunner:
    """Runs the model of a serving endpoint on series: what `Runner` does, elsewhere.

    Parameters
    ----------
    url : str
        Of the endpoint, such as ``http://127.0.0.1:8043``; ``/invocations`` may be left out. What
        ``PIXELS_SERVING_TOKEN`` holds is sent as bearer token.
    index : ServingIndex
        Where series are looked up, as far as the principal may see them.
    """

    def __init__(self, url: str, index: ServingIndex) -> None:
        self._url = f"{url.rstrip('/').removesuffix('/invocations')}/invocations"
        self._index = index

    def info(self) -> ModelInfo:
        """Return what is known of the endpoint's model.

        Raises
        ------
        ServingError
            If the endpoint cannot be reached, or is none of ours.
        """
        answer = self._ask({"series_uid": "", "output": "info"}, lambda: False)
        return self._understood(lambda: ModelInfo(**{**answer, "prompts": tuple(answer["prompts"])}))

    def ready(self, model: str) -> ModelInfo:
        """Return what is known of a model that can be run.

        Raises
        ------
        ModelNotFoundError
            If the endpoint serves another model.
        ModelNotReadyError
            If that cannot be run.
        ServingError
            If the endpoint cannot be reached.
        """
        info = self.info()
        if info.name != model:
            raise ModelNotFoundError(model, f"is not what {self._url} serves", f"It serves {info.name}.")
        if not info.is_ready:
            raise ModelNotReadyError(model, "is not ready", info.reason)
        return info

    def run(
        self,
        model: str,
        series_uid: str,
        principal: Principal,
        *,
        version: str | None = None,
        params: Mapping[str, Any] | None = None,
        on_progress: Callable[[float, str], None] | None = None,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> Segmented:
        """Segment a series, as `Runner.run` does. Who gives up does not wait for the endpoint, which goes on.

        Raises
        ------
        ServingError
            If the endpoint cannot be reached, or fails.
        ModelNotFoundError
            If it serves another model, or another version.
        SeriesNotFoundError
            If there is no such series, or the principal may not see it.
        UnsuitableSeriesError
            If its images do not make one volume, or are of another modality than the model's.
        RunCancelledError
            If the caller gave up.
        """
        series = read_series(self._index, series_uid, principal)
        info = self.ready(model)
        if version not in (None, info.version):
            raise ModelNotFoundError(model, f"has no version {version} at {self._url}", f"It serves {info.version}.")
        if on_progress:
            on_progress(0.0, "segmenting")
        started = time.monotonic()
        asked = {"series_uid": series_uid, "params": dict(params or {}), "output": "bytes"}
        answer = self._ask(asked, is_cancelled or (lambda: False))
        labels = dict(info.labels)
        segmentation = self._understood(lambda: pydicom.dcmread(BytesIO(base64.b64decode(answer["seg"]))))
        labelmap = read_segmentation(segmentation, series, labels=labels).values
        if on_progress:
            on_progress(1.0, "segmenting")
        return Segmented(series, labelmap, labels, model, answer["version"], time.monotonic() - started)

    def _ask(self, inputs: Mapping[str, Any], is_cancelled: Callable[[], bool]) -> dict[str, Any]:
        left = threading.Event()
        try:
            # On a thread, since that of a notebook runs a loop already. Who is interrupted leaves it.
            with ThreadPoolExecutor(1) as pool:
                try:
                    posted = self._post({"inputs": inputs}, lambda: left.is_set() or is_cancelled())
                    response = pool.submit(asyncio.run, posted).result()
                finally:
                    left.set()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            problem = f"cannot be reached: {str(error) or type(error).__name__}"
            raise ServingError(self._url, problem, "Start it: pixels models serve NAME.") from error
        if response.is_error:
            raise self._raised_there(response)
        return self._understood(lambda: response.json()["predictions"])

    async def _post(self, payload: Mapping[str, Any], is_cancelled: Callable[[], bool]) -> httpx.Response:
        token = os.environ.get(TOKEN)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(timeout=_TIMEOUT, headers=headers) as client:
            answer = asyncio.create_task(client.post(self._url, json=payload))
            while not answer.done():
                await asyncio.wait([answer], timeout=_PATIENCE)
                if is_cancelled():
                    answer.cancel()
                    raise RunCancelledError(payload["inputs"]["series_uid"], "the run was cancelled")
            return answer.result()

    def _raised_there(self, response: httpx.Response) -> PixelsError:
        """Return what was raised at the endpoint, if it tells that, else that it failed."""
        try:
            told = response.json()
            kind = vars(errors)[told["kind"]]
            if not issubclass(kind, PixelsError):
                raise TypeError(kind)
            facts = told["subject"], told["problem"], told["remedy"]
        except (ValueError, KeyError, TypeError):
            problem = f"answers {response.status_code}: {' '.join(response.text.split())[:300]}"
            return ServingError(self._url, problem, "Its log says more.")
        if kind is errors.SeriesNotFoundError:
            remedy = "Register the model with the table, or the DICOMweb server, that has it."
            return ServingError(self._url, f"does not find series {facts[0]}", remedy)
        return kind(*facts)

    def _understood(self, read: Callable[[], _T]) -> _T:
        try:
            return read()
        except Exception as error:
            raise ServingError(self._url, "answers what no model of ours does", "Check its URL.") from error
