"""Where the value of one data element lies, found without reading the values of others (PS3.5 section 7)."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import BinaryIO, NamedTuple

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.filereader import read_partial
from pydicom.valuerep import EXPLICIT_VR_LENGTH_16

from dbx.pixels.dicom.quiet import quiet

_ITEM, _ITEM_DELIMITER, _SEQUENCE_DELIMITER = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_DELIMITERS = (_ITEM_DELIMITER, _SEQUENCE_DELIMITER)
_PIXEL_DATA = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_UNDEFINED = 0xFFFFFFFF


class DataSet(NamedTuple):
    """The data set of an object.

    Attributes
    ----------
    file : binary file
        That it is read from.
    offset, end : int
        Where it lies in the file.
    big_endian : bool
        Its byte order.
    """

    file: BinaryIO
    offset: int
    end: int
    big_endian: bool


class Value(NamedTuple):
    """Where a value lies.

    Attributes
    ----------
    vr : str
        Its value representation. Where the object does not say it is the dictionary's, which may leave a choice.
    offset, length : int
        In the file of the data set.
    """

    vr: str
    offset: int
    length: int


def open_data_set(file: BinaryIO) -> DataSet:
    """Find the data set of an object that `open_dicom` has opened, behind the file meta information.

    Raises
    ------
    Exception
        Whatever pydicom raises if the object is none of DICOM.
    """
    with quiet():
        beginning = read_partial(file, stop_when=lambda *_: True, force=True)
    offset = file.tell()
    return DataSet(file, offset, file.seek(0, 2), big_endian=beginning.original_encoding[1] is False)


def find_value(data_set: DataSet, path: Sequence[int]) -> Value | None:
    """Find a value before the pixel data.

    Parameters
    ----------
    data_set : DataSet
        Where it is looked for.
    path : sequence of int
        Its tag. Before it come the tags of the sequences that it is in, each with the number of the item, from 0.
    """
    walk = _Walk(data_set)
    found = walk.find(path)
    if found is None:
        return None
    vr = found.vr or (dictionary_VR(found.tag) if dictionary_has_tag(found.tag) else "UN")
    return Value(vr, found.value, walk.value_end(found) - found.value)


class _Element(NamedTuple):
    """The header of an element, an item or a delimiter.

    Attributes
    ----------
    vr : str or None
        None in implicit VR.
    value : int
        Where its value begins.
    length : int
        As it is written; it may be undefined.
    implicit : bool
        Whether it is in implicit VR, as all that it holds then is.
    """

    tag: int
    vr: str | None
    value: int
    length: int
    implicit: bool


class _Walk:
    """Goes from header to header."""

    def __init__(self, data_set: DataSet) -> None:
        self._file, self._end = data_set.file, data_set.end
        self._whole = _Element(_ITEM, None, data_set.offset, data_set.end - data_set.offset, implicit=False)
        order = ">" if data_set.big_endian else "<"
        self._short, self._long = struct.Struct(f"{order}HHxxH"), struct.Struct(f"{order}HHL")
        self._length = struct.Struct(f"{order}L")

    def find(self, path: Sequence[int]) -> _Element | None:
        """Find the element that a path leads to."""
        tag, *rest = path
        found = self._find(self._whole, tag)
        while found and rest:
            number, tag, *rest = rest
            item = next(islice(self._parts(found), number, None), None)
            found = self._find(item, tag) if item and item.tag == _ITEM else None
        return found

    def value_end(self, element: _Element) -> int:
        """Tell where a value ends; one of undefined length before its delimiter."""
        end = self._behind(element) - (8 if element.length == _UNDEFINED else 0)
        return max(min(end, self._end), element.value)

    def _find(self, item: _Element, tag: int) -> _Element | None:
        """Find an element in an item; of several with its tag the last, as in metadata, if they come together."""
        found = None
        for element in self._parts(item):
            if (found and element.tag != tag) or (item is self._whole and element.tag in _PIXEL_DATA):
                break
            if element.tag == tag:
                found = element
        return found

    def _parts(self, whole: _Element) -> Iterator[_Element]:
        """Yield the elements of an item, or the items of anything else, with the delimiter that ends it if one does."""
        is_item = whole.tag == _ITEM
        implicit = whole.implicit or (is_item and not self._looks_explicit(whole.value))
        position = whole.value
        end = self._end if whole.length == _UNDEFINED else min(whole.value + whole.length, self._end)
        while position < end and (part := self._read(position, implicit)):
            if not is_item and part.tag not in (_ITEM, _SEQUENCE_DELIMITER):
                return  # there are no items in it
            yield part
            if part.tag in _DELIMITERS:
                return
            position = self._behind(part)

    def _behind(self, element: _Element) -> int:
        if element.length != _UNDEFINED:
            return element.value + element.length
        last = deque(self._parts(element), maxlen=1)
        return last[0].value if last and last[0].tag in _DELIMITERS else self._end

    def _looks_explicit(self, position: int) -> bool:
        """Tell whether a VR follows the first tag, whatever the transfer syntax says; items may be in implicit VR."""
        self._file.seek(position)
        vr = self._file.read(6)[4:]
        return vr.isalpha() and vr.isupper()

    def _read(self, position: int, implicit: bool) -> _Element | None:
        self._file.seek(position)
        header = self._file.read(8)
        if len(header) < 8:
            return None
        group, number, length = self._long.unpack(header)
        tag, vr = group << 16 | number, header[4:6]
        if implicit or group == 0xFFFE or not (vr.isalpha() and vr.isupper()):
            return _Element(tag, None, position + 8, length, implicit)
        name = vr.decode("ascii")
        if name in EXPLICIT_VR_LENGTH_16:
            return _Element(tag, name, position + 8, self._short.unpack(header)[2], implicit)
        longer = self._file.read(4)
        return (
            _Element(tag, name, position + 12, self._length.unpack(longer)[0], implicit) if len(longer) == 4 else None
        )
