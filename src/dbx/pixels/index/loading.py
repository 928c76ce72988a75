"""Writing instances into the index, their packed metadata, and what is told of their series."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

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

_Item = TypeVar("_Item")
_Uids = tuple[str, str]
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID")

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
    """Packs of some instances, in their order, which are being filled."""

    def __init__(self, filler: Executor) -> None:
        self._filler = filler
        self._filling: list[tuple[int, int, bool, Future[packing.Filled]]] = []

    def add(self, pack_id: int, series_id: int, shown: bool, *arguments: Any) -> None:
        """Begin to fill one, with the arguments of `packing.fill`."""
        self._filling.append((pack_id, series_id, shown, self._filler.submit(packing.fill, *arguments)))

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the rows of `schema.pack`."""
        rows = []
        for *ids, filling in self._filling:
            pack = filling.result().pack
            rows.append((*ids, pack.size, pack.data))
        return rows

    def places(self) -> dict[str, list[int]]:
        """Return the columns of `schema.own` that say where instances are."""
        places: dict[str, list[int]] = {"pack_id": [], "start": [], "size": []}
        for pack_id, *_, filling in self._filling:
            _, starts, sizes = filling.result()
            places["pack_id"] += [pack_id] * len(sizes)
            places["start"] += starts
            places["size"] += sizes
        return places


class _Part(NamedTuple):
    """Instances that are to be written, and the ids from which on series and packs are new with them."""

    table: pa.Table
    ids: range
    series: list[_Series]
    packs: _Packs
    first_series: int
    first_pack: int


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

    def load(self, parts: Iterable[pa.Table]) -> set[tuple[int, int]]:
        """Write instances, of which these are rows as `Source.rows` gives them.

        Returns
        -------
        set of tuple
            The ids of their series and studies, whose rows have to be written.
        """
        loaded: set[tuple[int, int]] = set()
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as filler:
            before: _Part | None = None
            for table, metadata in _ahead(map(_in_order, parts), reader):
                part = self._begin(table, metadata, filler)
                if before:  # its packs were filled meanwhile
                    loaded |= self._write(before)
                before = part
            if before:
                loaded |= self._write(before)
        return loaded

    def _begin(self, table: pa.Table, metadata: list[memoryview], filler: Executor) -> _Part:
        """Give instances their ids, and begin to fill their packs."""
        sops, classes = table["SOPInstanceUID"].to_pylist(), table["SOPClassUID"].to_pylist()
        hidden = table["hidden"].to_numpy()
        first_series, first_pack = self._next["series"], self._next["pack"]
        ids = self._take("own", table.num_rows)
        series: list[_Series] = []
        series_ids: list[int] = []
        packs = _Packs(filler)
        begin = 0
        for end in _ends(table):
            uids = table["StudyInstanceUID"][begin].as_py(), table["SeriesInstanceUID"][begin].as_py()
            series_id = self._series_id(uids)
            first_hidden = end - int(hidden[begin:end].sum())
            for shown, some in ((True, slice(begin, first_hidden)), (False, slice(first_hidden, end))):
                pack_id, begun = self._last_pack(series_id) if shown else (None, b"")
                for of_pack in packing.divide(metadata[some], len(begun)):
                    data_sets, instances = metadata[some][of_pack], sops[some][of_pack]
                    packs.add(pack_id or self._take("pack")[0], series_id, shown, data_sets, *uids, instances, begun)
                    pack_id, begun = None, b""
            series.append(
                _Series(
                    id=series_id,
                    study_id=self._study_id(uids[0]),
                    uids=uids,
                    first_id=ids[begin],
                    order=tuple(table[name][begin].as_py() for name in _ORDER),
                    data_set=b"{" + bytes(metadata[begin]),
                    classes={uid for uid in classes[begin:first_hidden] if uid},
                    shown=first_hidden - begin,
                )
            )
            series_ids += [series_id] * (end - begin)
            begin = end
        table = table.append_column("series_id", pa.array(series_ids, pa.int64()))
        return _Part(table, ids, series, packs, first_series, first_pack)

    def _write(self, part: _Part) -> set[tuple[int, int]]:
        self._write_series(part.series, part.first_series)
        shared_ids = self._write_shared(part.table)
        self._write_packs(part.packs.rows(), part.first_pack)
        self._write_own(part.table, {"id": part.ids, "shared_id": shared_ids, **part.packs.places()})
        return {(some.id, some.study_id) for some in part.series}

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

    def _write_own(self, table: pa.Table, columns: dict[str, Any]) -> None:
        """Write what instances have for themselves, of which these columns are not in the table."""
        files = pc.index_in(table["filename"], self._file_ids["uri"])
        table = table.append_column("file_id", self._file_ids["id"].take(files))
        names = _filled((column.name for column in schema.own.columns if column.name not in columns), table)
        columns = columns | _columns(table, names)
        self._store.insert(self._connection, schema.own, zip(*columns.values(), strict=True), list(columns))

    def _write_shared(self, table: pa.Table) -> list[int]:
        """Write every combination of shared values in a series once, and return their ids instance by instance."""
        names = _filled([column.name for column in schema.shared.columns if column.name != "id"], table)
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


def _ahead(items: Iterator[_Item], thread: Executor) -> Iterator[_Item]:
    """Yield items of which the next one is computed meanwhile."""
    ahead = thread.submit(next, items, None)
    while (item := ahead.result()) is not None:
        ahead = thread.submit(next, items, None)
        yield item


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


def _filled(names: Iterable[str], table: pa.Table) -> list[str]:
    """Leave out columns that are null all over: most attributes are those of other modalities."""
    return [name for name in names if table[name].null_count < table.num_rows]


def _columns(table: pa.Table, names: Iterable[str]) -> dict[str, list[Any]]:
    return {name: _python(table[name]) for name in names}


def _python(column: pa.ChunkedArray) -> list[Any]:
    return Fragments.column_to_bytes(column) if pa.types.is_list(column.type) else column.to_pylist()
