"""One MONAI bundle that is loaded: its network, and its transforms around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbx.pixels.ai.models import ModelInfo


class Bundle:
    """A model of which one version is loaded.

    Attributes
    ----------
    info : ModelInfo
        What is known of it.
    version : str
        The version that is loaded.
    """

    info: ModelInfo
    version: str

    def segment(
        self,
        volume: NDArray[np.float32],
        affine: NDArray[np.float64],
        *,
        params: Mapping[str, Any] | None = None,
        on_progress: Callable[[float], None] | None = None,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> NDArray[np.uint8]:
        """Segment a volume.

        Parameters
        ----------
        volume : array of shape (slices, rows, columns)
            Values as the model's modality has them: Hounsfield units for CT.
        affine : array of shape (4, 4)
            From voxels (column, row, slice) to millimetres in the patient's coordinates (PS3.3 section C.7.6.2.1.1),
            which are LPS.
        params : mapping, optional
            What the model takes beside the series: keys of ``info.prompts``, with plain values.
        on_progress : callable, optional
            Told the part that is done, from 0 to 1.
        is_cancelled : callable, optional
            Asked between windows whether to give up.

        Returns
        -------
        array of shape (slices, rows, columns)
            The labelmap on the same grid: values of ``info.labels``, 0 elsewhere.

        Raises
        ------
        ArgumentError
            If `params` has a key that the model does not take, or a value that is not plain.
        ModelError
            If the model fails.
        RunCancelledError
            If the caller gave up.
        """
        raise NotImplementedError
