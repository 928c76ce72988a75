"""Uploaded files before they enter the table: what they are, whether they may, and where they belong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path

import pyarrow as pa
from pydicom import uid

from dbx.pixels.catalog.provenance import NO_MODEL, Model, is_automatic, model_of
from dbx.pixels.dicom.schema import DICOM_TYPE
from dbx.pixels.dicom.transformers import DicomMetaExtractor

#: Below the volume: where uploads lie, and where what viewers make does.
UPLOADS = "uploads"
EXPORTS = "ohif/exports"

#: Storage classes of what people make in viewers, by the beginnings of their UIDs: structured reports and presentation
#: states (PS3.4 B.5).
_EXPORTED_PREFIXES = ("1.2.840.10008.5.1.4.1.1.88.", "1.2.840.10008.5.1.4.1.1.11.")
_LABEL_MAP_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.7"  # newer than pydicom's dictionary
#: Storage classes of segmentations.
SEGMENTATIONS = (uid.SegmentationStorage, _LABEL_MAP_SEGMENTATION)
_EXPORTED = (*SEGMENTATIONS, uid.SurfaceSegmentationStorage, uid.RTStructureSetStorage, uid.ParametricMapStorage)

#: PS3.5 9.1; components with leading zeros are wrong, frequent and harmless.
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_UID_CHARACTERS = 64

_UIDS = ("SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


class LabelState(StrEnum):
    """What a segmentation is worth as a label: values of the column `label_state`."""

    PROPOSAL = "proposal"  # a model made it
    FINAL = "final"  # a person has looked at it, and saved it


class Failure(IntEnum):
    """Why an object was not stored: values of Failure Reason (PS3.18 I.2.2, PS3.7 C.4)."""

    UNCERTAIN = 0x0110  # an object has its SOP Instance UID, and cannot be read now to compare the two
    DUPLICATE = 0x0111  # another object has its SOP Instance UID
    INVALID = 0xA900  # it lacks a UID, or one is malformed
    OTHER_STUDY = 0xA901  # it is not of the study of the URL
    NOT_UNDERSTOOD = 0xC000  # it is no DICOM file


@dataclass
class Outcome:
    """What becomes of one uploaded file.

    Attributes
    ----------
    SOPClassUID, StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID : str or None
        As they are in it.
    failure : Failure or None
        Why it is not stored.
    is_known : bool
        Whether the same object was there already, so that this file is not needed.
    """

    SOPClassUID: str | None
    StudyInstanceUID: str | None
    SeriesInstanceUID: str | None
    SOPInstanceUID: str | None
    failure: Failure | None = None
    is_known: bool = False


@dataclass(frozen=True)
class Arrival:
    """One uploaded file.

    Attributes
    ----------
    file : pathlib.Path
        Where it lies.
    header : pyarrow.RecordBatch
        What `DicomMetaExtractor` read: one row.
    outcome : Outcome
        What becomes of it.
    label_state : LabelState or None
        Of a segmentation.
    model : Model
        Of a segmentation: what made it, or the proposal that a person corrected.
    """

    file: Path
    header: pa.RecordBatch
    outcome: Outcome
    label_state: LabelState | None
    model: Model

    @property
    def place(self) -> str:
        """Where it belongs below the volume. Its UIDs have been checked: they lead nowhere else."""
        uids = self.outcome
        folder = EXPORTS if _is_export(uids.SOPClassUID or "") else UPLOADS
        return f"{folder}/{uids.StudyInstanceUID}/{uids.SeriesInstanceUID}/{uids.SOPInstanceUID}.dcm"


def is_uid(text: str | None) -> bool:
    """Tell whether text is a UID: digits and dots, nothing else."""
    return text is not None and len(text) <= _UID_CHARACTERS and _UID.fullmatch(text) is not None


def read_arrivals(files: Sequence[Path], study: str | None, label_state: LabelState | None) -> list[Arrival]:
    """Read uploaded files and check them.

    Parameters
    ----------
    files : sequence of pathlib.Path
        Complete files.
    study : str, optional
        The study that they must belong to.
    label_state : LabelState or None
        What segmentations among them are; None for what they say themselves: what is automatic is a proposal.

    Returns
    -------
    list of Arrival
        In order; the outcome of those that must not be stored is a `failure`.
    """
    listed = pa.record_batch(
        {
            "local_path": pa.array([str(file) for file in files], pa.string()),
            "length": pa.array([file.stat().st_size for file in files], pa.int64()),
        }
    )
    headers = DicomMetaExtractor().transform_batch(listed)
    rows = headers.select(["file_type", "error", "TransferSyntaxUID", *_UIDS]).to_pylist()
    return [
        _arrival(file, headers.slice(index, 1), _outcome(file, rows[index], study), label_state)
        for index, file in enumerate(files)
    ]


def _arrival(file: Path, header: pa.RecordBatch, outcome: Outcome, label_state: LabelState | None) -> Arrival:
    if outcome.SOPClassUID not in SEGMENTATIONS:
        return Arrival(file, header, outcome, None, NO_MODEL)
    meta = header["meta"][0].as_py()
    told = LabelState.PROPOSAL if is_automatic(meta) else LabelState.FINAL
    return Arrival(file, header, outcome, label_state or told, model_of(meta))


def _outcome(file: Path, row: dict[str, str | None], study: str | None) -> Outcome:
    outcome = Outcome(row["SOPClassUID"], row["StudyInstanceUID"], row["SeriesInstanceUID"], row["SOPInstanceUID"])
    is_dicom = row["error"] is None and row["file_type"] == DICOM_TYPE and row["TransferSyntaxUID"] is not None
    if not is_dicom or not _has_preamble(file):
        outcome.failure = Failure.NOT_UNDERSTOOD
    elif not all(is_uid(row[name]) for name in ("TransferSyntaxUID", *_UIDS)):
        outcome.failure = Failure.INVALID
    elif study is not None and outcome.StudyInstanceUID != study:
        outcome.failure = Failure.OTHER_STUDY
    return outcome


def _has_preamble(file: Path) -> bool:
    """Tell whether a file begins as PS3.10 7.1 says. Of data that lies around less is asked, but it is not sent on."""
    with file.open("rb") as opened:
        return opened.read(132)[128:] == b"DICM"


def _is_export(sop_class: str) -> bool:
    return sop_class in _EXPORTED or sop_class.startswith(_EXPORTED_PREFIXES)
