"""The attributes of one image that say how its pixel data is read (PS3.3 C.7.6.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from dbx.pixels.dicom.fragments import Fragments
from dbx.pixels.errors import PixelDataError

#: Columns of a row that say how pixel data is read, and those that say how it is displayed.
PIXEL_COLUMNS = (
    "TransferSyntaxUID",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "pixel_data",
    "fragments",
)
DISPLAY_COLUMNS = (
    "PixelSpacing",
    "ImagerPixelSpacing",
    "WindowCenter",
    "WindowWidth",
    "RescaleIntercept",
    "RescaleSlope",
    "meta",
)

FLOAT_PIXEL_DATA = "7FE00008"
DOUBLE_FLOAT_PIXEL_DATA = "7FE00009"

#: Bytes of a value by the tag of floating point pixel data (PS3.3 C.7.6.24, C.7.6.25).
_FLOAT_BYTES = {FLOAT_PIXEL_DATA: 4, DOUBLE_FLOAT_PIXEL_DATA: 8}


@dataclass(frozen=True, slots=True)
class ImagePixel:
    """How the pixel data of an image is encoded, and where it lies.

    Attributes
    ----------
    offset : int
        Of the first byte of the pixel data's value.
    fragments : Fragments, optional
        Of encapsulated pixel data; None if they are not known.
    dtype : str
        Of a stored value in native pixel data, as numpy writes it without the byte order: ``"u2"``. Values of one bit
        have ``"u1"``.
    """

    transfer_syntax: str
    offset: int
    fragments: Fragments | None
    frames: int
    rows: int
    columns: int
    samples: int
    photometric: str
    planar: bool
    bits_allocated: int
    bits_stored: int
    dtype: str

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Take what the typed columns of a row tell.

        Raises
        ------
        PixelDataError
            If the row has no pixel data, or not what is needed to read it.
        """
        pixel_data = row["pixel_data"]
        if pixel_data is None:
            raise PixelDataError("", "the object has no pixel data")
        float_bytes = _FLOAT_BYTES.get(pixel_data["tag"])
        bits_allocated = 8 * float_bytes if float_bytes else row["BitsAllocated"]
        rows, columns = row["Rows"], row["Columns"]
        if not (rows and columns and bits_allocated):
            raise PixelDataError("", "Rows, Columns or Bits Allocated is missing")
        if bits_allocated not in (1, 8, 16, 32, 64):
            raise PixelDataError("", f"{bits_allocated} Bits Allocated cannot be read")
        kind = "f" if float_bytes else "i" if row["PixelRepresentation"] else "u"
        return cls(
            transfer_syntax=row["TransferSyntaxUID"] or "",
            offset=pixel_data["offset"],
            fragments=_fragments(row["fragments"]) if pixel_data["length"] is None else None,
            frames=max(row["NumberOfFrames"] or 1, 1),
            rows=rows,
            columns=columns,
            samples=row["SamplesPerPixel"] or 1,
            photometric=row["PhotometricInterpretation"] or "MONOCHROME2",
            planar=row["PlanarConfiguration"] == 1,
            bits_allocated=bits_allocated,
            bits_stored=bits_allocated if float_bytes else row["BitsStored"] or bits_allocated,
            dtype=f"{kind}{max(bits_allocated // 8, 1)}",
        )

    @property
    def decoded_bytes(self) -> int:
        """Bytes of one frame as it is decoded."""
        return self.rows * self.columns * self.samples * int(self.dtype[1:])

    @property
    def frame_bits(self) -> int:
        """Bits of one frame of native pixel data; frames of one bit a pixel need not begin with a byte."""
        if self.photometric == "YBR_FULL_422":  # two pixels share their chrominance (PS3.3 C.7.6.3.1.2)
            return self.rows * self.columns * 2 * self.bits_allocated
        return self.rows * self.columns * self.samples * self.bits_allocated


def _fragments(value: Fragments | Sequence[Mapping[str, Any]] | None) -> Fragments | None:
    return value if value is None or isinstance(value, Fragments) else Fragments.from_rows(value)
