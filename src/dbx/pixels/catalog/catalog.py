"""The public API: from paths to a table, and from the table to answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import pyarrow as pa

from dbx.pixels.catalog.chunks import Tally
from dbx.pixels.catalog.discovery import Discovery
from dbx.pixels.catalog.engines import Address, Table, engine_for
from dbx.pixels.catalog.known import Known
from dbx.pixels.catalog.selection import Archives, Selection
from dbx.pixels.catalog.streaming import Stream, seconds
from dbx.pixels.dicom.transformers import FileTypeExtractor, TagExtractor
from dbx.pixels.engine.frame import Frame
from dbx.pixels.engine.transformer import ColumnSelector
from dbx.pixels.errors import ArgumentError, TableNotFoundError
from dbx.pixels.storage import Home, volume_path
from dbx.pixels.storage.paths import canonical, is_remote
from dbx.pixels.table.objects import ObjectTable
from dbx.pixels.table.principal import EVERYTHING, Principal
from dbx.pixels.table.schema import OBJECT_FIELDS
from dbx.pixels.table.sql import query as answer
from dbx.pixels.table.upkeep import optimize_if_due

DEFAULT_TABLE = "main.pixels_solacc.object_catalog"
DEFAULT_VOLUME = "main.pixels_solacc.pixels_volume"
FILES_PER_TRIGGER = 1000


class Catalog:
    """A table of objects and the ways in and out of it.

    Parameters
    ----------
    spark : SparkSession, optional
        The distributed engine; without it everything runs embedded, on this machine.
    table : str
        Three-level name, or the folder or URL of a Delta table. A name in a catalog of the session is the session's
        table, others lie under the home folder.
    volume : str
        Three-level name of the volume for what Pixels itself writes.
    home : str, optional
        The home folder; ``PIXELS_HOME`` or ``~/.pixels`` by default.
    principal : Principal
        Who reads; by default somebody who may see everything.

    Examples
    --------
    >>> catalog = Catalog()
    >>> catalog_df = catalog.catalog("/data/dicom")
    >>> meta_df = DicomMetaExtractor(catalog).transform(catalog_df)
    >>> catalog.save(meta_df)
    >>> catalog.sql("SELECT Modality, count(*) FROM object_catalog GROUP BY 1").show()
    """

    def __init__(
        self,
        spark: Any = None,
        table: str = DEFAULT_TABLE,
        volume: str = DEFAULT_VOLUME,
        *,
        home: str | None = None,
        principal: Principal = EVERYTHING,
    ) -> None:
        self.engine = engine_for(spark)
        self.home = Home.from_environment(home)
        self.table = table
        self.volume = volume
        self.principal = principal

    def catalog(
        self,
        path: str | PathLike[str] | Iterable[str | PathLike[str]],
        pattern: str | None = None,
        recurse: bool = True,
        streaming: bool = False,
        streamCheckpointBasePath: str | None = None,
        triggerProcessingTime: str | None = None,
        triggerAvailableNow: bool | None = None,
        extractZip: bool = False,
        extractZipBasePath: str | None = None,
        maxFilesPerTrigger: int | None = None,
        detectFileType: bool = False,
        zipInPlace: bool = False,
        cloudFiles: bool = False,
    ) -> Any:
        """List objects: one row each, with what is known of it before its bytes are read.

        Parameters
        ----------
        path : str, path-like, or iterable of these
            Folders, buckets (``s3://``, ``gs://``, ``az://``, ``abfss://``), volumes or single files.
        pattern : str, optional
            Glob that names must match, or paths below `path` if it holds a ``/``. All by default.
        recurse : bool
            Whether to look into folders.
        streaming : bool
            Whether to return a stream, which `save` runs, of objects that it has not seen yet.
        streamCheckpointBasePath : str, optional
            Folder or volume path where streams remember what they saw; needed with `streaming`.
        triggerProcessingTime : str, optional
            Look again at this interval, such as ``"10 seconds"``, until interrupted.
        triggerAvailableNow : bool, optional
            End the stream when all that was there is saved; so it is without any trigger.
        extractZip : bool
            Whether to unpack zip archives and list what was in them.
        extractZipBasePath : str, optional
            Folder for what is unpacked; ``/unzipped/`` of the catalog's volume by default.
        maxFilesPerTrigger : int, optional
            Objects in one micro-batch of a stream; 1000 by default.
        detectFileType : bool
            Whether to look at each object's first bytes for its `file_type`.
        zipInPlace : bool
            Whether to list the members of zip archives where they are, as ``zip://member::archive``.
        cloudFiles : bool
            Whether Databricks' Auto Loader finds the objects of a stream, of one path and without archives.

        Returns
        -------
        Frame or pyspark.sql.DataFrame
            Embedded it is lazy: the listing happens each time the frame is read. With a session it happens now.

        Raises
        ------
        ArgumentError
            If arguments are given that exclude or need each other.
        """
        if extractZip and zipInPlace:
            raise ArgumentError("extractZip", "excludes zipInPlace", "Unpack archives or read them where they are.")
        if extractZipBasePath is not None and not extractZip:
            raise ArgumentError(
                "extractZipBasePath", "has no use without extractZip=True", "Add it, or leave both out."
            )
        selection = self.selection(
            path,
            pattern=pattern,
            recurse=recurse,
            archives=Archives.EXTRACT if extractZip else Archives.IN_PLACE if zipInPlace else Archives.SKIP,
            extract_to=extractZipBasePath,
        )
        if streaming:
            stream = self._stream(
                selection, streamCheckpointBasePath, triggerProcessingTime, triggerAvailableNow, maxFilesPerTrigger
            )
            if cloudFiles:
                if len(selection.roots) > 1 or not recurse or selection.archives is not Archives.SKIP:
                    problem = "takes one path with its folders, and no archives"
                    raise ArgumentError("cloudFiles", problem, "Leave it out, or make several streams.")
                stream = replace(stream, cloud_files=True)
            frame = self.engine.stream(stream, self._address())
        else:
            for name, value in (
                ("streamCheckpointBasePath", streamCheckpointBasePath),
                ("triggerProcessingTime", triggerProcessingTime),
                ("triggerAvailableNow", triggerAvailableNow),
                ("maxFilesPerTrigger", maxFilesPerTrigger),
                ("cloudFiles", cloudFiles or None),
            ):
                if value is not None:
                    raise ArgumentError(name, "has no use without streaming=True", "Add it, or leave this one out.")

            def listed() -> Iterator[pa.RecordBatch]:
                return Discovery(selection, self.home, Known.nothing(), self.engine.open_archives).batches()

            frame = self.engine.objects(listed)
        frame = TagExtractor().transform(frame)
        if detectFileType:
            frame = FileTypeExtractor().transform(frame)
        return ColumnSelector(*(field.name for field in OBJECT_FIELDS), "error").transform(frame)

    def selection(
        self,
        path: str | PathLike[str] | Iterable[str | PathLike[str]],
        *,
        pattern: str | None,
        recurse: bool,
        archives: Archives,
        extract_to: str | None,
    ) -> Selection:
        """Say what to look at; archives are extracted to the volume unless `extract_to` names a folder."""
        if archives is Archives.EXTRACT:
            extract_to = canonical(extract_to or f"{volume_path(self.volume)}/unzipped")
            if is_remote(extract_to):
                raise ArgumentError(extract_to, "is no place to extract to", "Use a local folder or a volume.")
        return Selection.of(path, pattern=pattern, recurse=recurse, archives=archives, extract_to=extract_to)

    def save(self, df: Any, table: str | None = None, mode: str = "append") -> Tally:
        """Save rows: one live row for each path.

        Rows that the table has already are not written again, unless they fill columns that were null; rows of changed
        objects replace the old ones.

        Parameters
        ----------
        df : Frame or pyspark.sql.DataFrame
            What `catalog` returned, transformed or not. A DataFrame is saved in one commit.
        table : str, optional
            Another table than the catalog's.
        mode : str
            ``"append"`` keeps other rows; ``"overwrite"`` removes rows whose paths are not in `df`.

        Returns
        -------
        Tally
            What was in the rows.

        Raises
        ------
        ArgumentError
            If `mode` is none of these, or `df` does not fit the table.
        TableError
            If the table cannot be written.
        """
        if mode not in ("append", "overwrite"):
            raise ArgumentError("mode", f"{mode!r} is no mode", "Use 'append' or 'overwrite'.")
        target = self.create_table(table)
        if getattr(df, "isStreaming", False):
            if mode == "overwrite":
                raise ArgumentError("mode", "a stream cannot overwrite a table", "Use mode='append'.")
            return self.engine.run_stream(df, target)
        tally = Tally()
        # What is overwritten goes last: at no moment is a row missing that is in both.
        before = Known.under((), target) if mode == "overwrite" else Known.nothing()
        self.engine.save(df, target, tally, before)
        gone = before.unmet()
        if gone.num_rows:
            target.remove(gone)
        if isinstance(target, ObjectTable):
            optimize_if_due(target)
        return tally

    def load(self, table: str | None = None) -> Any:
        """Return the rows of a table as a lazy frame, or as a DataFrame of the table as it is now."""
        return self.engine.load(self._address(table), self.principal)

    def sql(self, query: str) -> Frame:
        """Answer an SQL query over the table.

        Parameters
        ----------
        query : str
            One SELECT over `object_catalog`, `studies`, `series`, `instances`, `issues`, `dicom_tags` and
            `object_catalog_autoseg_result`.

        Returns
        -------
        Frame
            Lazy: the query runs each time the frame is read, over the table as it then is.

        Raises
        ------
        QueryError
            If the query is not understood, or would do anything else than read.
        """
        location = self.location()

        def read() -> pa.RecordBatchReader:
            return answer(ObjectTable.find(location), query, principal=self.principal)

        return Frame(read().schema, read)

    def location(self, table: str | None = None) -> str:
        """Return where a table lies, this catalog's or another one: a folder or a URL.

        Raises
        ------
        TableNotFoundError
            If it is one that only Spark knows, and there is none.
        """
        address = self._address(table)
        if isinstance(address, str):
            return address
        found = self.engine.find_table(address)
        if found is None:
            raise TableNotFoundError(str(address), "there is no table", "Ingest something first: pixels ingest PATH.")
        return canonical(found.location)

    def find_table(self, table: str | None = None) -> Table | None:
        """Open a table, this catalog's or another one, or return None if there is none."""
        return self.engine.find_table(self._address(table))

    def create_table(self, table: str | None = None) -> Table:
        """Open a table, this catalog's or another one, made before if it was not there.

        Raises
        ------
        TableError
            If it cannot be made, or is not a table of objects.
        """
        return self.engine.create_table(self._address(table))

    def _address(self, table: str | None = None) -> Address:
        return self.engine.address(table or self.table, self.home.tables)

    def _stream(
        self,
        selection: Selection,
        checkpoints: str | None,
        interval: str | None,
        available_now: bool | None,
        max_files: int | None,
    ) -> Stream:
        if checkpoints is None:
            raise ArgumentError(
                "streamCheckpointBasePath", "is needed with streaming=True", "Name a folder for the stream's memory."
            )
        if is_remote(canonical(checkpoints)):
            raise ArgumentError(checkpoints, "cannot hold a checkpoint", "Use a local folder or a volume.")
        if interval is not None and available_now:
            raise ArgumentError("triggerAvailableNow", "excludes triggerProcessingTime", "Choose one.")
        max_files = FILES_PER_TRIGGER if max_files is None else max_files
        if not isinstance(max_files, int) or max_files < 1:
            raise ArgumentError("maxFilesPerTrigger", f"{max_files!r} is no number of files", "Use 1 or more.")
        return Stream(
            selection,
            self.home,
            Path(self.home.local_path(canonical(checkpoints))),
            max_files,
            None if interval is None else seconds(interval),
        )
