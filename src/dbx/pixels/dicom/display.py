"""From stored values to displayed ones: windows, look-up tables, palettes (PS3.3 C.11, C.7.6.3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi

from dbx.pixels.dicom.inflating import open_dicom
from dbx.pixels.dicom.quiet import quiet
from dbx.pixels.dicom.sources import Source

#: The values that are displayed as black and as white.
Window = tuple[float, float]

#: What is read of a header whose columns do not tell all.
_DISPLAY_ATTRIBUTES = [
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "PixelAspectRatio",
    "PixelSpacing",
    "PixelPaddingValue",
    "RescaleIntercept",
    "RescaleSlope",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    *(f"{colour}PaletteColorLookupTableDescriptor" for colour in ("Red", "Green", "Blue")),
    *(f"{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
]

#: Functional groups of enhanced images that hold such attributes (PS3.3 C.7.6.16.2).
_DISPLAY_MACROS = ("PixelMeasuresSequence", "PixelValueTransformationSequence", "FrameVOILUTSequence")


@dataclass(frozen=True)
class RequestedWindow:
    """A window that takes the place of an image's own (PS3.3 C.11.2.1.2).

    Attributes
    ----------
    center, width : float
        In rescaled values.
    function : str
        ``"LINEAR"``, ``"LINEAR_EXACT"`` or ``"SIGMOID"``.
    """

    center: float
    width: float
    function: str = "LINEAR"

    @property
    def is_linear(self) -> bool:
        """Whether columns can tell it."""
        return self.function == "LINEAR"

    def over_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the row with this window."""
        return {**row, "WindowCenter": [self.center], "WindowWidth": [self.width]}

    def put_into(self, header: Dataset) -> None:
        """Put this window in place of that of a header."""
        header.WindowCenter, header.WindowWidth, header.VOILUTFunction = self.center, self.width, self.function


def columns_tell_all(row: Mapping[str, Any]) -> bool:
    """Tell whether the typed columns suffice to display an image, so that its header need not be read again."""
    meta = row.get("meta")
    return meta is not None and not any(f'"{tag}"' in meta for tag in _untold_tags(row))


def _untold_tags(row: Mapping[str, Any]) -> Iterator[str]:
    """Give the tags that, if they are there, change the display and have no column."""
    if row["PhotometricInterpretation"] == "PALETTE COLOR":
        yield "00281101"  # Red Palette Color Lookup Table Descriptor
    yield "52009229"  # Shared Functional Groups Sequence
    if row["WindowCenter"]:
        yield "00281056"  # VOI LUT Function
    else:
        yield "00283010"  # VOI LUT Sequence
        yield "00280120"  # Pixel Padding Value
    if row["RescaleSlope"] is None:
        yield "00283000"  # Modality LUT Sequence
    if not row["PixelSpacing"]:
        yield "00280034"  # Pixel Aspect Ratio


def read_display_header(source: Source, frame: int) -> Dataset:
    """Read what a header says about the display of a frame; the functional groups of the frame are laid flat."""
    with quiet(), open_dicom(source) as file:
        header = pydicom.dcmread(file, force=True, stop_before_pixels=True, specific_tags=_DISPLAY_ATTRIBUTES)
    shared = header.get("SharedFunctionalGroupsSequence", [])[:1]
    own = header.get("PerFrameFunctionalGroupsSequence", [])[frame : frame + 1]
    for group in (*shared, *own):
        for macro in _DISPLAY_MACROS:
            for item in group.get(macro, [])[:1]:
                header.update(item)
    return header


def stored_window(row: Mapping[str, Any]) -> Window | None:
    """Give the first linear window of an image in stored values, before rescaling (PS3.3 C.11.1.1.2, C.11.2.1.2.1)."""
    window = _linear_window(_first(row["WindowCenter"]), _first(row["WindowWidth"]))
    if window is None:
        return None
    slope = row["RescaleSlope"] or 1
    intercept = row["RescaleIntercept"] or 0
    return (window[0] - intercept) / slope, (window[1] - intercept) / slope


def needs_exact_values(header: Dataset) -> bool:
    """Tell whether near values may mean something else, so that a frame decoded at a smaller scale is of no use."""
    return any(keyword in header for keyword in ("PixelPaddingValue", "ModalityLUTSequence", "VOILUTSequence"))


def displayed_greys(values: NDArray, header: Dataset) -> tuple[NDArray, Window | None]:
    """Apply what a header says to stored values, up to a linear window that is left to apply."""
    greys = np.asarray(apply_modality_lut(values, header))
    center, width = _first(header.get("WindowCenter")), _first(header.get("WindowWidth"))
    window = _linear_window(center, width)
    if center is None or width is None or window is None:
        return _without_window(values, greys, header)
    if header.get("VOILUTFunction") == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (greys - center) / width)), (0, 1)
    if header.get("VOILUTFunction") == "LINEAR_EXACT":
        return greys, (center - width / 2, center + width / 2)
    return greys, window


def _without_window(values: NDArray, greys: NDArray, header: Dataset) -> tuple[NDArray, Window | None]:
    if header.get("VOILUTSequence"):
        return np.asarray(apply_voi(greys, header)), (0, 2 ** header.VOILUTSequence[0].LUTDescriptor[2] - 1)
    if "PixelPaddingValue" in header:  # it lies outside the range of what was seen
        seen = greys[values != header.PixelPaddingValue]
        if seen.size:
            return greys, (float(seen.min()), float(seen.max()))
    return greys, None


def palette_colours(indices: NDArray, header: Dataset) -> NDArray:
    """Look up the colours of palette indices, as 8-bit RGB (PS3.3 C.7.6.3.1.5)."""
    return eight_bits(apply_color_lut(indices, header), header.RedPaletteColorLookupTableDescriptor[2])


def eight_bits(samples: NDArray, bits_stored: int) -> NDArray:
    """Keep the eight most significant of the stored bits of colour samples."""
    if samples.dtype == np.uint8:
        return samples
    return (samples >> max(bits_stored - 8, 0)).astype(np.uint8)


def pixel_height(row: Mapping[str, Any], header: Dataset | None) -> float:
    """Give how high a pixel is in relation to its width (PS3.3 C.7.6.3.1.7, 10.7.1.3)."""
    edges = row["PixelSpacing"] or row["ImagerPixelSpacing"]
    if header is not None:
        edges = edges or header.get("PixelSpacing") or header.get("PixelAspectRatio")
    if edges is None or len(edges) != 2 or not all(edge and edge > 0 for edge in edges):
        return 1
    ratio = float(edges[0]) / float(edges[1])
    return ratio if 0.1 <= ratio <= 10 else 1  # beyond that it is a mistake, and the picture a line


def _linear_window(center: float | None, width: float | None) -> Window | None:
    if center is None or width is None or not (isfinite(center) and isfinite(width)) or width <= 0:
        return None
    if width < 1:  # not allowed, but in use where rescaled values are small
        return center - width / 2, center + width / 2
    reach = max(width - 1, 0.001) / 2  # a width of 1 is a threshold
    return center - 0.5 - reach, center - 0.5 + reach


def _first(values: Any) -> float | None:
    """Give the first of the values of an attribute that may have none, one or several."""
    if values is None or isinstance(values, (int, float, str)):
        return None if values in (None, "") else float(values)
    return next((float(value) for value in values if value is not None), None)
