"""SQL over the table: views, the dictionary, attributes out of `meta`, and errors in one line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dbx.pixels.errors import QueryError
from dbx.pixels.table import ObjectTable, query
from table_rows import ct_slice, row, rows


@pytest.fixture
def table(tmp_path: Path) -> ObjectTable:
    return ObjectTable.create_if_missing(str(tmp_path / "objects"))


def ask(table: ObjectTable | None, sql: str) -> list[Any]:
    """The answer's rows: tuples, or the values themselves of a single column."""
    answer = query(table, sql).read_all().to_pylist()
    return [value[0] if len(value := tuple(record.values())) == 1 else value for record in answer]


@pytest.fixture(scope="module")
def two_studies(tmp_path_factory: pytest.TempPathFactory) -> ObjectTable:
    table = ObjectTable.create_if_missing(str(tmp_path_factory.mktemp("studies") / "objects"))
    table.save(
        rows(
            *(ct_slice(f"/a/{number}", 1, 1, number) for number in (1, 2, 3)),
            ct_slice("/a/seg", 1, 2, Modality="SEG"),
            ct_slice("/b/1", 2),
            row("/notes.txt", file_type="text/plain"),
            row("/broken.dcm", error="ends in the middle of an element"),
        )
    )
    return table


class TestViews:
    def test_every_object_is_in_the_catalog(self, two_studies: ObjectTable) -> None:
        assert ask(two_studies, "SELECT path FROM object_catalog WHERE meta IS NULL ORDER BY 1") == [
            "/broken.dcm",
            "/notes.txt",
        ]

    def test_studies_count_what_is_in_them(self, two_studies: ObjectTable) -> None:
        columns = (
            "PatientID, StudyInstanceUID, ModalitiesInStudy, NumberOfStudyRelatedSeries, NumberOfStudyRelatedInstances"
        )
        assert ask(two_studies, f"SELECT {columns} FROM studies ORDER BY 1") == [
            ("P1", "1.2.1", ["CT", "SEG"], 2, 4),
            ("P2", "1.2.2", ["CT"], 1, 1),
        ]

    def test_series_belong_to_their_studies(self, two_studies: ObjectTable) -> None:
        columns = "StudyInstanceUID, PatientID, Modality, NumberOfSeriesRelatedInstances"
        assert ask(two_studies, f"SELECT {columns} FROM series ORDER BY SeriesInstanceUID") == [
            ("1.2.1", "P1", "CT", 3),
            ("1.2.1", "P1", "SEG", 1),
            ("1.2.2", "P2", "CT", 1),
        ]

    def test_of_copies_the_newest_then_the_smallest_path_is_shown(self, table: ObjectTable) -> None:
        table.save(
            rows(
                ct_slice("/z/newest", minutes=5) | row("/z/newest", minutes=5),
                ct_slice("/a/old"),
                ct_slice("/y/newest") | row("/y/newest", minutes=5),
                ct_slice("/a/only", instance=2),
            )
        )
        assert ask(table, "SELECT path FROM instances ORDER BY SOPInstanceUID") == ["/y/newest", "/a/only"]
        assert ask(table, "SELECT NumberOfStudyRelatedInstances FROM studies") == [2]
        assert ask(table, "SELECT path, kind, keyword, message FROM issues ORDER BY path") == [
            ("/a/old", "duplicate", "SOPInstanceUID", "SOP Instance UID is also that of /y/newest"),
            ("/z/newest", "duplicate", "SOPInstanceUID", "SOP Instance UID is also that of /y/newest"),
        ]

    def test_issues_are_of_elements_and_of_objects(self, table: ObjectTable) -> None:
        odd = [
            {"tag": "00100030", "vr": "DA", "message": "is no date"},
            {"tag": "00081140/0/00081155", "vr": "UI", "message": "is no UID"},
            {"tag": "00431080", "vr": "DS", "message": "is no number"},
        ]
        table.save(
            rows(ct_slice("/a/1", issues=odd), ct_slice("/a/2", instance=2, issues=[]), row("/b", error="empty"))
        )
        assert ask(table, "SELECT path, kind, tag, vr, keyword, message FROM issues ORDER BY path, tag") == [
            ("/a/1", "element", "00081140/0/00081155", "UI", "ReferencedSOPInstanceUID", "is no UID"),
            ("/a/1", "element", "00100030", "DA", "PatientBirthDate", "is no date"),
            ("/a/1", "element", "00431080", "DS", None, "is no number"),
            ("/b", "object", None, None, None, "empty"),
        ]

    def test_views_without_a_table_have_columns_but_no_rows(self, table: ObjectTable) -> None:
        for view in ("object_catalog", "studies", "series", "instances", "issues", "object_catalog_autoseg_result"):
            assert ask(None, f"FROM {view}") == ask(table, f"FROM {view}") == []
            assert query(None, f"FROM {view}").schema.equals(query(table, f"FROM {view}").schema)

    def test_columns_added_later_are_there(self, table: ObjectTable) -> None:
        table.save(rows(row("/old")))
        table.save(rows(row("/new")).append_column("site", pa.array(["north"])))
        assert ask(table, "SELECT count(*), max(site) FROM object_catalog") == [(2, "north")]


class TestDictionary:
    def test_tags_have_keyword_name_and_representation(self) -> None:
        assert ask(None, "SELECT * FROM dicom_tags WHERE keyword = 'PatientName'") == [
            ("00100010", "PatientName", "Patient's Name", "PN", "1", False)
        ]

    def test_repeating_groups_and_retired_tags_are_there(self) -> None:
        assert ask(None, "SELECT retired FROM dicom_tags WHERE tag = '60xx3000'") == [False]
        assert ask(None, "SELECT count(*) > 100 FROM dicom_tags WHERE retired") == [True]


class TestAttributesOutOfMeta:
    ELEMENTS = {  # noqa: RUF012
        "00080008": {"vr": "CS", "Value": ["ORIGINAL", None, "AXIAL"]},
        "00080060": {"vr": "CS", "Value": ["CT"]},
        "00081140": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}]},
        "00101001": {"vr": "PN", "Value": [{"Alphabetic": "A"}, None, {"Ideographic": "山"}, {"Alphabetic": "B"}]},
        "00104000": {"vr": "LT"},
        "00280010": {"vr": "US", "Value": [512]},
        "00280030": {"vr": "DS", "Value": [0.5, 0.75]},
        "00282000": {"vr": "OB", "InlineBinary": "AAEC"},
        "00091010": {"vr": "UN", "BulkDataURI": "00091010"},
        "0020930E": {"vr": "FD", "Value": [0]},
    }

    @pytest.fixture(scope="class")
    @classmethod
    def table(cls, tmp_path_factory: pytest.TempPathFactory) -> ObjectTable:
        table = ObjectTable.create_if_missing(str(tmp_path_factory.mktemp("meta") / "objects"))
        table.save(rows(row("/a", meta=json.dumps(cls.ELEMENTS)), row("/b")))
        return table

    @pytest.mark.parametrize(
        ("attribute", "text"),
        [
            ("Modality", "CT"),
            ("Rows", "512"),
            ("00280010", "512"),
            ("(0028,0010)", "512"),
            ("0028,0010", "512"),
            ("0020930e", "0"),
            ("ImageType", "ORIGINAL\\\\AXIAL"),
            ("PixelSpacing", "0.5\\0.75"),
            ("PatientName", "Yamada^Tarou"),
            ("OtherPatientNames", "A\\\\\\B"),
            ("ICCProfile", "AAEC"),
            ("00091010", "00091010"),
            ("PatientComments", None),
            ("StudyDate", None),
            ("ReferencedImageSequence", '[{"00081155":{"vr":"UI","Value":["1.2"]}}]'),
        ],
    )
    def test_by_keyword_or_tag_as_text(self, table: ObjectTable, attribute: str, text: str | None) -> None:
        assert ask(table, f"SELECT dicom(meta, '{attribute}') FROM object_catalog ORDER BY path") == [text, None]

    def test_attribute_may_come_from_a_column(self, table: ObjectTable) -> None:
        sql = (
            "SELECT dicom(meta, name) FROM object_catalog, (VALUES ('Rows'), ('Modality')) AS a(name) WHERE path = '/a'"
        )
        assert sorted(ask(table, sql)) == ["512", "CT"]

    def test_an_unknown_keyword_is_an_error_with_a_suggestion(self, table: ObjectTable) -> None:
        with pytest.raises(
            QueryError, match=r"^query: there is no DICOM attribute 'Modalty'\. Did you mean Modality\?$"
        ):
            ask(table, "SELECT dicom(meta, 'Modalty') FROM object_catalog")


class TestErrors:
    @pytest.mark.parametrize(
        ("sql", "message"),
        [
            ("SELEC 1", 'query: syntax error at or near "SELEC"'),
            ("SELECT FROM WHERE", 'query: syntax error at or near "WHERE"'),
            ("", "query: is empty. Write one SELECT"),
            ("-- nothing", "query: is empty. Write one SELECT"),
            (
                "SELECT PatientIDs FROM studies",
                'Referenced column "PatientIDs" not found .* Candidate bindings: "PatientID"',
            ),
            ("SELECT * FROM study", "there is no table study. Did you mean studies?"),
            ("SELECT * FROM x", "there is no table x. There are object_catalog, studies"),
            ("SELECT * FROM b.a.c", r"there is no table b\.a\.c\. There are object_catalog"),
            (
                "SELECT * FROM main.pixels_solacc.object_catalog",
                r"there is no table main\.pixels_solacc\.object_catalog\. Write object_catalog alone: a query sees",
            ),
            (
                "FROM main.pixels_solacc.object_catalog_autoseg_result",
                r"Write object_catalog_autoseg_result alone: a query sees",
            ),
            ("SELECT lenght(PatientID) FROM studies", 'lenght does not exist. Did you mean "length"'),
            ("PIVOT studies ON PatientSex USING count(*)", "Name them: PIVOT ... ON column IN"),
            ("SELECT " + "+".join(["1"] * 5000), "query: .*dep|deep"),
            ("SELECT 'a'::INTEGER", "Could not convert string 'a' to INT32"),
        ],
    )
    def test_an_error_is_one_clear_line(self, sql: str, message: str) -> None:
        with pytest.raises(QueryError) as caught:
            ask(None, sql)
        assert re.search(message.replace("?", r"\?"), str(caught.value))
        assert "\n" not in str(caught.value)

    def test_an_error_while_batches_are_read_is_one_too(self, table: ObjectTable) -> None:
        table.save(rows(*(row(f"/{number}", extension="no number") for number in range(3))))
        with pytest.raises(QueryError, match="Could not convert string 'no number'"):
            ask(table, "SELECT extension::INTEGER FROM object_catalog")

    def test_a_data_file_that_is_away_is_named(self, table: ObjectTable) -> None:
        table.save(rows(row("/a/1")))
        (uri,) = table.files()
        Path(uri).unlink()
        with pytest.raises(QueryError, match=r"^query: .*part-") as caught:
            ask(table, "SELECT path FROM object_catalog")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "sql",
    [
        "WITH ct AS (SELECT * FROM object_catalog WHERE Modality = 'CT') SELECT count(*) FROM ct",
        "FROM studies SELECT PatientID",
        "VALUES (1), (2)",
        "TABLE series;",
        "DESCRIBE object_catalog",
        "SUMMARIZE SELECT PatientID FROM studies",
        "SHOW TABLES",
        "EXPLAIN SELECT * FROM studies",
        "EXPLAIN ANALYZE SELECT * FROM studies",
        "SELECT * FROM range(3) UNION ALL SELECT 1",
        "SELECT PatientID FROM studies, unnest(ModalitiesInStudy) AS m(modality)",
        "PIVOT instances ON Modality IN ('CT', 'MR') USING count(*)",
        "SELECT path FROM object_catalog USING SAMPLE 1 ROWS",
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT * FROM n",
        "SELECT s.PatientID FROM main.studies AS s JOIN series USING (StudyInstanceUID)",
        "SELECT (SELECT count(*) FROM series WHERE series.StudyInstanceUID = studies.StudyInstanceUID) FROM studies",
    ],
)
def test_all_ways_to_read_are_open(two_studies: ObjectTable, sql: str) -> None:
    assert ask(two_studies, sql)


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT 1 AS a, 2 AS a", ["a", "a_2"]),
        ("SELECT 1 AS a, 2 AS a, 3 AS a_2, 4 AS a", ["a", "a_3", "a_2", "a_4"]),
        ("FROM (SELECT 1 AS a) AS x, (SELECT 2 AS a) AS y SELECT x.*, y.*", ["a", "a_2"]),
    ],
)
def test_columns_of_one_name_are_numbered(sql: str, names: list[str]) -> None:
    (answer,) = query(None, sql).read_all().to_pylist()
    assert list(answer) == names
    assert list(answer.values()) == list(range(1, len(names) + 1))


def test_batches_are_read_as_they_are_needed(two_studies: ObjectTable) -> None:
    reader = query(two_studies, "SELECT range FROM range(100_000_000)")
    assert reader.read_next_batch().num_rows > 0
    reader.close()


def test_an_answer_stays_at_its_snapshot(table: ObjectTable) -> None:
    table.save(rows(row("/a/1"), row("/b/1")))
    reader = query(table, "SELECT path FROM object_catalog")
    table.remove_under("/a")
    assert reader.read_all().num_rows == 2
    assert ask(table, "SELECT path FROM object_catalog") == ["/b/1"]
