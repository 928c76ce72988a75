"""From the bytes of DICOM objects to metadata, frames and pictures; what users import is here."""

from dbx.pixels.dicom.plot import DicomPlot
from dbx.pixels.dicom.transformers import DicomMetaExtractor, DicomThumbnailExtractor, PathExtractor, TagExtractor

__all__ = ["DicomMetaExtractor", "DicomPlot", "DicomThumbnailExtractor", "PathExtractor", "TagExtractor"]
