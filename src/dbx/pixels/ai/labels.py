"""Labels: the segmentations that people saved, of which models learn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dbx.pixels.table import ObjectTable, Principal, query

#: Of final segmentations only: a proposal is what a model thinks. Series they refer to: Referenced Series Sequence
#: (0008,1115); names: Segment Label (0062,0005) of the Segment Sequence (0062,0002).
_FINAL = """
    SELECT SOPInstanceUID,
           json_extract_string(meta, '$."00081115".Value[*]."0020000E".Value[0]') AS series,
           json_extract_string(meta, '$."00620002".Value[*]."00620005".Value[0]') AS segments
    FROM object_catalog WHERE label_state = 'final' ORDER BY modificationTime, path"""


@dataclass(frozen=True)
class Label:
    """A final segmentation of a series.

    Attributes
    ----------
    SeriesInstanceUID : str
        Of the series that it lies over.
    SOPInstanceUID : str
        Its own.
    segments : tuple of str
        Its Segment Labels (0062,0005).
    """

    SeriesInstanceUID: str
    SOPInstanceUID: str
    segments: tuple[str, ...]


def final_labels(
    table: ObjectTable | None, principal: Principal, names: Iterable[str] | None = None
) -> dict[str, Label]:
    """Return the label of each series that has one, by Series Instance UID: of several, the latest wins.

    Parameters
    ----------
    table : ObjectTable or None
        None has no labels.
    principal : Principal
        Who reads.
    names : iterable of str, optional
        Only segmentations that have a segment of one of these names count.

    Raises
    ------
    TableError
        If the table cannot be read.
    """
    wanted = None if names is None else frozenset(names)
    labels = {}
    for row in query(table, _FINAL, principal=principal).read_all().to_pylist():
        segments = tuple(filter(None, row["segments"]))
        if wanted is None or not wanted.isdisjoint(segments):
            for series in filter(None, row["series"]):
                labels[series] = Label(series, row["SOPInstanceUID"], segments)
    return labels
