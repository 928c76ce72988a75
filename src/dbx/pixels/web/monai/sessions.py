"""``/monai/session/``: volumes that clients send to be segmented, and that are not in the table."""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from dbx.pixels.storage.local import storage_error
from dbx.pixels.web.errors import HttpError
from dbx.pixels.web.monai.answering import JSON, answer_json
from dbx.pixels.web.monai.asking import form_of, uploaded
from dbx.pixels.web.server import Server

#: Of a volume that is sent, and of its file.
MOST_VOXELS = 1 << 29
MOST_BYTES = 2 << 30
#: Seconds that a session lasts after it was used last, and the most that a client may ask for.
_EXPIRY = 3600
_LONGEST = 24 * 3600

#: Sessions that there are at once: one more, and the one that was used longest ago ends.
_MOST_SESSIONS = 16

_ID = re.compile("[0-9a-f]{32}")
_ENDINGS = (".nii.gz", ".nii", ".nrrd")


@dataclass(frozen=True)
class Session:
    """A volume that somebody sent.

    Attributes
    ----------
    path : pathlib.Path
        Its file, in a folder that is named by the session's id and the seconds that it lasts. When it was used last is
        the file's time of access.
    """

    path: Path

    @property
    def id(self) -> str:
        """By which the client names it; who does not know it cannot guess it."""
        return self.path.parent.stem

    @property
    def expiry(self) -> int:
        """Seconds that it lasts after it was used last."""
        return int(self.path.parent.suffix[1:])

    @property
    def has_expired(self) -> bool:
        """Whether it was not used for longer."""
        return self.path.stat().st_atime + self.expiry < time.time()

    def touch(self) -> None:
        """Note that it is used."""
        os.utime(self.path, (time.time(), self.path.stat().st_mtime))

    def to_json(self) -> JSON:
        """Return what clients are told."""
        status = self.path.stat()
        times = {"create_ts": int(status.st_mtime), "last_access_ts": int(status.st_atime)}
        return {"name": self.id, "image": self.path.name, **times, "expiry": self.expiry}


class Sessions:
    """Volumes that clients send, in a folder which processes of a server share.

    Parameters
    ----------
    folder : pathlib.Path
        Made when it is first needed; only the user who runs the server can read it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self, file: BinaryIO, name: str, expiry: int) -> Session:
        """Keep a volume.

        Raises
        ------
        HttpError
            400, if the name is none of a volume.
        StorageError
            If it cannot be written.
        """
        ending = next((ending for ending in _ENDINGS if name.lower().endswith(ending)), None)
        if ending is None:
            raise HttpError(400, f"the file's name ends in none of {', '.join(_ENDINGS)}")
        self._delete_expired()
        for session in sorted(self._all(), key=_last_used)[: -_MOST_SESSIONS + 1]:
            self.remove(session)
        path = self._folder / f"{uuid.uuid4().hex}.{expiry}" / f"image{ending}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.mkdir(mode=0o700)
            with path.open("xb") as kept:
                shutil.copyfileobj(file, kept)
        except OSError as error:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise storage_error(str(path), error) from error
        return Session(path)

    def find(self, session_id: str) -> Session:
        """Return a session.

        Raises
        ------
        HttpError
            404, if there is none of this id any more.
        """
        self._delete_expired()
        found = list(self._folder.glob(f"{session_id}.*/image*")) if _ID.fullmatch(session_id) else []
        if not found:
            raise HttpError(404, "there is no such session, or it has expired")
        return Session(found[0])

    @contextmanager
    def open(self, session_id: str) -> Iterator[tuple[BinaryIO, str]]:
        """Open the file of a session, and tell its name.

        Raises
        ------
        HttpError
            404, if there is none of this id any more.
        """
        session = self.find(session_id)
        session.touch()
        with session.path.open("rb") as file:
            yield file, session.path.name

    def remove(self, session: Session) -> None:
        """Delete a session's file."""
        shutil.rmtree(session.path.parent, ignore_errors=True)

    def _all(self) -> list[Session]:
        return list(map(Session, self._folder.glob("*/image*")))

    def _delete_expired(self) -> None:
        for session in self._all():
            with suppress(FileNotFoundError):  # others delete them, too
                if session.has_expired:
                    self.remove(session)


def _last_used(session: Session) -> float:
    try:
        return session.path.stat().st_atime
    except FileNotFoundError:  # others delete them, too
        return 0


def sessions_of(server: Server) -> Sessions:
    """Return the sessions of a server."""
    return Sessions(server.catalog.home.ai / "sessions")


async def put_session(request: Request) -> Response:
    """Keep the volume that is sent, and answer with the id by which `infer` takes it."""
    try:
        expiry = int(request.query_params.get("expiry") or 0) or _EXPIRY
    except ValueError as error:
        raise HttpError(400, "expiry is no number of seconds") from error
    sessions = sessions_of(request.app.state.server)
    async with form_of(request, MOST_BYTES) as form:
        if len(form.getlist("files")) > 1:
            raise HttpError(400, "a session has one file: a volume")
        file = uploaded(form, "files")
        if file is None:
            raise HttpError(400, "the file is missing: a volume, named files")
        lasting = min(max(expiry, 1), _LONGEST)
        session = await run_in_threadpool(sessions.create, file.file, file.filename or "", lasting)
        return JSONResponse({"session_id": session.id, "session_info": session.to_json()})


async def get_session(request: Request) -> Response:
    """Answer with what is known of a session, or with its volume."""
    sessions = sessions_of(request.app.state.server)
    session = await run_in_threadpool(sessions.find, request.path_params["session_id"])
    if request.query_params.get("update_ts", "").lower() == "true":
        await run_in_threadpool(session.touch)
    if request.query_params.get("image", "").lower() == "true":
        return FileResponse(session.path, media_type="application/octet-stream", filename=session.path.name)
    return await answer_json(session.to_json)


async def delete_session(request: Request) -> Response:
    """Delete a session, and answer with what it was."""

    def delete() -> JSON:
        sessions = sessions_of(request.app.state.server)
        session = sessions.find(request.path_params["session_id"])
        told = session.to_json()
        sessions.remove(session)
        return told

    return await answer_json(delete)
