"""Deflated data sets (PS3.5 A.5), inflated as far as memory allows."""

from __future__ import annotations

import io
import zlib
from typing import BinaryIO

from pydicom.filebase import DicomBytesIO
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from dbx.pixels.dicom.quiet import quiet
from dbx.pixels.dicom.sources import Source, open_file
from dbx.pixels.errors import DicomError

#: A longer inflated data set is refused: deflated zeros inflate to a thousand times their size, and readers copy them.
LARGEST_INFLATED = 1 << 29

_PIECE = 1 << 20


def inflate(deflated: BinaryIO, inflated: BinaryIO) -> None:
    """Inflate the rest of a file as far as it goes; who parses it will notice if it ends too early.

    Raises
    ------
    DicomError
        If it cannot be inflated, or would become too long.
    """
    inflater, length = zlib.decompressobj(-zlib.MAX_WBITS), 0
    try:
        while data := inflater.unconsumed_tail or deflated.read(_PIECE):
            length += inflated.write(inflater.decompress(data, _PIECE))
            if length > LARGEST_INFLATED:
                raise DicomError("", f"the deflated data set inflates to more than {LARGEST_INFLATED >> 20} MiB")
            if inflater.eof:
                return
        inflated.write(inflater.flush())
    except zlib.error as error:
        raise DicomError("", f"the deflated data set cannot be inflated: {error}") from None


def open_dicom(source: Source) -> BinaryIO:
    """Open an object for pydicom, which by itself would inflate without end.

    Returns
    -------
    binary file
        The object; of a deflated one, what it is in Explicit VR Little Endian.

    Raises
    ------
    DicomError
        If a deflated data set cannot be inflated, or would become too long.
    StorageError
        If the object cannot be opened.
    """
    file = open_file(source)
    try:
        with quiet():
            read_preamble(file, force=True)
            meta = _read_file_meta_info(file)
            syntax = meta.get("TransferSyntaxUID")  # as pydicom sees it: the native core may see another one
        if syntax != DeflatedExplicitVRLittleEndian:
            file.seek(0)
            return file
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.FileMetaInformationGroupLength = 0  # told when it is known
        written = DicomBytesIO()
        write_file_meta_info(written, meta, enforce_standard=False)
        inflated = io.BytesIO()
        inflated.write(bytes(128) + b"DICM" + written.getvalue())
        inflate(file, inflated)
    except BaseException:
        file.close()
        raise
    file.close()
    inflated.seek(0)
    return inflated
