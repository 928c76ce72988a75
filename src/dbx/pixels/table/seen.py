"""What a writer remembers of the files it looked at, so that new paths cost no reading."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa


class SeenPaths:
    """Hashes of the paths in the data files seen so far: eight bytes a row, no false negatives."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._hashes = np.empty(0, dtype=np.int64)

    def __contains__(self, uri: str) -> bool:
        return uri in self._files

    def add(self, uris: Iterable[str], paths: pa.Array | pa.ChunkedArray | None = None) -> None:
        """Remember files as seen, and the paths in them that are in none of the files seen before."""
        self._files.update(uris)
        if paths is not None and len(paths):
            self._hashes = np.sort(np.concatenate([self._hashes, _hashes(paths)]))

    def may_hold(self, paths: pa.Array | pa.ChunkedArray) -> pa.Array:
        """Tell for each path whether one of the seen files may hold it."""
        hashes = _hashes(paths)
        place = np.searchsorted(self._hashes, hashes)
        found = np.zeros(len(hashes), dtype=bool)
        inside = place < len(self._hashes)
        found[inside] = self._hashes[place[inside]] == hashes[inside]
        return pa.array(found)


def _hashes(paths: pa.Array | pa.ChunkedArray) -> np.ndarray:
    return np.fromiter(map(hash, paths.to_pylist()), np.int64, len(paths))
