"""The errors of Pixels: each names the object, what is wrong and the remedy."""

from __future__ import annotations


class PixelsError(Exception):
    """Base of every error that Pixels raises on purpose.

    Parameters
    ----------
    subject : str
        The object concerned: a path, a table, an argument, a query.
    problem : str
        What is wrong with it.
    remedy : str, optional
        What the user can do about it.

    Attributes
    ----------
    subject, problem, remedy : str
        The parameters as given, so that callers can act on facts instead of parsing text.
    """

    def __init__(self, subject: str, problem: str, remedy: str = "") -> None:
        self.subject = subject
        self.problem = problem
        self.remedy = remedy
        super().__init__(subject, problem, remedy)

    def __reduce__(self) -> tuple[type[PixelsError], tuple[str, str, str]]:
        return type(self), (self.subject, self.problem, self.remedy)  # OSError would keep two of them

    def __str__(self) -> str:
        text = f"{self.subject}: {self.problem}" if self.subject else self.problem
        return f"{text}. {self.remedy}" if self.remedy else text


class ArgumentError(PixelsError, ValueError):
    """An argument, or a combination of arguments, that cannot be served."""


class StorageError(PixelsError, OSError):
    """An object or a folder that cannot be listed, opened or read."""

    __str__ = PixelsError.__str__


class ObjectNotFoundError(StorageError):
    """An object that is not, or no longer, there."""


class ObjectChangedError(StorageError):
    """An object that is another one than was listed under its address."""


class ArchiveError(StorageError):
    """A zip archive or a member of one that cannot be read: encrypted, truncated, unreasonably large."""


class DicomError(PixelsError, ValueError):
    """An object whose bytes cannot be understood as DICOM."""


class PixelDataError(DicomError):
    """Pixel data that is absent or cannot be decoded."""


class TableError(PixelsError):
    """A table that cannot be read or written."""


class TableNotFoundError(TableError):
    """A table that does not exist."""


class CommitConflictError(TableError):
    """A commit that lost against concurrent writers more often than it was retried."""


class UnsafeStoreError(TableError):
    """An object store that ignores conditional puts, on which concurrent commits would be lost."""


class IndexUnavailableError(TableError):
    """A serving index whose database cannot be reached or read, or that is being made anew."""


class QueryError(PixelsError, ValueError):
    """An SQL query that is refused or fails."""


class EngineError(PixelsError, RuntimeError):
    """An engine (Spark, an optional library) that is missing or cannot be used here."""


class ModelError(PixelsError):
    """A model (a MONAI bundle) that cannot be made, added or used, or that fails."""


class ModelNotFoundError(ModelError):
    """A model, or a version of one, that does not exist."""


class ModelNotReadyError(ModelError):
    """A model that cannot be run as it is, such as one without weights."""


class TrainingError(PixelsError):
    """A training that cannot be started, or that failed."""


class ServingError(PixelsError):
    """A model that is served elsewhere and cannot be reached, or whose server fails."""


class RunCancelledError(PixelsError):
    """A run of a model that was given up because its caller asked for that."""


class SeriesNotFoundError(PixelsError):
    """A series that the table does not hold, or that the principal may not see."""


class UnsuitableSeriesError(PixelsError, ValueError):
    """A series whose images do not make one volume, or that a model cannot take. It is named by its UID alone."""


class UnsuitableSegmentationError(DicomError):
    """A segmentation that cannot be laid over a series."""
