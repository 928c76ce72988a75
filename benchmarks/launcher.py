"""Runs a command, and writes its seconds and its peak memory in bytes into a file: ``launcher.py FILE COMMAND...``.

The kernel tells of a process no less than the memory of the one that started it. This one is small.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

begin = time.perf_counter()
process = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
signal.signal(signal.SIGTERM, lambda *_: os.kill(process, signal.SIGTERM))
_, status, usage = os.wait4(process, 0)
seconds = time.perf_counter() - begin
peak_memory = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
Path(sys.argv[1]).write_text(json.dumps({"seconds": seconds, "peak_memory": peak_memory}))
sys.exit(os.waitstatus_to_exitcode(status))
