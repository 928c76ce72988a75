"""Any sequence of savings, removals and compactions gives what a dictionary by path gives."""

from __future__ import annotations

import tempfile
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dbx.pixels.table import ObjectTable, optimize
from table_rows import live, row, rows

PATHS = st.sampled_from([f"/{folder}/{name}" for folder in "ab" for name in range(4)])
OBJECTS = st.fixed_dictionaries(
    {"path": PATHS, "length": st.integers(1, 2)},
    optional={"thumbnail": st.sampled_from([b"one", b"two"]), "extension": st.just("dcm")},
)
COLUMNS = ("length", "thumbnail", "extension")


class TableAgainstDictionary(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.tables = [ObjectTable.create_if_missing(self.folder.name)]
        self.tables.append(ObjectTable.open(self.folder.name))
        self.model: dict[str, dict[str, Any]] = {}

    @rule(objects=st.lists(OBJECTS, min_size=1, max_size=4), writer=st.integers(0, 1))
    def save(self, objects: list[dict[str, Any]], writer: int) -> None:
        self.tables[writer].save(rows(*(row(**one) for one in objects)))
        for path, one in {one["path"]: one for one in objects}.items():
            old = self.model.get(path)
            if old is None or old["length"] != one["length"]:
                self.model[path] = one
            elif any(name not in old for name in one):
                self.model[path] = old | one

    @rule(known=st.dictionaries(PATHS, st.integers(1, 2), min_size=1, max_size=3), writer=st.integers(0, 1))
    def remove(self, known: dict[str, int], writer: int) -> None:
        removed = self.tables[writer].remove(rows(*(row(path, length=length) for path, length in known.items())))
        gone = [path for path, one in self.model.items() if known.get(path) == one["length"]]
        assert removed.removed == len([self.model.pop(path) for path in gone])

    @rule(folder=st.sampled_from(["/a", "/b", "/c"]))
    def remove_under(self, folder: str) -> None:
        self.tables[0].remove_under(folder)
        self.model = {path: one for path, one in self.model.items() if not path.startswith(folder)}

    @rule()
    def optimize(self) -> None:
        optimize(self.tables[1])

    @invariant()
    def table_equals_dictionary(self) -> None:
        expected = {path: tuple(one.get(name) for name in COLUMNS) for path, one in self.model.items()}
        assert live(self.tables[0], *COLUMNS) == expected

    def teardown(self) -> None:
        self.folder.cleanup()


TestTableAgainstDictionary = TableAgainstDictionary.TestCase
TestTableAgainstDictionary.settings = settings(max_examples=8, stateful_step_count=12, deadline=None)
