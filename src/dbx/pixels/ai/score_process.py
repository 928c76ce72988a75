"""The process that scores series. What, and for whom, comes as a line of JSON; when standard input ends, it leaves."""

from __future__ import annotations

import json
import os
import select
import sys
import threading

from dbx.pixels.ai.active_learning import ActiveLearning
from dbx.pixels.ai.filtered import FilteredBy
from dbx.pixels.ai.foreground import Foreground
from dbx.pixels.ai.models import Models
from dbx.pixels.ai.scores import Scores
from dbx.pixels.ai.scoring import LEFT, score
from dbx.pixels.catalog import Catalog
from dbx.pixels.index import ServingIndex

#: It is nicer than trainings, which people wait for.
_NICENESS = 19
#: Seconds between two looks at whether somebody waits for something else.
_INTERVAL = 0.5


def main() -> None:
    """Score all that is wanted."""
    os.nice(_NICENESS)
    request = json.loads(sys.stdin.readline())
    catalog = Catalog(table=request["table"], volume=request["volume"], home=request["home"])
    threading.Thread(target=_leave_if_unwanted, args=(Foreground(catalog.home),), daemon=True).start()
    index = ServingIndex.open(catalog, request["index_url"])
    models, scores = Models(catalog.home.models), Scores(catalog.home.scores)
    for model, row_filter in request["row_filters"].items():
        principal = FilteredBy(row_filter)
        left = ActiveLearning(catalog, index).labelling([models.info(model).modality], principal).left
        score(models, model, index, left, principal, scores)


def _leave_if_unwanted(foreground: Foreground) -> None:
    """End this process at once when its parent is gone, or somebody waits: what is scored is kept."""
    while foreground.is_idle and not select.select([sys.stdin], [], [], _INTERVAL)[0]:
        pass
    os._exit(LEFT)


if __name__ == "__main__":
    main()
