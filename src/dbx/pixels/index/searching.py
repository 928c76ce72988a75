"""Answering a search: which studies, series or instances match."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from pydicom.datadict import dictionary_VR, keyword_for_tag

from dbx.pixels.errors import ArgumentError
from dbx.pixels.index import schema
from dbx.pixels.index.answers import answers, columns
from dbx.pixels.index.attributes import INSTANCE_AVAILABILITY, RETRIEVE_URL, SEARCHABLE, Searchable
from dbx.pixels.index.json_matching import JsonKey, matching
from dbx.pixels.index.matching import Demands, matcher
from dbx.pixels.index.model import Found, Key, Level, Search
from dbx.pixels.index.names import candidates
from dbx.pixels.index.querying import Shape, form, parameters, query
from dbx.pixels.index.schema import TABLE_BY_LEVEL

#: Instances whose metadata is searched for a key that has no column.
MOST_SEARCHED = 5000
#: Keys that demand something: for each that a level below answers, PostgreSQL has one more join to plan.
MOST_KEYS = 50
#: Comparisons of all keys together, of which SQLite takes 1000: each pattern is one, each word of a fuzzy name several.
MOST_COMPARED = 200

_BINARY_VRS = {"OB", "OD", "OF", "OL", "OV", "OW", "UN"}
#: Values of Modality (PS3.3 C.7.3.1.1.1) of what is made of images, lies over them, or has none.
_NO_IMAGES = (
    *("ANN", "ASMT", "AU", "DOC", "ECG", "EEG", "EMG", "EOG", "EPS", "FID", "HD", "KO", "M3D", "PLAN", "PR", "REG"),
    *("RESP", "RTDOSE", "RTPLAN", "RTRECORD", "RTSTRUCT", "RWV", "SEG", "SMR", "SR", "STAIN", "TEXTUREMAP"),
)


@dataclass
class _Understood:
    """Keys, sorted by how they are answered."""

    compared: list[tuple[Searchable, Demands]] = field(default_factory=list)
    in_json: list[JsonKey] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    never: bool = False


def search(connection: sa.Connection, scope: int, wanted: Search) -> Found:
    """Answer a search.

    Raises
    ------
    ArgumentError
        If a key or its value is malformed, keys demand too much, or `limit` or `offset` is negative.
    """
    for name, number in (("limit", wanted.limit or 0), ("offset", wanted.offset)):
        if number < 0:
            raise ArgumentError(name, f"{number} is negative", "Write a number of results, 0 or more.")
    understood = _understand(wanted)
    warnings = []
    if understood.unmatched:
        warnings.append(f"These keys cannot be matched and were ignored: {', '.join(understood.unmatched)}.")
    if understood.never:
        return Found([], warnings)
    keys = tuple((searchable, form(demands)) for searchable, demands in understood.compared)
    values = parameters(demands for _, demands in understood.compared)
    within = _given(study=wanted.study, series=wanted.series, candidates=candidates(connection, understood.compared))
    page = _given(limit=wanted.limit, offset=wanted.offset or None)
    shape = Shape(wanted.level, scope, columns(wanted), frozenset(within | page), keys)
    if understood.in_json:
        whole = shape._replace(given=frozenset(within))
        if _instances(connection, whole, within | values) <= MOST_SEARCHED:
            return Found(_matching_json(connection, whole, wanted, within | values, understood.in_json), warnings)
        names = ", ".join(key.name for key in understood.in_json)
        warnings.append(
            f"These keys are not indexed and were ignored: {names}."
            f" They are matched where the other keys leave {MOST_SEARCHED} instances at most."
        )
    rows = connection.execute(query(shape), within | page | values).fetchall()
    return Found(answers(connection, scope, wanted, rows), warnings)


def series_of(connection: sa.Connection, scope: int, modalities: Iterable[str]) -> list[str]:
    """Return the UIDs of the series of some modalities, in the order of answers; an empty one stands for all images."""
    wanted = set(modalities)
    series = schema.series.c
    select = query(Shape(Level.SERIES, scope, (series.SeriesInstanceUID,), frozenset(), ()))
    is_image = sa.func.coalesce(series.Modality, "").not_in(_NO_IMAGES)
    return list(connection.scalars(select.where(is_image if "" in wanted else series.Modality.in_(wanted))))


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _understand(wanted: Search) -> _Understood:
    understood = _Understood()
    keys = compared = 0
    for key in wanted.keys:
        name, vr = _named(key)
        found = matcher(name, vr, key.value, fuzzy=wanted.fuzzy)
        if found is None:
            continue
        if vr == "SQ":
            remedy = f"Ask about an attribute in it: {name}.Keyword=value."
            raise ArgumentError(name, "is a sequence, which has no value of its own", remedy)
        searchable = SEARCHABLE.get(key.tags[0]) if len(key.tags) == 1 else None
        demands = found.demands(listed=searchable.multiple if searchable else False)
        keys += 1
        compared += sum(map(len, demands))
        if keys > MOST_KEYS or compared > MOST_COMPARED:
            problem = f"with this key there are more than {MOST_KEYS} keys, or {MOST_COMPARED} patterns and words"
            raise ArgumentError(name, problem, "Ask with fewer.")
        if _is_unmatched(key.tags, vr):
            understood.unmatched.append(name)
        elif searchable:
            understood.compared.append((searchable, demands))
        elif key.tags == (INSTANCE_AVAILABILITY,):
            understood.never |= not found.holds("ONLINE")
        else:
            understood.in_json.append(JsonKey(name, key.tags, found))
    return understood


def _named(key: Key) -> tuple[str, str]:
    """Return how a key is called in messages, and its value representation; private attributes are text."""
    *sequences, vr = map(_vr, key.tags)
    names = [keyword_for_tag(int(tag, 16)) or tag for tag in key.tags]
    for name, found in zip(names, sequences, strict=False):
        if found not in ("SQ", None):
            raise ArgumentError(
                ".".join(names), f"{name} is no sequence", "Write dots between a sequence and what is in it."
            )
    return ".".join(names), vr or "LO"


def _vr(tag: str) -> str | None:
    try:
        return dictionary_VR(int(tag, 16)).split(" ")[0]
    except KeyError:
        return None


def _is_unmatched(tags: tuple[str, ...], vr: str) -> bool:
    """Tell whether an attribute has no values to compare: its are binary, or it is in no object that is answered."""
    is_absent = (tags[0].startswith("0002") and tags[0] not in SEARCHABLE) or tags == (RETRIEVE_URL,)
    return vr in _BINARY_VRS or is_absent


def _matching_json(
    connection: sa.Connection, shape: Shape, wanted: Search, values: Mapping[str, Any], keys: list[JsonKey]
) -> list[bytes]:
    """Answer with the page of those that other keys leave and of which the metadata matches."""
    number = TABLE_BY_LEVEL[shape.level].c.id
    candidates = list(connection.scalars(query(shape._replace(columns=(number,))), values))
    places = matching(connection, shape.scope, shape.level, candidates, keys)
    end = None if wanted.limit is None else wanted.offset + wanted.limit
    page = query(shape).where(number.in_(list(places)[wanted.offset : end]))
    return answers(connection, shape.scope, wanted, connection.execute(page, values).fetchall(), places)


def _instances(connection: sa.Connection, shape: Shape, values: Mapping[str, Any]) -> int:
    """Return how many instances the rows of a query have; of many, it stops counting."""
    matching = query(shape).order_by(None)
    if shape.level is Level.INSTANCE:
        some = matching.with_only_columns(schema.instance.c.id).limit(MOST_SEARCHED + 1).subquery()
        return connection.scalar(sa.select(sa.func.count()).select_from(some), values) or 0
    counted = (
        schema.study.c.NumberOfStudyRelatedInstances
        if shape.level is Level.STUDY
        else schema.series.c.NumberOfSeriesRelatedInstances
    )
    return connection.scalar(matching.with_only_columns(sa.func.sum(counted)), values) or 0
