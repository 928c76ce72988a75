"""Writing series into the index: their instances, packed metadata and what is told of them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from dbx.pixels.dicom.fragments import Fragments
from dbx.pixels.index import schema
from dbx.pixels.index.packing import Metadata, Text, compress, texts
from dbx.pixels.index.rollups import series_row
from dbx.pixels.index.schema import EVERYTHING_SCOPE
from dbx.pixels.index.store import Store

_ORDER = ("StudyInstanceUID", "SeriesInstanceUID", "hidden", "InstanceNumber", "path")


class Loader:
    """Writes series of which the index holds nothing.

    Parameters
    ----------
    store : Store
        Where the index is.
    connection : sqlalchemy.Connection
        That writes.
    file_ids : dict
        By address of a data file.
    study_ids : dict
        By Study Instance UID, of studies that the index holds; extended.
    """

    def __init__(
        self, store: Store, connection: sa.Connection, file_ids: dict[str, int], study_ids: dict[str, int]
    ) -> None:
        self._store = store
        self._connection = connection
        self._file_ids = file_ids
        self._next = {
            table.name: (connection.scalar(sa.select(sa.func.max(column))) or 0) + 1
            for table, column in (
                (schema.study, schema.series.c.study_id),
                (schema.series, schema.series.c.id),
                (schema.instance, schema.instance.c.id),
                (schema.pack, schema.pack.c.id),
            )
        }
        # No pack ever has the id of another one, so that who reads several notices when they were written anew.
        self._next["pack"] = max(self._next["pack"], time.time_ns() // 1000)
        self._study_ids = study_ids

    def load(self, rows: pa.Table) -> set[int]:
        """Write the series of which these are all rows, as `Source.rows` gives them.

        Returns
        -------
        set of int
            The ids of their studies, whose rows have to be written.
        """
        rows = rows.append_column("hidden", pc.invert(rows["shown"]).cast(pa.int8()))
        order = pc.sort_indices(rows.select(_ORDER), [(name, "ascending") for name in _ORDER])
        metadata, places = Metadata(rows["meta"]), order.to_numpy().tolist()
        table = rows.drop_columns(["meta"]).take(order)
        # Most attributes are those of other modalities: what is null all over is not even written.
        names = [name for name in table.column_names if table[name].null_count < table.num_rows]
        values: dict[str, list[Any]] = {
            name: (_fragments if name == "fragments" else _python)(table[name]) for name in names
        }

        packs: list[tuple[Any, ...]] = []
        series: list[tuple[Any, ...]] = []
        placed: list[tuple[int, int, int, int]] = []
        studies: set[int] = set()
        keys = zip(values["StudyInstanceUID"], values["SeriesInstanceUID"], strict=True)
        at = 0
        with ThreadPoolExecutor() as pool:
            for uids, members in groupby(keys):
                end = at + sum(1 for _ in members)
                shown = at + sum(values["shown"][at:end])
                study_id, series_id = self._study_id(uids[0]), self._take("series")
                studies.add(study_id)
                first: Text | None = None
                for is_shown, some in ((True, range(at, shown)), (False, range(shown, end))):
                    data_sets = [metadata.after_brace(places[number]) for number in some]
                    sops = values["SOPInstanceUID"][some.start : some.stop]
                    for part, text in enumerate(texts(data_sets, *uids, sops) if data_sets else ()):
                        first = first or text
                        pack_id = self._take("pack")
                        data = pool.submit(compress, text.text)
                        packs.append((pack_id, series_id, is_shown, part, len(text.text), text.has_bulk, data))
                        placed += [(series_id, pack_id, *place) for place in zip(text.starts, text.sizes, strict=True)]
                assert first is not None
                told = first.text[first.starts[0] : first.starts[0] + first.sizes[0]]
                classes = {uid for uid in values.get("SOPClassUID", [])[at:shown] if uid}
                series.append(series_row(EVERYTHING_SCOPE, series_id, study_id, uids, told, classes, shown - at))
                at = end
        packs = [(*pack, data.result()) for *pack, data in packs]
        self._store.insert(self._connection, schema.pack, packs)
        self._store.insert(self._connection, schema.series, series)
        next_id = self._next["instance"]
        self._next["instance"] += at
        series_ids, pack_ids, starts, sizes = zip(*placed, strict=True)
        columns = {
            "id": range(next_id, next_id + at),
            "series_id": series_ids,
            "file_id": [self._file_ids[uri] for uri in values["filename"]],
            "pack_id": pack_ids,
            "start": starts,
            "size": sizes,
            **{column.name: values[column.name] for column in schema.instance.columns if column.name in values},
        }
        instances = list(zip(*columns.values(), strict=True))
        self._store.insert(self._connection, schema.instance, instances, list(columns))
        return studies

    def _take(self, name: str) -> int:
        self._next[name] += 1
        return self._next[name] - 1

    def _study_id(self, uid: str) -> int:
        if uid not in self._study_ids:
            self._study_ids[uid] = self._take("study")
        return self._study_ids[uid]


def _python(column: pa.ChunkedArray) -> list[Any]:
    if column.null_count == 0 or pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return column.to_numpy().tolist()
    return column.to_pylist()


def _fragments(column: pa.ChunkedArray) -> list[bytes | None]:
    """Pack frame, offset and length of every fragment into 24 bytes."""
    return [
        None if fragments is None else Fragments.from_rows(fragments).to_bytes() for fragments in column.to_pylist()
    ]
