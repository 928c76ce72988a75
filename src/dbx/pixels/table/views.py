"""The views that SQL sees: objects, studies, series, instances, issues, the dictionary of tags, and results of AI."""

from __future__ import annotations

from functools import lru_cache

import pyarrow as pa

from dbx.pixels.dicom.attributes import KEYWORDS
from dbx.pixels.dicom.dictionary import registry
from dbx.pixels.table.duck import identifier
from dbx.pixels.table.results import results_table

_STUDY_STARTS, _SERIES_STARTS, _INSTANCE_STARTS = map(
    KEYWORDS.index, ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID")
)
PATIENT_KEYWORDS = KEYWORDS[:_STUDY_STARTS]
STUDY_KEYWORDS = KEYWORDS[_STUDY_STARTS:_SERIES_STARTS]
SERIES_KEYWORDS = KEYWORDS[_SERIES_STARTS:_INSTANCE_STARTS]

#: What became of each series that was to be segmented.
RESULTS = results_table("object_catalog")
#: Names that a query may read.
VIEWS = ("object_catalog", "studies", "series", "instances", "issues", "dicom_tags", RESULTS)


def _one_value(keywords: tuple[str, ...], key: str) -> str:
    # Where instances of one study contradict each other the least value is shown: answers do not change by luck.
    return ", ".join(f"min({name}) AS {name}" for name in map(identifier, keywords) if name != identifier(key))


#: Objects whose SOP Instance UID another object shows: all but the newest, then the smallest path.
_SHADOWED = """
    SELECT path, SOPInstanceUID, shown FROM (
        SELECT path, SOPInstanceUID,
               first_value(path) OVER newest_first AS shown
        FROM object_catalog
        WHERE SOPInstanceUID IN (
            SELECT SOPInstanceUID FROM object_catalog
            WHERE SOPInstanceUID IS NOT NULL GROUP BY SOPInstanceUID HAVING count(*) > 1
        )
        WINDOW newest_first AS (PARTITION BY SOPInstanceUID ORDER BY modificationTime DESC NULLS LAST, path)
    ) WHERE path <> shown"""

_INSTANCES = f"""
    SELECT * FROM object_catalog
    WHERE SOPInstanceUID IS NOT NULL AND path NOT IN (SELECT path FROM ({_SHADOWED}))"""

_STUDIES = f"""
    SELECT StudyInstanceUID,
           {_one_value(PATIENT_KEYWORDS + STUDY_KEYWORDS, "StudyInstanceUID")},
           list_sort(list(DISTINCT Modality) FILTER (Modality IS NOT NULL)) AS ModalitiesInStudy,
           count(DISTINCT SeriesInstanceUID) AS NumberOfStudyRelatedSeries,
           count(*) AS NumberOfStudyRelatedInstances
    FROM instances WHERE StudyInstanceUID IS NOT NULL GROUP BY StudyInstanceUID"""

_SERIES = f"""
    SELECT StudyInstanceUID, SeriesInstanceUID,
           {_one_value(("PatientID", "StudyDate", *SERIES_KEYWORDS), "SeriesInstanceUID")},
           count(*) AS NumberOfSeriesRelatedInstances
    FROM instances WHERE SeriesInstanceUID IS NOT NULL GROUP BY StudyInstanceUID, SeriesInstanceUID"""

_ISSUES = f"""
    SELECT path, 'element' AS kind, issue.tag AS tag, issue.vr AS vr, keyword, issue.message AS message
    FROM (SELECT path, unnest(issues) AS issue FROM object_catalog WHERE issues IS NOT NULL)
    LEFT JOIN dicom_tags ON dicom_tags.tag = right(issue.tag, 8)
    UNION ALL
    SELECT path, 'object', NULL, NULL, NULL, error FROM object_catalog WHERE error IS NOT NULL
    UNION ALL
    SELECT path, 'duplicate', '00080018', 'UI', 'SOPInstanceUID', 'SOP Instance UID is also that of ' || shown
    FROM ({_SHADOWED})"""

#: Text of one attribute's DICOM JSON: its value, several joined by a backslash, sequences as JSON (PS3.18 F.2).
_TEXT = r"""
    CASE json_extract_string(element, '$.vr')
        WHEN 'SQ' THEN CAST(json_extract(element, '$.Value') AS VARCHAR)
        WHEN 'PN' THEN nullif(array_to_string(list_transform(
            json_extract(element, '$.Value[*]'),
            lambda name: coalesce(json_extract_string(name, '$.Alphabetic'), '')), '\'), '')
        ELSE coalesce(
            nullif(array_to_string(list_transform(
                json_extract_string(element, '$.Value[*]'), lambda text: coalesce(text, '')), '\'), ''),
            json_extract_string(element, '$.InlineBinary'),
            json_extract_string(element, '$.BulkDataURI'))
    END"""

#: Made over `object_catalog` and `dicom_tags`, in this order.
STATEMENTS = (
    f"CREATE VIEW instances AS {_INSTANCES}",
    f"CREATE VIEW studies AS {_STUDIES}",
    f"CREATE VIEW series AS {_SERIES}",
    f"CREATE VIEW issues AS {_ISSUES}",
    f"CREATE MACRO dicom_text(element) AS {_TEXT}",
    "CREATE MACRO dicom(meta, attribute) AS dicom_text(json_extract(meta, dicom_path(attribute)))",
)


@lru_cache(maxsize=1)
def dicom_tags() -> pa.Table:
    """Return the data dictionary (PS3.6) as a table; repeating groups have `x` in their tags."""
    tags, vrs, vms, names, retired, keywords = zip(*registry(), strict=True)
    return pa.table(
        {
            "tag": tags,
            "keyword": keywords,
            "name": names,
            "vr": vrs,
            "vm": vms,
            "retired": pa.array([bool(mark) for mark in retired]),
        }
    )
