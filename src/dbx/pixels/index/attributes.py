"""Attributes by tag: at which level the index can compare them, and what always comes in an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from pydicom.datadict import tag_for_keyword

from dbx.pixels.index.model import Level
from dbx.pixels.index.schema import ATTRIBUTES_BY_LEVEL, TABLE_BY_LEVEL, folded

STUDY_UID = "0020000D"
SERIES_UID = "0020000E"
INSTANCE_UID = "00080018"
INSTANCE_NUMBER = "00200013"
INSTANCE_AVAILABILITY = "00080056"
MODALITIES_IN_STUDY = "00080061"
SOP_CLASSES_IN_STUDY = "00080062"
RETRIEVE_URL = "00081190"
STUDY_SERIES = "00201206"
STUDY_INSTANCES = "00201208"
SERIES_INSTANCES = "00201209"


def _tags(keywords: str) -> frozenset[str]:
    return frozenset(f"{tag_for_keyword(keyword):08X}" for keyword in keywords.split())


#: What answers hold without being asked (PS3.18 tables 10.6.3-3 to 10.6.3-5), by tag.
ALWAYS: dict[Level, frozenset[str]] = {
    Level.STUDY: _tags("""
        StudyDate StudyTime AccessionNumber InstanceAvailability ModalitiesInStudy ReferringPhysicianName
        StudyDescription TimezoneOffsetFromUTC RetrieveURL PatientName PatientID PatientBirthDate PatientSex
        StudyInstanceUID StudyID NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances"""),
    Level.SERIES: _tags("""
        Modality TimezoneOffsetFromUTC SeriesDescription RetrieveURL SeriesInstanceUID SeriesNumber
        NumberOfSeriesRelatedInstances PerformedProcedureStepStartDate PerformedProcedureStepStartTime
        RequestAttributesSequence"""),
    Level.INSTANCE: _tags("""
        SOPClassUID SOPInstanceUID InstanceAvailability TimezoneOffsetFromUTC RetrieveURL InstanceNumber Rows
        Columns BitsAllocated NumberOfFrames"""),
}


@dataclass(frozen=True)
class Searchable:
    """A column that keys are compared with.

    Attributes
    ----------
    multiple : bool
        Whether it holds lists.
    """

    level: Level
    keyword: str
    vr: str
    multiple: bool

    @property
    def column(self) -> sa.Column[Any]:
        """The column of the level's table; of a person's name, that in which it is folded."""
        return TABLE_BY_LEVEL[self.level].c[folded(self.keyword) if self.vr == "PN" else self.keyword]


#: By tag.
SEARCHABLE: dict[str, Searchable] = {
    attribute.tag_text: Searchable(level, attribute.keyword, attribute.vr, attribute.multiple)
    for level, attributes in ATTRIBUTES_BY_LEVEL.items()
    for attribute in attributes
} | {
    MODALITIES_IN_STUDY: Searchable(Level.STUDY, "ModalitiesInStudy", "CS", True),
    SOP_CLASSES_IN_STUDY: Searchable(Level.STUDY, "SOPClassesInStudy", "UI", True),
    STUDY_SERIES: Searchable(Level.STUDY, "NumberOfStudyRelatedSeries", "IS", False),
    STUDY_INSTANCES: Searchable(Level.STUDY, "NumberOfStudyRelatedInstances", "IS", False),
    SERIES_INSTANCES: Searchable(Level.SERIES, "NumberOfSeriesRelatedInstances", "IS", False),
}

#: Attributes that no object has: the index computes them.
COMPUTED = frozenset(
    {
        INSTANCE_AVAILABILITY,
        MODALITIES_IN_STUDY,
        SOP_CLASSES_IN_STUDY,
        RETRIEVE_URL,
        STUDY_SERIES,
        STUDY_INSTANCES,
        SERIES_INSTANCES,
    }
)

#: Instance attributes that answers always hold, and which a column tells exactly.
INSTANCE_COLUMNS: dict[str, tuple[str, str]] = {
    attribute.tag_text: (attribute.keyword, attribute.vr)
    for attribute in ATTRIBUTES_BY_LEVEL[Level.INSTANCE]
    if attribute.tag_text in ALWAYS[Level.INSTANCE]
}


def computed(vr: str, *values: Any) -> dict[str, Any]:
    """Return an attribute in DICOM JSON."""
    return {"vr": vr, "Value": list(values)}
