"""Rows for a serving index, and short ways to ask it."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Any

import orjson
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dbx.pixels.dicom.headers import read_headers
from dbx.pixels.index import Key, Level, Pack, Search, ServingIndex
from dbx.pixels.index.packing import array
from dbx.pixels.table import EVERYTHING
from table_rows import row

#: Attributes of an instance by keyword, over those that every one has.
_COMMON = {
    "SpecificCharacterSet": "ISO_IR 192",
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
    "Modality": "CT",
    "PatientName": "Doe^John",
    "StudyDate": "20240517",
    "Rows": 512,
}


def instance(
    path: str, study: int = 1, series: int = 1, number: int = 1, *, minutes: int = 0, **attributes: Any
) -> dict[str, Any]:
    """The row of an object as ingest makes it, with the attributes given by keyword."""
    series_uid = f"1.2.{study}.{series}"
    uids = {
        "StudyInstanceUID": f"1.2.{study}",
        "SeriesInstanceUID": series_uid,
        "SOPInstanceUID": f"{series_uid}.{number}",
    }
    values = _COMMON | uids | {"InstanceNumber": number, "PatientID": f"P{study}"} | attributes
    data_set = Dataset()
    for keyword, value in values.items():
        if value is not None:  # left out
            setattr(data_set, keyword, value)
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data_set.file_meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    content = BytesIO()
    data_set.save_as(content, enforce_file_format=True)
    return row(path, minutes=minutes, local_path=path, **read_headers([content.getvalue()]).to_pylist()[0])


def found(index: ServingIndex, level: Level, *keys: tuple[str, str], **options: Any) -> list[str]:
    """The UIDs that a search for keys, such as ("00100010", "doe*"), finds, in order."""
    search = Search(level, keys=tuple(Key(tuple(tags.split(".")), value) for tags, value in keys), **options)
    return [uid_of(data_set, level) for data_set in index.search(search, EVERYTHING).datasets]


def shown(index: ServingIndex, level: Level, tag: str) -> dict[str, list[Any]]:
    """The values of an attribute by UID."""
    found = index.search(Search(level, include=frozenset({tag})), EVERYTHING).datasets
    return {uid_of(data_set, level): data_set.get(tag, {}).get("Value", []) for data_set in found}


def paths(index: ServingIndex) -> set[str]:
    """The objects of all instances."""
    uids = found(index, Level.INSTANCE)
    instances = [index.find(uid, EVERYTHING) for uid in uids]
    assert len(set(uids)) == len(uids), "an instance is shown twice"
    return {instance.path for instance in instances if instance}


def unpacked(packs: Iterable[Pack]) -> list[dict[str, Any]]:
    """The data sets of a series as it is stored."""
    return orjson.loads(b"".join(array((pack.text() for pack in packs), compressed=False)))


def uid_of(data_set: dict[str, Any], level: Level) -> str:
    """The UID of a study, series or instance."""
    tag = {Level.STUDY: "0020000D", Level.SERIES: "0020000E", Level.INSTANCE: "00080018"}[level]
    return data_set[tag]["Value"][0]
