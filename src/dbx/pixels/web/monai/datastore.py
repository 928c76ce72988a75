"""``/monai/datastore/``: series, and the labels that people saved of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from dbx.pixels.ai.info import LABEL
from dbx.pixels.ai.label_files import read_label
from dbx.pixels.ai.labels import Label
from dbx.pixels.ai.segmentation import read_segmentation, write_segmentation
from dbx.pixels.ai.segmented import Segmented
from dbx.pixels.ai.series import Series, read_series
from dbx.pixels.ai.storing import store
from dbx.pixels.ai.volume_files import write_nrrd
from dbx.pixels.catalog.arrivals import LabelState
from dbx.pixels.table import Principal
from dbx.pixels.web.asking import MOST_WORDS, queried
from dbx.pixels.web.errors import HttpError
from dbx.pixels.web.monai.answering import JSON, answer_file, answer_json
from dbx.pixels.web.monai.asking import declared, form_of, params_of, uploaded
from dbx.pixels.web.monai.info import labelling_of, stats_of
from dbx.pixels.web.server import Server

#: The one tag of labels here: what a person saved.
_FINAL = LabelState.FINAL.value
_OUTPUTS = ("stats", "train", "all")
_ENDING = ".nrrd"
#: Bytes that a voxel of a label has at most in a file: those of a float of double precision.
_BYTES_A_VOXEL = 8


async def get_datastore(request: Request) -> Response:
    """Answer with counts, with pairs to train on, or with all series and their labels."""
    server: Server = request.app.state.server
    output = request.query_params.get("output") or "stats"
    if output not in _OUTPUTS:
        raise HttpError(400, f"output is one of {', '.join(_OUTPUTS)}")
    return await answer_json(_datastore, server, output, server.principal(request))


def _datastore(server: Server, output: str, principal: Principal) -> Any:
    labelling = labelling_of(server.assistant, principal)
    if output == "stats":
        return stats_of(labelling)
    if output == "train":
        return [{"image": uid, "label": label.SOPInstanceUID} for uid, label in labelling.labelled.items()]
    objects = {uid: _object(labelling.labelled.get(uid)) for uid in labelling.series}
    return {"name": "Pixels", "description": "", "objects": objects}


def _object(label: Label | None) -> JSON:
    image = {"ext": _ENDING, "info": {}}
    if label is None:
        return {"image": image, "labels": {}}
    return {"image": image, "labels": {_FINAL: {"ext": _ENDING, "info": {"params": {"label_names": _values(label)}}}}}


def _values(label: Label) -> dict[str, int]:
    """Return the values that the segments of a label have in the file that is sent of it."""
    return {name: value for value, name in enumerate(label.segments, 1)}


async def get_image(request: Request) -> Response:
    """Answer with a series as NRRD: values of its modality, such as Hounsfield units."""
    server: Server = request.app.state.server
    uid = queried(request, "image")
    return await run_in_threadpool(_image, server, uid, server.principal(request))


def _image(server: Server, uid: str, principal: Principal) -> Response:
    series = read_series(server.index, uid, principal)
    volume = series.volume()
    whole = np.rint(volume).astype(np.int16)
    values = whole if np.array_equal(whole, volume) else volume
    return answer_file(write_nrrd(values, series.affine), f"{uid}{_ENDING}")


async def get_label(request: Request) -> Response:
    """Answer with the label of a series as NRRD; the series, or the label, is named by its UID."""
    server: Server = request.app.state.server
    uid = queried(request, "label")
    if request.query_params.get("tag", _FINAL) != _FINAL:
        raise HttpError(404, f"there are no labels with this tag: all have {_FINAL}")
    return await run_in_threadpool(_label, server, uid, server.principal(request))


def _label(server: Server, uid: str, principal: Principal) -> Response:
    labelled = labelling_of(server.assistant, principal).labelled
    known = {name: label for label in labelled.values() for name in (label.SeriesInstanceUID, label.SOPInstanceUID)}
    label = known.get(uid)
    instance = server.index.find(label.SOPInstanceUID, principal) if label else None
    if label is None or instance is None:
        raise HttpError(404, "there is no such label: no segmentation of this series was saved")
    series = read_series(server.index, label.SeriesInstanceUID, principal)
    values = read_segmentation(instance, series, labels=_values(label)).values
    return answer_file(write_nrrd(values, series.affine), f"{uid}{_ENDING}")


async def put_label(request: Request) -> Response:
    """Store a label that a person drew: it enters the table as a DICOM Segmentation, by the door of all uploads."""
    server: Server = request.app.state.server
    uid = queried(request, "image")
    if (request.query_params.get("tag") or _FINAL) != _FINAL:
        raise HttpError(400, f"the tag is {_FINAL}: only labels that a person has looked at are stored so")
    series = await run_in_threadpool(read_series, server.index, uid, server.principal(request))
    async with form_of(request, math.prod(series.shape) * _BYTES_A_VOXEL + MOST_WORDS) as form:
        params, file = declared(params_of(form), {"label_info"}), uploaded(form, "label")
        if file is None:
            raise HttpError(400, "the file is missing: the labelmap, named label")
        names = _names(params.get("label_info"))
        return await answer_json(_store, server, series, file.file, file.filename or "", names)


def _store(server: Server, series: Series, file: BinaryIO, name: str, names: Mapping[str, int]) -> JSON:
    server.assistant.check()
    labelmap = read_label(file, name, series)
    unnamed = sorted(set(np.unique(labelmap).tolist()) - {0, *names.values()})
    if unnamed:
        raise HttpError(400, f"the label has values without a name in label_info: {unnamed}")
    segmentation = write_segmentation(
        Segmented(series, labelmap, names, model="", version="", seconds=0.0), series_description="Segmentation"
    )
    store(segmentation, server.uploads, LabelState.FINAL)
    return {"image": series.SeriesInstanceUID, "label": str(segmentation.SOPInstanceUID)}


def _names(label_info: Any) -> dict[str, int]:
    """Return the values of labels by their names, as clients tell them: ``[{"name": "liver", "idx": 1}]``.

    Without ``idx``, values are positions, from 1.
    """
    try:
        names = {str(one["name"]): int(one.get("idx", at)) for at, one in enumerate(label_info or (), 1)}
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise HttpError(400, 'label_info is no list of {"name": ..., "idx": ...}') from error
    if not names or len(set(names.values())) < len(label_info) or not all(0 < value < 256 for value in names.values()):
        raise HttpError(400, "label_info has to give each value, from 1 to 255, a name of its own")
    if not all(map(LABEL.fullmatch, names)):
        raise HttpError(
            400, "label_info has a name that is none: up to 64 characters, no backslash or control character"
        )
    return names
