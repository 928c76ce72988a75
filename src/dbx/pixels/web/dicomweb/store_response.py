"""The answer to a store request: the Store Instances Response Module (PS3.18 I.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dbx.pixels.catalog.arrivals import Arrival
from dbx.pixels.web.dicomweb.urls import resource_url

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


def status_of(arrivals: Sequence[Arrival]) -> int:
    """Return the HTTP status (PS3.18 table 10.5.3-1): 200, or 202 if not all is well, or 409 if nothing is stored."""
    if all(arrival.failure is not None for arrival in arrivals):
        return 409
    return 202 if any(arrival.failure is not None or arrival.is_known for arrival in arrivals) else 200


def store_response(arrivals: Sequence[Arrival], root: str) -> Json:
    """Tell what became of each file.

    Parameters
    ----------
    arrivals : sequence of Arrival
        As `Uploads.store` returned them.
    root : str
        Of the DICOMweb service, as the client calls it.

    Returns
    -------
    dict
        A data set in the DICOM JSON model.
    """
    stored = [arrival for arrival in arrivals if arrival.failure is None]
    failed = [arrival for arrival in arrivals if arrival.failure is not None]
    studies = {arrival.StudyInstanceUID for arrival in stored}
    study = studies.pop() if len(studies) == 1 else None
    dataset: Json = {_RETRIEVE_URL: {"vr": "UR"} if study is None else _value("UR", resource_url(root, study))}
    for tag, items in (
        (_REFERENCED_SOP_SEQUENCE, [_stored(arrival, root) for arrival in stored]),
        (_FAILED_SOP_SEQUENCE, [_failed(arrival) for arrival in failed if arrival.SOPInstanceUID is not None]),
        (_OTHER_FAILURES_SEQUENCE, [_reason(arrival) for arrival in failed if arrival.SOPInstanceUID is None]),
    ):
        if items:
            dataset[tag] = {"vr": "SQ", "Value": items}
    return dataset


def _stored(arrival: Arrival, root: str) -> Json:
    assert arrival.StudyInstanceUID is not None
    url = resource_url(root, arrival.StudyInstanceUID, arrival.SeriesInstanceUID, arrival.SOPInstanceUID)
    item = {**_reference(arrival), _RETRIEVE_URL: _value("UR", url)}
    if arrival.is_known:
        item[_WARNING_REASON] = _value("US", _IS_KNOWN)
    return item


def _failed(arrival: Arrival) -> Json:
    return _reference(arrival) | _reason(arrival)


def _reason(arrival: Arrival) -> Json:
    assert arrival.failure is not None
    return {_FAILURE_REASON: _value("US", int(arrival.failure))}


def _reference(arrival: Arrival) -> Json:
    reference: Json = {}
    if arrival.SOPClassUID is not None:
        reference[_REFERENCED_SOP_CLASS_UID] = _value("UI", arrival.SOPClassUID)
    return reference | {_REFERENCED_SOP_INSTANCE_UID: _value("UI", arrival.SOPInstanceUID)}


def _value(vr: str, value: Any) -> Json:
    return {"vr": vr, "Value": [value]}
