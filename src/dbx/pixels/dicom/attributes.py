"""The DICOM attributes that are typed columns: the one list that parser, schema, index and QIDO share."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword

#: Keywords in column order: patient, study, series, instance, acquisition, image (PS3.3 C.7, PS3.18 10.6.1.2.3).
KEYWORDS = (
    # Patient
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientIdentityRemoved",
    # Study
    "StudyInstanceUID",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyDescription",
    "InstitutionName",
    "TimezoneOffsetFromUTC",
    # Series
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDate",
    "SeriesTime",
    "SeriesDescription",
    "Modality",
    "BodyPartExamined",
    "Laterality",
    "PatientPosition",
    "ProtocolName",
    "Manufacturer",
    "ManufacturerModelName",
    "StationName",
    "FrameOfReferenceUID",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    # Instance
    "SOPClassUID",
    "SOPInstanceUID",
    "InstanceNumber",
    "TransferSyntaxUID",
    "SpecificCharacterSet",
    "AcquisitionNumber",
    "AcquisitionDate",
    "AcquisitionTime",
    "AcquisitionDateTime",
    "ContentDate",
    "ContentTime",
    "ImageType",
    "BurnedInAnnotation",
    # Acquisition
    "KVP",
    "RepetitionTime",
    "EchoTime",
    "MagneticFieldStrength",
    "SliceThickness",
    "SpacingBetweenSlices",
    # Image
    "NumberOfFrames",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceLocation",
    "WindowCenter",
    "WindowWidth",
    "RescaleIntercept",
    "RescaleSlope",
    "LossyImageCompression",
)

#: Arrow type of one value by VR; every other VR is a string.
_ARROW_TYPE_BY_VR = {
    "DA": pa.date32(),
    "DS": pa.float64(),
    "FD": pa.float64(),
    "FL": pa.float64(),
    "IS": pa.int64(),
    "SL": pa.int64(),
    "SS": pa.int32(),
    "UL": pa.int64(),
    "US": pa.int32(),
}


@dataclass(frozen=True)
class Attribute:
    """A DICOM attribute with the column that holds it.

    Attributes
    ----------
    keyword : str
        DICOM keyword, which is the column's name.
    tag : int
        ``0xGGGGEEEE``.
    vr : str
        Value representation (PS3.6).
    multiple : bool
        Whether more than one value is allowed; such a column is a list.
    """

    keyword: str
    tag: int
    vr: str
    multiple: bool

    @property
    def tag_text(self) -> str:
        """The tag as in DICOM JSON, ``GGGGEEEE`` (PS3.18 F.2.2)."""
        return f"{self.tag:08X}"

    @property
    def field(self) -> pa.Field:
        """The column's Arrow field: nullable, a list where several values are allowed."""
        value = _ARROW_TYPE_BY_VR.get(self.vr, pa.string())
        return pa.field(self.keyword, pa.list_(value) if self.multiple else value)


def _attribute(keyword: str) -> Attribute:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise LookupError(f"{keyword} is no DICOM keyword")
    return Attribute(keyword, tag, dictionary_VR(tag), dictionary_VM(tag) != "1")


#: The typed columns, in order.
ATTRIBUTES: tuple[Attribute, ...] = tuple(_attribute(keyword) for keyword in KEYWORDS)
