"""``/monai/infer/{model}``: what a model finds in a series, or in a volume that the client sends."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dbx.pixels.ai.segmentation import write_segmentation
from dbx.pixels.ai.segmented import Segmented
from dbx.pixels.ai.volume_files import Volume, read_volume, write_nrrd
from dbx.pixels.table import Principal
from dbx.pixels.web.dicomweb.media import DICOM
from dbx.pixels.web.errors import HttpError
from dbx.pixels.web.monai.answering import answer_file, answer_form
from dbx.pixels.web.monai.asking import declared, form_of, params_of, run_while_waited_for, uploaded
from dbx.pixels.web.monai.sessions import MOST_BYTES, MOST_VOXELS, sessions_of
from dbx.pixels.web.server import Server

_OUTPUTS = ("image", "json", "all", "dicom_seg")
_TYPES = ("uint8", "uint16")
#: How clients want the result. Values are always those of the model's labels, which is what a ``restore_label_idx`` of
#: false asks for; a DICOM Segmentation has the names of the model's labels, whatever ``label_info`` says.
_OF_RESULT = ("result_extension", "result_dtype", "result_compress", "restore_label_idx", "label_info")
_NAME = "label.nrrd"


async def infer(request: Request) -> Response:
    """Answer with an image (NRRD), JSON, both, or a DICOM Segmentation. Nothing is stored."""
    server: Server = request.app.state.server
    async with form_of(request, MOST_BYTES) as form:
        if form.get("label"):
            raise HttpError(400, "a label cannot be sent along: no model takes scribbles")
        asked = _Asked(
            model=request.path_params["model"],
            series_uid=request.query_params.get("image", ""),
            session_id=request.query_params.get("session_id", ""),
            file=uploaded(form, "file"),
            output=request.query_params.get("output") or "all",
            params=params_of(form),
        )
        principal = server.principal(request)
        return await run_while_waited_for(request, lambda is_cancelled: _run(server, asked, principal, is_cancelled))


@dataclass(frozen=True)
class _Asked:
    """What a request asks for: a model, and a series or a volume, which is sent along or was before."""

    model: str
    series_uid: str
    session_id: str
    file: UploadFile | None
    output: str
    params: Mapping[str, Any]

    @property
    def is_of_volume(self) -> bool:
        """Whether it is about a volume."""
        return bool(self.file or self.session_id)


def _run(server: Server, asked: _Asked, principal: Principal, is_cancelled: Callable[[], bool]) -> Response:
    assistant = server.assistant
    params = declared(asked.params, {*_OF_RESULT, *assistant.info(asked.model).prompts})
    wanted = {name: params.pop(name, None) for name in _OF_RESULT}
    dtype = wanted["result_dtype"] or "uint8"
    _check(asked, dtype, wanted["result_extension"] or ".nrrd")
    started = time.monotonic()
    if asked.is_of_volume:
        volume = _volume(server, asked)
        labelmap, labels = assistant.run_on(asked.model, volume, params=params, is_cancelled=is_cancelled)
        affine = volume.affine
    else:
        found = assistant.run(asked.model, asked.series_uid, principal, params=params, is_cancelled=is_cancelled)
        if asked.output == "dicom_seg":
            return _answer_dicom(found)
        labelmap, labels, affine = found.labelmap, dict(found.labels), found.series.affine
    told = {"label_names": labels, "latencies": {"total": round(time.monotonic() - started, 3)}}
    if asked.output == "json":
        return JSONResponse(told)
    assert affine is not None  # else the volume would not have been segmented
    file = write_nrrd(labelmap.astype(dtype), affine, compress=bool(wanted["result_compress"]))
    return answer_form(told, file, _NAME) if asked.output == "all" else answer_file(file, _NAME)


def _volume(server: Server, asked: _Asked) -> Volume:
    if asked.file:
        return read_volume(asked.file.file, asked.file.filename or "", MOST_VOXELS)
    with sessions_of(server).open(asked.session_id) as (file, name):
        return read_volume(file, name, MOST_VOXELS)


def _check(asked: _Asked, dtype: str, extension: str) -> None:
    if asked.output not in _OUTPUTS:
        raise HttpError(400, f"output is one of {', '.join(_OUTPUTS)}")
    if dtype not in _TYPES:
        raise HttpError(400, f"result_dtype is one of {', '.join(_TYPES)}")
    if extension != ".nrrd":
        raise HttpError(400, "result_extension is .nrrd")
    if not asked.is_of_volume and not asked.series_uid:
        raise HttpError(400, "image, the Series Instance UID, is missing")
    if asked.is_of_volume and asked.output == "dicom_seg":
        raise HttpError(400, "a DICOM Segmentation needs a series: name it as image")


def _answer_dicom(found: Segmented) -> Response:
    file = io.BytesIO()
    write_segmentation(found).save_as(file, enforce_file_format=True)
    file.seek(0)
    return answer_file(file, "label.dcm", DICOM)
