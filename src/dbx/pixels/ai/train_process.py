"""The process that works on trainings: ``python -m dbx.pixels.ai.train_process <home>/ai/training``."""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from dbx.pixels.ai.task import Status
from dbx.pixels.ai.task_folder import TaskFolder
from dbx.pixels.ai.training import Queue
from dbx.pixels.errors import PixelsError, TrainingError

#: Seconds within which those that only look are gone again.
_PATIENCE = 2.0
#: How nice it is to the server, whose requests do not wait for it.
_NICENESS = 10
#: How often a training may be killed without doing an epoch in between.
_MOST_STARTS = 3

_log = logging.getLogger(__name__)


def main() -> None:
    """Do one training, and start the process that does the next one."""
    # Not by so much more: the process before started this one.
    os.setpriority(os.PRIO_PROCESS, 0, max(os.getpriority(os.PRIO_PROCESS, 0), _NICENESS))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    queue = Queue(Path(sys.argv[1]))
    with queue.working(_PATIENCE) as is_mine:
        folder = queue.next() if is_mine else None
        if folder is None:
            return
        _print_to(folder.log)
        work(folder)
    if queue.next():
        queue.wake()


def work(folder: TaskFolder) -> None:
    """Do one training, from its beginning or from where it was interrupted, and tell what became of it."""
    starts = folder.count_start()
    folder.update(status=Status.RUNNING, start_ts=folder.task().start_ts or datetime.now(UTC))
    try:
        if starts > _MOST_STARTS:
            raise TrainingError(
                folder.request()["model"],
                f"was killed {_MOST_STARTS} times in epoch {folder.task().epoch + 1}, most likely for want of memory",
                "Close other programs, or make the windows in its configs/train.json smaller.",
            )
        _learn(folder)
    except PixelsError as error:
        _log.exception("the training failed")
        folder.discard_states()  # makes space first, if that is what is missing
        folder.note(str(error))
        folder.end(Status.ERROR)
    folder.discard_states()


def _learn(folder: TaskFolder) -> None:
    import torch  # takes seconds, and who only finds another process at work needs none of it

    from dbx.pixels.ai.learning import Learning

    torch.set_num_threads(max(torch.get_num_threads() - 1, 1))
    Learning(folder).run()


def _print_to(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(descriptor, stream.fileno())
    os.close(descriptor)


if __name__ == "__main__":
    main()
