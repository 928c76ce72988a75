"""A model that is served elsewhere, used as if it ran here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dbx.pixels.ai.models import ModelInfo
from dbx.pixels.ai.segmented import Segmented
from dbx.pixels.index import ServingIndex
from dbx.pixels.table.principal import Principal


class RemoteRunner:
    """Runs the model of a serving endpoint on series: what `Runner` does, elsewhere.

    Parameters
    ----------
    url : str
        Of the endpoint, such as ``http://127.0.0.1:5000``; ``/invocations`` may be left out. What
        ``PIXELS_SERVING_TOKEN`` holds is sent as bearer token.
    index : ServingIndex
        Where series are looked up, as far as the principal may see them.
    """

    def __init__(self, url: str, index: ServingIndex) -> None:
        self._url = url
        self._index = index

    def info(self) -> ModelInfo:
        """Return what is known of the endpoint's model.

        Raises
        ------
        ServingError
            If the endpoint cannot be reached.
        """
        raise NotImplementedError

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
        raise NotImplementedError
