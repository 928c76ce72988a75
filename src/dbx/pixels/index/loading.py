"""Writing series into the index: their instances, packed metadata and what is told of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from dbx.pixels.index import schema
from dbx.pixels.index.model import Level
from dbx.pixels.index.packing import PACK_BYTES, Packed, compress, with_bulk_root, without_file_meta
from dbx.pixels.index.rollups import series_row
from dbx.pixels.index.schema import ATTRIBUTES_BY_LEVEL, EVERYTHING_SCOPE
from dbx.pixels.index.store import Store

_ORDER = ("StudyInstanceUID", "SeriesInstanceUID", "hidden", "InstanceNumber", "path")
_BEFORE_ATTRIBUTES = ("path", "local_path", "length", "modificationTime")
_AFTER_ATTRIBUTES = ("pixel_tag", "pixel_offset", "pixel_length")


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
        data_sets = _Metadata(rows["meta"], order)
        table = rows.drop_columns(["meta"]).take(order)
        values = {name: _python(table[name]) for name in table.column_names if name != "fragments"}
        attributes = [values[attribute.keyword] for attribute in ATTRIBUTES_BY_LEVEL[Level.INSTANCE]]
        values["fragments"] = _fragments(table["fragments"])

        packs: list[tuple[Any, ...]] = []
        series: list[tuple[Any, ...]] = []
        placed: list[tuple[int, int, int, int]] = []
        studies: set[int] = set()
        keys = zip(values["StudyInstanceUID"], values["SeriesInstanceUID"], strict=True)
        at = 0
        for (study_uid, series_uid), members in groupby(keys):
            count = sum(1 for _ in members)
            shown = sum(values["shown"][at : at + count])
            study_id, series_id = self._study_id(study_uid), self._take("series")
            studies.add(study_id)
            sops = values["SOPInstanceUID"][at : at + count]
            texts = [with_bulk_root(data_sets[at + n], study_uid, series_uid, sops[n]) for n in range(count)]
            for is_shown, some in ((True, texts[:shown]), (False, texts[shown:])):
                for part, packed in enumerate(pack_all(some)):
                    pack_id = self._take("pack")
                    packs.append(
                        (pack_id, series_id, is_shown, part, packed.size, packed.has_bulk, packed.data),
                    )
                    placed += [
                        (series_id, pack_id, start, size)
                        for start, size in zip(packed.starts, packed.sizes, strict=True)
                    ]
            classes = {uid for uid in values["SOPClassUID"][at : at + shown] if uid}
            uids = (study_uid, series_uid)
            series.append(series_row(EVERYTHING_SCOPE, series_id, study_id, uids, texts[0], classes, shown))
            at += count
        self._store.insert(self._connection, schema.pack, packs)
        self._store.insert(self._connection, schema.series, series)
        first = self._next["instance"]
        self._next["instance"] += at
        instances = zip(
            range(first, first + at),
            [series_id for series_id, *_ in placed],
            [self._file_ids[uri] for uri in values["filename"]],
            values["shown"],
            [pack_id for _, pack_id, *_ in placed],
            [start for _, _, start, _ in placed],
            [size for *_, size in placed],
            *(values[name] for name in _BEFORE_ATTRIBUTES),
            *attributes,
            *(values[name] for name in _AFTER_ATTRIBUTES),
            values["fragments"],
            strict=True,
        )
        self._store.insert(self._connection, schema.instance, list(instances))
        return studies

    def _take(self, name: str) -> int:
        self._next[name] += 1
        return self._next[name] - 1

    def _study_id(self, uid: str) -> int:
        if uid not in self._study_ids:
            self._study_ids[uid] = self._take("study")
        return self._study_ids[uid]


def pack_all(data_sets: Sequence[bytes]) -> Iterator[Packed]:
    """Pack the data sets of a series, in one pack unless they are much."""
    starts, size = [0], 0
    for number, data_set in enumerate(data_sets):
        if size > PACK_BYTES:
            starts.append(number)
            size = 0
        size += len(data_set)
    ends = [*starts[1:], len(data_sets)]
    for start, end in zip(starts, ends, strict=True):
        if start < end:
            yield compress(data_sets[start:end], is_first=start == 0, is_last=end == len(data_sets))


class _Metadata:
    """The metadata of rows in an order, each cut out of Arrow's memory when it is asked for."""

    def __init__(self, column: pa.ChunkedArray, order: pa.Array) -> None:
        array = pa.concat_arrays(
            [chunk.cast(pa.large_string()) for chunk in column.chunks] or [pa.array([], pa.large_string())]
        )
        self._offsets = memoryview(array.buffers()[1]).cast("q")[array.offset :]
        self._text = memoryview(array.buffers()[2] or b"")
        self._order = order.to_numpy().tolist()

    def __getitem__(self, number: int) -> bytes:
        row = self._order[number]
        return without_file_meta(self._text[self._offsets[row] : self._offsets[row + 1]])


def _python(column: pa.ChunkedArray) -> list[Any]:
    if column.null_count == len(column):
        return [None] * len(column)
    if column.null_count == 0 or pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return column.to_numpy().tolist()
    return column.to_pylist()


def _fragments(column: pa.ChunkedArray) -> list[bytes | None]:
    """Pack frame, offset and length of every fragment into 24 bytes."""
    if column.null_count == len(column):
        return [None] * len(column)
    packed: list[bytes | None] = []
    for fragments in column.to_pylist():
        if fragments is None:
            packed.append(None)
        else:
            numbers = [fragment[name] or 0 for fragment in fragments for name in ("frame", "offset", "length")]
            packed.append(memoryview(pa.array(numbers, pa.int64()).to_numpy()).tobytes())
    return packed
