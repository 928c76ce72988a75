"""``/monai/infer/{model}``: what a model finds in a series, or in a volume that the client sends."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dbx.pixels.ai.segmentation import write_segmentation
from dbx.pixels.ai.segmented import Segmented
from dbx.pixels.ai.volume_files import read_volume, write_nrrd
from dbx.pixels.table import Principal
from dbx.pixels.web.assistant import Assistant
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
        with _volume(request, form) as volume:
            asked = _Asked(
                model=request.path_params["model"],
                series_uid=request.query_params.get("image", ""),
                volume=volume,
                output=request.query_params.get("output") or "all",
                params=params_of(form),
            )
            principal = server.principal(request)
            return await run_while_waited_for(
                request, lambda is_cancelled: _run(server.assistant, asked, principal, is_cancelled)
            )


@contextmanager
def _volume(request: Request, form: FormData) -> Iterator[tuple[BinaryIO, str] | None]:
    """Open the volume that is sent with a request, or was before, and tell its name; None if it names a series."""
    if form.get("label"):
        raise HttpError(400, "a label cannot be sent along: no model takes scribbles")
    file = uploaded(form, "file")
    if file:
        yield file.file, file.filename or ""
    elif session_id := request.query_params.get("session_id"):
        with sessions_of(request).open(session_id) as opened:
            yield opened
    else:
        yield None


@dataclass(frozen=True)
class _Asked:
    """What a request asks for."""

    model: str
    series_uid: str
    volume: tuple[BinaryIO, str] | None
    output: str
    params: Mapping[str, Any]


def _run(assistant: Assistant, asked: _Asked, principal: Principal, is_cancelled: Callable[[], bool]) -> Response:
    params = declared(asked.params, {*_OF_RESULT, *assistant.info(asked.model).prompts})
    wanted = {name: params.pop(name, None) for name in _OF_RESULT}
    dtype = wanted["result_dtype"] or "uint8"
    _check(asked, dtype, wanted["result_extension"] or ".nrrd")
    started = time.monotonic()
    if asked.volume:
        volume = read_volume(*asked.volume, most_voxels=MOST_VOXELS)
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


def _check(asked: _Asked, dtype: str, extension: str) -> None:
    if asked.output not in _OUTPUTS:
        raise HttpError(400, f"output is one of {', '.join(_OUTPUTS)}")
    if dtype not in _TYPES:
        raise HttpError(400, f"result_dtype is one of {', '.join(_TYPES)}")
    if extension != ".nrrd":
        raise HttpError(400, "result_extension is .nrrd")
    if asked.volume is None and not asked.series_uid:
        raise HttpError(400, "image, the Series Instance UID, is missing")
    if asked.volume and asked.output == "dicom_seg":
        raise HttpError(400, "a DICOM Segmentation needs a series: name it as image")


def _answer_dicom(found: Segmented) -> Response:
    file = io.BytesIO()
    write_segmentation(found).save_as(file, enforce_file_format=True)
    file.seek(0)
    return answer_file(file, "label.dcm", DICOM)
