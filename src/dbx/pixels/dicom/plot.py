"""A grid of pictures for notebooks and for the demo."""

from __future__ import annotations

from typing import Any


class DicomPlot:
    """Show the pictures of a frame."""

    def __init__(self, df: Any) -> None:
        self.df = df
