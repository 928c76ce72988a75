"""The answer to a store request: the Store Instances Response Module (PS3.18 I.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dbx.pixels.catalog.arrivals import Outcome
from dbx.pixels.index.urls import resource_url

_REFERENCED_SOP_CLASS_UID = "00081150"
_REFERENCED_SOP_INSTANCE_UID = "00081155"
_RETRIEVE_URL = "00081190"
_WARNING_REASON = "00081196"
_FAILURE_REASON = "00081197"
_FAILED_SOP_SEQUENCE = "00081198"
_REFERENCED_SOP_SEQUENCE = "00081199"
_OTHER_FAILURES_SEQUENCE = "0008119A"

#: The object was there already. The standard has no number for it; this one, of its warnings, Azure's service uses.
_IS_KNOWN = 0xB00E

Json = dict[str, Any]


def status_of(outcomes: Sequence[Outcome]) -> int:
    """Return the HTTP status (PS3.18 table 10.5.3-1): 200, or 202 if not all is well, or 409 if nothing is stored."""
    if all(outcome.failure is not None for outcome in outcomes):
        return 409
    return 202 if any(outcome.failure is not None or outcome.is_known for outcome in outcomes) else 200


def store_response(outcomes: Sequence[Outcome], root: str) -> Json:
    """Tell what became of each file.

    Parameters
    ----------
    outcomes : sequence of Outcome
        As `Uploads.store` returned them.
    root : str
        Of the DICOMweb service, as the client calls it.

    Returns
    -------
    dict
        A data set in the DICOM JSON model.
    """
    stored = [outcome for outcome in outcomes if outcome.failure is None]
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    studies = {outcome.StudyInstanceUID for outcome in stored}
    study = studies.pop() if len(studies) == 1 else None
    dataset: Json = {_RETRIEVE_URL: {"vr": "UR"} if study is None else _value("UR", resource_url(root, study))}
    for tag, items in (
        (_REFERENCED_SOP_SEQUENCE, [_stored(outcome, root) for outcome in stored]),
        (_FAILED_SOP_SEQUENCE, [_failed(outcome) for outcome in failed if outcome.SOPInstanceUID is not None]),
        (_OTHER_FAILURES_SEQUENCE, [_reason(outcome) for outcome in failed if outcome.SOPInstanceUID is None]),
    ):
        if items:
            dataset[tag] = {"vr": "SQ", "Value": items}
    return dataset


def _stored(outcome: Outcome, root: str) -> Json:
    assert outcome.StudyInstanceUID is not None
    url = resource_url(root, outcome.StudyInstanceUID, outcome.SeriesInstanceUID, outcome.SOPInstanceUID)
    item = {**_reference(outcome), _RETRIEVE_URL: _value("UR", url)}
    if outcome.is_known:
        item[_WARNING_REASON] = _value("US", _IS_KNOWN)
    return item


def _failed(outcome: Outcome) -> Json:
    return _reference(outcome) | _reason(outcome)


def _reason(outcome: Outcome) -> Json:
    assert outcome.failure is not None
    return {_FAILURE_REASON: _value("US", int(outcome.failure))}


def _reference(outcome: Outcome) -> Json:
    reference: Json = {}
    if outcome.SOPClassUID is not None:
        reference[_REFERENCED_SOP_CLASS_UID] = _value("UI", outcome.SOPClassUID)
    return reference | {_REFERENCED_SOP_INSTANCE_UID: _value("UI", outcome.SOPInstanceUID)}


def _value(vr: str, value: Any) -> Json:
    return {"vr": vr, "Value": [value]}
