"""Matching keys for which the index has no column, in the stored metadata of a few instances."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from dbx.pixels.dicom.json_model import read_data_set
from dbx.pixels.index import schema
from dbx.pixels.index.matching import Matcher
from dbx.pixels.index.model import Level
from dbx.pixels.index.reading import data_sets, in_scope
from dbx.pixels.index.rollups import batches


class JsonKey(NamedTuple):
    """A key with what it demands of the attribute at the end of its path."""

    name: str
    tags: tuple[str, ...]
    matcher: Matcher

    def holds(self, data_set: Mapping[str, Any]) -> bool:
        """Tell whether any of the attribute's values fulfils the key."""
        return any(map(self.matcher.holds, _values(data_set, self.tags)))


def matching(
    connection: sa.Connection, scope: int, level: Level, ids: Sequence[int], keys: Sequence[JsonKey]
) -> dict[int, Any]:
    """Return the studies, series or instances of which one instance fulfils all keys, in their order.

    Returns
    -------
    dict
        By id, where the metadata of this instance lies (`pack_id`, `start`, `size`, and the id as `owner`).
    """
    owner = {
        Level.STUDY: schema.series.c.study_id,
        Level.SERIES: schema.series.c.id,
        Level.INSTANCE: schema.instance.c.id,
    }[level]
    found: dict[int, Any] = {}
    for some in batches(ids):
        query = (
            sa.select(owner.label("owner"), schema.instance.c.pack_id, schema.instance.c.start, schema.instance.c.size)
            .select_from(schema.instance)
            .join(schema.series, schema.series.c.id == schema.instance.c.series_id)
            .where(schema.series.c.scope == scope, owner.in_(some), in_scope(scope))
            .order_by(schema.instance.c.pack_id, schema.instance.c.start)
        )
        places = connection.execute(query).fetchall()
        for place, text in zip(places, data_sets(connection, places), strict=True):
            if place.owner not in found:
                data_set = read_data_set(text) or {}
                if all(key.holds(data_set) for key in keys):
                    found[place.owner] = place
    return {number: found[number] for number in ids if number in found}


def _values(data_set: Mapping[str, Any], tags: Sequence[str]) -> Iterator[Any]:
    values = data_set.get(tags[0], {}).get("Value", ())
    if len(tags) == 1:
        yield from values
        return
    for item in values:
        if isinstance(item, Mapping):
            yield from _values(item, tags[1:])
