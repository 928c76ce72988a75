"""Writing instances into the index, their packed metadata, and what is told of their series."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from dbx.pixels.dicom.fragments import Fragments
from dbx.pixels.index import packing, schema
from dbx.pixels.index.rollups import batches, more_of_series, series_row
from dbx.pixels.index.schema import EVERYTHING_SCOPE
from dbx.pixels.index.store import Store
from dbx.pixels.index.values import divided

_Uids = tuple[str, str]
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID")

#: Threads that compress: enough for one that writes.
_COMPRESSING = 2

#: Instances of a series come in this order, and the first one tells of the series.
_ORDER = ("hidden", "InstanceNumber", "path")


class _Series(NamedTuple):
    """What new instances tell of their series."""

    id: int
    study_id: int
    uids: _Uids
    first_id: int
    order: tuple[Any, ...]
    data_set: bytes
    classes: set[str]
    shown: int


class _Packs:
    """Packs that are being compressed, and the places of instances in them, one after the other."""

    def __init__(self, pool: Executor) -> None:
        self.places: dict[str, list[int]] = {"series_id": [], "pack_id": [], "start": [], "size": []}
        self._pool = pool
        self._rows: list[tuple[int, int, bool, int, Future[bytes]]] = []

    def add(self, pack_id: int, series_id: int, shown: bool, text: packing.Text) -> None:
        data = self._pool.submit(packing.compress, text.text)
        self._rows.append((pack_id, series_id, shown, len(text.text), data))
        self.places["series_id"] += [series_id] * len(text.sizes)
        self.places["pack_id"] += [pack_id] * len(text.sizes)
        self.places["start"] += text.starts
        self.places["size"] += text.sizes

    def rows(self) -> list[tuple[Any, ...]]:
        return [(*row, data.result()) for *row, data in self._rows]


class Loader:
    """Writes instances that the index does not hold.

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
    series_ids : dict
        By Study and Series Instance UID, of series that the index holds and that may get more instances; extended.
    """

    def __init__(
        self,
        store: Store,
        connection: sa.Connection,
        file_ids: dict[str, int],
        study_ids: dict[str, int],
        series_ids: dict[_Uids, int],
    ) -> None:
        self._store = store
        self._connection = connection
        self._file_ids = pa.table({"uri": list(file_ids), "id": list(file_ids.values())})
        self._study_ids = study_ids
        self._series_ids = series_ids
        self._unfinished = set(series_ids.values())
        self._next = {
            table.name: (connection.scalar(sa.select(sa.func.max(column))) or 0) + 1
            for table, column in (
                (schema.study, schema.series.c.study_id),
                (schema.series, schema.series.c.id),
                (schema.own, schema.own.c.id),
                (schema.shared, schema.shared.c.id),
                (schema.pack, schema.pack.c.id),
            )
        }
        # No pack ever has the id of another one, so that who reads several notices when they were written anew.
        self._next["pack"] = max(self._next["pack"], time.time_ns() // 1000)

    def load(self, rows: pa.Table) -> set[tuple[int, int]]:
        """Write instances, of which these are rows as `Source.rows` gives them.

        Returns
        -------
        set of tuple
            The ids of their series and studies, whose rows have to be written.
        """
        table, metadata = _in_order(rows)
        sops, classes = table["SOPInstanceUID"].to_pylist(), table["SOPClassUID"].to_pylist()
        hidden = table["hidden"].to_numpy()
        new = dict(self._next)
        ids = self._take("own", table.num_rows)
        series: list[_Series] = []
        with ThreadPoolExecutor(_COMPRESSING) as pool:
            packs = _Packs(pool)
            begin = 0
            for end in _ends(table):
                study, of = (table[name][begin].as_py() for name in _UIDS)
                series_id = self._series_id((study, of))
                first_hidden = end - int(hidden[begin:end].sum())
                for shown, some in ((True, slice(begin, first_hidden)), (False, slice(first_hidden, end))):
                    pack_id, begun = self._last_pack(series_id) if shown else (None, b"")
                    for text in packing.texts(metadata[some], study, of, sops[some], begun):
                        packs.add(pack_id or self._take("pack")[0], series_id, shown, text)
                        pack_id = None
                series.append(
                    _Series(
                        id=series_id,
                        study_id=self._study_id(study),
                        uids=(study, of),
                        first_id=ids[begin],
                        order=tuple(table[name][begin].as_py() for name in _ORDER),
                        data_set=b"{" + bytes(metadata[begin]),
                        classes={uid for uid in classes[begin:first_hidden] if uid},
                        shown=first_hidden - begin,
                    )
                )
                begin = end
            self._write_series(series, new["series"])
            self._write_instances(table, {"id": ids, **packs.places})
            self._write_packs(packs.rows(), new["pack"])
        return {(some.id, some.study_id) for some in series}

    def _last_pack(self, series_id: int) -> tuple[int | None, bytes]:
        """Return the pack that more instances of a series are added to, with its text; None if they begin one."""
        if series_id not in self._unfinished:
            return None, b""
        self._unfinished.remove(series_id)
        pack = schema.pack.c
        query = sa.select(pack.id, pack.data, pack.size).where(pack.series_id == series_id, pack.shown)
        last = self._connection.execute(query.order_by(pack.id.desc()).limit(1)).one_or_none()
        if last is None or last.size > packing.PACK_BYTES:
            return None, b""
        return last.id, packing.Pack(last.data, last.size).text()

    def _write_packs(self, rows: list[tuple[Any, ...]], first_new: int) -> None:
        """Write packs, those anew that were added to."""
        for ids in batches([number for number, *_ in rows if number < first_new]):
            self._connection.execute(sa.delete(schema.pack).where(schema.pack.c.id.in_(ids)))
        self._store.insert(self._connection, schema.pack, rows)

    def _write_series(self, series: list[_Series], first_new: int) -> None:
        """Write the rows of series, those anew that have got more instances."""
        table, own = schema.series, schema.own.c
        held: dict[int, Any] = {}
        for ids in batches([some.id for some in series if some.id < first_new]):
            of = sa.and_(table.c.scope == EVERYTHING_SCOPE, table.c.id.in_(ids))
            query = sa.select(sa.not_(own.shown), own.InstanceNumber, own.path, table)
            found = self._connection.execute(query.join(schema.own, own.id == table.c.first_id).where(of))
            held.update((row.id, row) for row in found)
            self._connection.execute(sa.delete(table).where(of))
        rows = []
        for some in series:
            row, classes, shown = held.get(some.id), some.classes, some.shown
            if row:
                classes = classes.union(divided(row.SOPClassesInSeries))
                shown += row.NumberOfSeriesRelatedInstances
            if row and _sortable(row[:3]) < _sortable(some.order):
                rows.append(more_of_series(row[3:], classes, shown))
            else:
                of_series = (some.id, some.study_id, some.first_id, some.uids)
                rows.append(series_row(EVERYTHING_SCOPE, *of_series, some.data_set, classes, shown))
        self._store.insert(self._connection, table, rows)

    def _write_instances(self, table: pa.Table, places: dict[str, Any]) -> None:
        """Write what instances have for themselves, and what they share with others of their series."""
        files = pc.index_in(table["filename"], self._file_ids["uri"])
        table = table.append_column("file_id", self._file_ids["id"].take(files))
        table = table.append_column("series_id", pa.array(places["series_id"], pa.int64()))
        columns = {**places, "shared_id": self._write_shared(table)}
        columns |= _columns(table, [column.name for column in schema.own.columns if column.name not in columns])
        self._store.insert(self._connection, schema.own, zip(*columns.values(), strict=True), list(columns))

    def _write_shared(self, table: pa.Table) -> list[int]:
        """Write every combination of shared values in a series once, and return their ids instance by instance."""
        names = [column.name for column in schema.shared.columns if column.name != "id"]
        numbered = table.select(names).append_column("number", pa.array(np.arange(table.num_rows)))
        found = numbered.group_by(names, use_threads=False).aggregate([("number", "list")])
        ids = self._take("shared", found.num_rows)
        columns = {"id": ids, **_columns(found, names)}
        self._store.insert(self._connection, schema.shared, zip(*columns.values(), strict=True), list(columns))
        instances = found["number_list"].combine_chunks()
        shared_ids = np.empty(table.num_rows, np.int64)
        shared_ids[instances.flatten().to_numpy()] = np.repeat(np.array(ids), instances.value_lengths().to_numpy())
        return shared_ids.tolist()

    def _take(self, name: str, count: int = 1) -> range:
        first = self._next[name]
        self._next[name] += count
        return range(first, first + count)

    def _study_id(self, uid: str) -> int:
        if uid not in self._study_ids:
            self._study_ids[uid] = self._take("study")[0]
        return self._study_ids[uid]

    def _series_id(self, uids: _Uids) -> int:
        if uids not in self._series_ids:
            self._series_ids[uids] = self._take("series")[0]
        return self._series_ids[uids]


def _in_order(rows: pa.Table) -> tuple[pa.Table, list[memoryview]]:
    """Sort the rows of each series, with their metadata apart."""
    rows = rows.append_column("hidden", pc.invert(rows["shown"]).cast(pa.int8()))
    rows = rows.set_column(rows.column_names.index("shown"), "shown", rows["shown"].cast(pa.int8()))
    keys = (*_UIDS, *_ORDER)
    order = pc.sort_indices(rows.select(keys), [(name, "ascending") for name in keys])
    metadata = packing.data_sets(rows["meta"])
    table = rows.drop_columns(["meta"]).take(order).combine_chunks()
    return table, [metadata[number] for number in order.to_numpy().tolist()]


def _ends(table: pa.Table) -> list[int]:
    """Return the numbers of the rows after the last one of each series."""
    return np.union1d(*(pc.run_end_encode(table[name].combine_chunks()).run_ends for name in _UIDS)).tolist()


def _sortable(values: Sequence[Any]) -> tuple[Any, ...]:
    """Return what compares as rows are sorted by `_ORDER`."""
    hidden, number, path = values
    return bool(hidden), number is None, number, path


def _columns(table: pa.Table, names: Sequence[str]) -> dict[str, list[Any]]:
    """Return columns by name. Most attributes are those of other modalities: what is null all over is left out."""
    return {name: _python(table[name]) for name in names if table[name].null_count < table.num_rows}


def _python(column: pa.ChunkedArray) -> list[Any]:
    return Fragments.column_to_bytes(column) if pa.types.is_list(column.type) else column.to_pylist()
