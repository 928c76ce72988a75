"""Searching: what matches a key, what is answered, in which order (PS3.4 C.2.2.2, PS3.18 10.6)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from dbx.pixels import Catalog
from dbx.pixels.errors import ArgumentError
from dbx.pixels.index import BULK_ROOT, Key, Level, Search, ServingIndex
from dbx.pixels.index.matching import matcher
from dbx.pixels.table import EVERYTHING, ObjectTable
from index_fixtures import OpenIndex
from index_table import found, instance
from table_rows import rows

pytest_plugins = ["postgres", "index_fixtures"]

NAME, BIRTH, DATE, TIME, MODALITY = "00100010", "00100030", "00080020", "00080030", "00080060"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, index_url: str | None) -> Iterator[ServingIndex]:
    """Four studies: a CT, an MR with a report, a CT of someone with other letters, and one that tells little."""
    catalog = Catalog(home=str(tmp_path_factory.mktemp("home")))
    table = ObjectTable.create_if_missing(catalog.location())
    code = Dataset()
    code.CodeValue, code.CodeMeaning = "T-A0100", "Brain [all_of%it]"
    table.save(
        rows(
            instance("/1", 1, PatientName="Müller^Anna Maria", StudyDate="20240101", StudyTime="0815", SeriesNumber=2),
            instance("/2", 1, number=2, PatientName="Müller^Anna Maria", StudyDate="20240101", StudyTime="0815"),
            instance(
                "/3",
                2,
                PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう",
                StudyDate="20240215",
                StudyTime="120000.5",
                Modality="MR",
                ImageType=["ORIGINAL", "PRIMARY"],
                PixelSpacing=[0.5, 0.75],
                ProcedureCodeSequence=[code],
                EchoTime=4.6,
                AcquisitionDateTime="20240215121500+0100",
            ),
            instance("/4", 2, 2, PatientName="", StudyDate="20240215", Modality="SR", SOPClassUID="1.2.3", Rows=None),
            instance("/5", 3, PatientName="O'Neil^Shaun^[x]", StudyDate="20241231", StudyTime="235959", Rows=256),
            instance("/6", 4, PatientName=None, StudyDate=None, PatientID="a_b%c", SeriesDescription="Spät*"),
        )
    )
    index = ServingIndex.open(catalog, index_url)
    index.sync()
    yield index
    index.close()


@pytest.mark.parametrize(
    ("tag", "value", "studies"),
    [
        ("00100020", "P1", "1"),
        ("00100020", "p1", ""),
        ("00100020", "P?", "321"),
        ("00100020", "*", "3214"),
        ("00100020", "", "3214"),
        ("00100020", r"P1\P3", "31"),
        ("00100020", r"P1\*3", "31"),
        ("00100020", "\\", ""),
        ("00100020", "a_b%?", "4"),
        ("00100020", "a?b*", "4"),
        ("0020000D", "1.2.1,1.2.3", "31"),
        ("0020000D", r"1.2.1\1.2.3", "31"),
        (NAME, "MÜLLER*", "1"),
        (NAME, "muller^anna maria", "1"),
        (NAME, "muller", ""),
        (NAME, "*tarou*", "2"),
        (NAME, "山田*", "2"),
        (NAME, "やまだ^たろう", "2"),
        (NAME, "Yamada^Tarou=山田^太郎*", "2"),
        (NAME, "?amada*", "2"),
        (NAME, "?yamada*", ""),
        (NAME, "O'neil^shaun^[x]", "3"),
        (NAME, "*^[x?", "3"),
        (DATE, "20240101", "1"),
        (DATE, "2024.01.01", "1"),
        (DATE, "20240102-20241231", "32"),
        (DATE, "20240215-", "32"),
        (DATE, "-20240215", "21"),
        (TIME, "08", "1"),
        (TIME, "0815", "1"),
        (TIME, "0816-1200", "2"),
        (TIME, "12:00:00-", "32"),
        ("00080061", "SR", "2"),
        ("00080061", "CT,SR", "3214"),
        ("00080061", "M?", "2"),
        ("00080062", "1.2.3", "2"),
        ("00201206", "2", "2"),
        ("00201208", "2", "21"),
        (MODALITY, "MR", "2"),
        ("0008103E", "Spät*", "4"),
        ("00280010", "256", "3"),
        ("00280010", "256.4", ""),
        ("00280010", r"1e30\inf\nan", ""),
        ("00201208", "1e30", ""),
        ("00080056", "ONLINE", "3214"),
        ("00080056", "OFFLINE", ""),
    ],
)
def test_studies_by_one_key(index: ServingIndex, tag: str, value: str, studies: str) -> None:
    assert found(index, Level.STUDY, (tag, value)) == [f"1.2.{number}" for number in studies]


@pytest.mark.parametrize(
    ("name", "studies"),
    [
        *[("maria muller", "1"), ("ann MÜL", "1"), ("tarou*", "2"), ("太郎", "2"), ("yamada 太郎", "2"), ("nn", "")],
        *[("*ull*", "1"), ("*NNA müll*", "1"), ("*ri?", "1"), ("m?ll*^anna", "1"), ("?aria", "1"), ("ull", "")],
    ],
)
def test_fuzzy_names_match_by_the_beginnings_of_words(index: ServingIndex, name: str, studies: str) -> None:
    assert found(index, Level.STUDY, (NAME, name), fuzzy=True) == [f"1.2.{number}" for number in studies]


@given(
    name=st.text("abÄ^ =-,", max_size=8).map(lambda text: text.strip(" ")),
    pattern=st.text("abÄ^ =-,*?", min_size=1, max_size=6),
)
@settings(max_examples=1000, deadline=None)
def test_what_a_name_matches_it_matches_fuzzily(name: str, pattern: str) -> None:
    literal, fuzzy = (matcher("PatientName", "PN", pattern, fuzzy=fuzzy) for fuzzy in (False, True))
    groups = dict(zip(("Alphabetic", "Ideographic", "Phonetic"), name.split("="), strict=False))
    if literal and fuzzy and literal.holds(groups):
        assert fuzzy.holds(groups)


@pytest.mark.parametrize(
    ("tag", "value", "instances"),
    [
        ("00080018", "1.2.1.1.2", ["1.2.1.1.2"]),
        ("00080016", "1.2.3", ["1.2.2.2.1"]),
        ("00080008", "PRIMARY", ["1.2.2.1.1"]),
        ("00080008", "PRIM", []),
        ("00080008", "PRIM*", ["1.2.2.1.1"]),
        ("00280030", "0.75", ["1.2.2.1.1"]),
        ("00180081", "4.60", ["1.2.2.1.1"]),
        ("0008002A", "20240215", ["1.2.2.1.1"]),
        ("0008002A", "202402151215+0100", ["1.2.2.1.1"]),
        ("0008002A", "20240215-20240216", ["1.2.2.1.1"]),
        ("0008002A", "-2023", []),
        ("00081032", "*", ["1.2.1.1.1", "1.2.1.1.2", "1.2.2.1.1", "1.2.2.2.1", "1.2.3.1.1", "1.2.4.1.1"]),
        ("00081032.00080100", "T-A0100", ["1.2.2.1.1"]),
        ("00081032.00080104", "*[all_of%it]", ["1.2.2.1.1"]),
        ("00081032.00080100", "T-A0200", []),
        ("00020010", "1.2.840.10008.1.2.4.50", []),
    ],
)
def test_instances_by_one_key(index: ServingIndex, tag: str, value: str, instances: list[str]) -> None:
    assert sorted(found(index, Level.INSTANCE, (tag, value))) == instances


def test_keys_that_have_no_column_are_matched_within_the_others(index: ServingIndex) -> None:
    key = ("00081032.00080100", "T-A*")

    assert found(index, Level.STUDY, key) == ["1.2.2"]
    assert found(index, Level.SERIES, key) == ["1.2.2.1"]
    assert found(index, Level.SERIES, key, (MODALITY, "SR")) == []
    assert found(index, Level.STUDY, key, limit=1, offset=1) == []


def test_keys_that_would_read_too_much_are_ignored_with_a_warning(
    index: ServingIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbx.pixels.index.searching.MOST_SEARCHED", 3)
    keys = (Key(("00081032", "00080100"), "T-A0100"),)

    everything = index.search(Search(Level.STUDY, keys=keys), EVERYTHING)
    assert len(everything.datasets) == 4
    assert "ProcedureCodeSequence.CodeValue" in everything.warnings[0]
    one = index.search(Search(Level.SERIES, study="1.2.2", keys=keys), EVERYTHING)
    assert len(one.datasets) == 1
    assert one.warnings == []


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (DATE, "20241301"),
        (DATE, "2024"),
        (DATE, "20240101-20240102-20240103"),
        (DATE, "-"),
        (TIME, "25"),
        (TIME, "noon"),
        ("0008002A", "last week"),
        ("0020000D", "1.2.*"),
        ("0020000D", "1.2.1,1.2.?"),
        ("00280010", "many"),
        ("00180081", "4.6*"),
    ],
)
def test_malformed_values_are_refused(index: ServingIndex, tag: str, value: str) -> None:
    with pytest.raises(ArgumentError, match=r"is no .*Write"):
        found(index, Level.INSTANCE, (tag, value))


@pytest.mark.parametrize("tag", ["00100020", NAME, "00080008", "00204000", DATE, "0020000D"])
def test_values_that_are_too_long_are_refused(index: ServingIndex, tag: str) -> None:
    with pytest.raises(ArgumentError, match=r"more than 1000 characters.*Write a part"):
        found(index, Level.INSTANCE, (tag, "*a" * 30_000 if tag != "0020000D" else "1" * 1001))


@pytest.mark.parametrize("fuzzy", [False, True])
@pytest.mark.parametrize(
    "keys",
    [
        [("00100020", "P*")] * 51,
        [(NAME, "Doe")] * 51,
        [("00204000", "a")] * 51,
        [("00100020", "\\".join(f"{number}*" for number in range(201)))],
        [("00080008", "\\".join(map(str, range(201))))],
    ],
)
def test_keys_that_are_too_many_are_refused(index: ServingIndex, keys: list[tuple[str, str]], fuzzy: bool) -> None:
    with pytest.raises(ArgumentError, match=r"more than 50 keys, or 200 patterns and words\. Ask with fewer"):
        found(index, Level.INSTANCE, *keys, fuzzy=fuzzy)


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize(
    "keys",
    [
        [("00100020", "P*")] * 50,
        [(NAME, "Müller^Anna Maria")] * 13,  # 3 words of 5 comparisons
        [(MODALITY, "C*")] * 50,
        [("00080016", "1.2.3")] * 50,
        [("00080008", "\\".join([*map(str, range(199)), "PRIMARY"]))],
        [("0020000D", ",".join(f"1.2.{number}" for number in range(9000)))],
        [("00081150", ",".join(f"1.2.{number}" for number in range(9000)))],
    ],
)
def test_as_many_keys_as_are_allowed_can_be_answered(
    index: ServingIndex, level: Level, keys: list[tuple[str, str]]
) -> None:
    found(index, level, *keys, fuzzy=True)


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_an_object_is_found_by_whatever_uid_it_has(table: ObjectTable, open_index: OpenIndex) -> None:
    table.save(rows(instance("/1", StudyInstanceUID="05fa-x/y"), instance("/2", 2)))
    index = open_index()
    index.sync()
    assert found(index, Level.STUDY, ("0020000D", "05fa-x/y")) == ["05fa-x/y"]
    assert found(index, Level.STUDY, ("0020000D", "05fa-x/y,1.2.2")) == ["05fa-x/y", "1.2.2"]


@pytest.mark.parametrize("options", [{"limit": -1}, {"offset": -1}])
def test_a_page_cannot_be_negative(index: ServingIndex, options: dict[str, int]) -> None:
    with pytest.raises(ArgumentError, match="negative"):
        found(index, Level.STUDY, **options)


def test_pages_follow_each_other(index: ServingIndex) -> None:
    everything = found(index, Level.STUDY)

    assert everything == ["1.2.3", "1.2.2", "1.2.1", "1.2.4"]
    assert [uid for at in range(5) for uid in found(index, Level.STUDY, limit=1, offset=at)] == everything
    assert found(index, Level.STUDY, limit=0) == []


def test_searches_within_a_study_and_a_series(index: ServingIndex) -> None:
    assert found(index, Level.SERIES, study="1.2.2") == ["1.2.2.1", "1.2.2.2"]
    assert found(index, Level.INSTANCE, study="1.2.2") == ["1.2.2.1.1", "1.2.2.2.1"]
    assert found(index, Level.INSTANCE, study="1.2.1", series="1.2.1.1") == ["1.2.1.1.1", "1.2.1.1.2"]
    assert found(index, Level.INSTANCE, study="1.2.2", series="1.2.1.1") == []
    assert found(index, Level.SERIES, study="1.2.999") == []


def test_a_study_is_answered_with_what_the_standard_lists(index: ServingIndex) -> None:
    (told,) = index.search(Search(Level.STUDY, study="1.2.2"), EVERYTHING).datasets

    assert told == {
        "00080020": {"vr": "DA", "Value": ["20240215"]},
        "00080030": {"vr": "TM", "Value": ["120000.5"]},
        "00080056": {"vr": "CS", "Value": ["ONLINE"]},
        "00080061": {"vr": "CS", "Value": ["MR", "SR"]},
        "00081190": {"vr": "UR", "Value": [f"{BULK_ROOT.decode()}/studies/1.2.2"]},
        "00100010": {
            "vr": "PN",
            "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}],
        },
        "00100020": {"vr": "LO", "Value": ["P2"]},
        "0020000D": {"vr": "UI", "Value": ["1.2.2"]},
        "00201206": {"vr": "IS", "Value": [2]},
        "00201208": {"vr": "IS", "Value": [2]},
    }


def test_levels_above_come_with_what_the_path_does_not_name(index: ServingIndex) -> None:
    def tags(search: Search) -> set[str]:
        return set(index.search(search, EVERYTHING).datasets[0])

    assert {"00100010", "00201208", "00080060", "00201209"} <= tags(Search(Level.SERIES))
    assert "00100010" not in tags(Search(Level.SERIES, study="1.2.1"))
    assert {"00100010", "00080060", "00201209", "00280010"} <= tags(Search(Level.INSTANCE))
    assert "00100010" not in tags(Search(Level.INSTANCE, study="1.2.1"))
    assert "00080060" in tags(Search(Level.INSTANCE, study="1.2.1"))
    assert tags(Search(Level.INSTANCE, study="1.2.1", series="1.2.1.1")) == {
        *("00080016", "00080018", "00080056", "00081190", "0020000D", "0020000E", "00200013", "00280010")
    }


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_instances_of_a_series_tell_what_differs_between_them(table: ObjectTable, open_index: OpenIndex) -> None:
    odd = '5"%d/x'
    table.save(
        rows(
            instance("/1", PatientName="100%^Doe"),
            instance("/2", number=2, Rows=100, NumberOfFrames=7),
            instance("/3", number=3, InstanceNumber=None),
            instance("/4", number=4, SOPInstanceUID=odd),
        )
    )
    index = open_index()
    index.sync()
    told = index.search(Search(Level.INSTANCE), EVERYTHING).datasets

    def values(tag: str) -> list[object]:
        return [data_set.get(tag, {}).get("Value", [None])[0] for data_set in told]

    assert values("00080018") == ["1.2.1.1.1", "1.2.1.1.2", odd, "1.2.1.1.3"]
    assert values("00200013") == [1, 2, 4, None]
    assert values("00280010") == [512, 100, 512, 512]
    assert values("00280008") == [None, 7, None, None]
    assert values("00100010") == [{"Alphabetic": "100%^Doe"}] * 4
    root = f"{BULK_ROOT.decode()}/studies/1.2.1/series/1.2.1.1/instances"
    names = ["1.2.1.1.1", "1.2.1.1.2", "5%22%25d%2Fx", "1.2.1.1.3"]
    assert values("00081190") == [f"{root}/{name}" for name in names]
    # The longer way, for attributes that have no column, tells the same.
    asked = Search(Level.INSTANCE, include=frozenset({"00080005"}))
    more = index.search(asked, EVERYTHING).datasets
    assert [data_set.pop("00080005")["Value"] for data_set in more] == [["ISO_IR 192"]] * 4
    assert more == told


@pytest.mark.parametrize("level", Level)
def test_attributes_come_in_order(index: ServingIndex, level: Level) -> None:
    for options in ({}, {"include_all": True}, {"include": frozenset({"00080005", "00100040"})}):
        (told, *_) = index.search(Search(level, **options), EVERYTHING).datasets
        assert list(told) == sorted(told)


@pytest.mark.parametrize("level", Level)
def test_more_attributes_come_if_they_are_asked_for(index: ServingIndex, level: Level) -> None:
    include = frozenset({"00081032", "00080062", "00180081", "00280030"})
    search = Search(level, study="1.2.2", include=include, keys=(Key(("00080060",), "MR"),))
    (told,) = index.search(search, EVERYTHING).datasets

    assert told["00081032"]["Value"][0]["00080100"] == {"vr": "SH", "Value": ["T-A0100"]}
    assert told["00080062"]["Value"] == ["1.2.3", "1.2.840.10008.5.1.4.1.1.2"]
    assert list(told) == sorted(told)
    # What a level below tells has no one value.
    assert {"00180081", "00280030"} & told.keys() == ({"00180081", "00280030"} if level is Level.INSTANCE else set())
    assert ("00080060" in told) == (level is not Level.STUDY)


@pytest.mark.parametrize(
    ("level", "tag", "value", "answered"),
    [
        (Level.STUDY, MODALITY, "SR", None),
        (Level.STUDY, "0020000E", "1.2.2.2", None),
        (Level.STUDY, "00080018", "1.2.2.2.1", None),
        (Level.STUDY, "00080062", "1.2.3", ["1.2.3", "1.2.840.10008.5.1.4.1.1.2"]),
        (Level.SERIES, MODALITY, "SR", ["SR"]),
        (Level.SERIES, "00080018", "1.2.2.2.1", None),
        (Level.INSTANCE, MODALITY, "SR", ["SR"]),
        (Level.INSTANCE, "00080018", "1.2.2.2.1", ["1.2.2.2.1"]),
    ],
)
def test_what_is_asked_about_is_never_answered_with_another_value(
    index: ServingIndex, level: Level, tag: str, value: str, answered: list[str] | None
) -> None:
    search = Search(level, study="1.2.2", keys=(Key((tag,), value),))
    (told,) = index.search(search, EVERYTHING).datasets
    assert told.get(tag, {}).get("Value") == answered


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("include_all", [False, True])
def test_of_keys_without_a_column_an_instance_that_matches_tells(
    table: ObjectTable, open_index: OpenIndex, level: Level, include_all: bool
) -> None:
    table.save(
        rows(
            instance("/1", ImageComments="first"),
            instance("/2", number=2, ImageComments="second"),
            instance("/3", series=2, ImageComments="third"),
        )
    )
    index = open_index()
    index.sync()
    search = Search(level, keys=(Key(("00204000",), "?e*"),), include_all=include_all)
    (told,) = index.search(search, EVERYTHING).datasets
    assert told["00204000"]["Value"] == ["second"]
    assert ("00280010" in told) == (level is Level.INSTANCE)


def test_all_attributes_of_an_instance(index: ServingIndex) -> None:
    search = Search(Level.INSTANCE, study="1.2.2", series="1.2.2.1", include_all=True)
    (told,) = index.search(search, EVERYTHING).datasets

    assert {"00080008", "00081032", "0008002A", "00100010"} <= told.keys()
    assert not [tag for tag in told if tag.startswith("0002")]


def test_attributes_without_a_value_are_left_out(index: ServingIndex) -> None:
    search = Search(Level.INSTANCE, study="1.2.2", series="1.2.2.2", include_all=True)
    (told,) = index.search(search, EVERYTHING).datasets

    assert all(element.get("Value") for element in told.values())
    # What the report does not tell of the study, the images do.
    assert told["00100010"]["Value"][0]["Alphabetic"] == "Yamada^Tarou"
