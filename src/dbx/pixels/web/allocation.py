"""How the server's memory is allocated: what a large answer took goes back to the system when it has been sent."""

from __future__ import annotations

import ctypes
from contextlib import suppress

#: glibc's names (malloc.h) and what they are set to. Threads share two heaps, of which each would else have one of its
#: own, as large as the largest answer that it ever made; and large blocks stay apart from heaps, however often they are
#: asked for.
_SETTINGS = {"M_ARENA_MAX": (-8, 2), "M_MMAP_THRESHOLD": (-3, 1 << 20)}


def give_memory_back() -> None:
    """Have glibc keep little memory that is free. Other allocators are left as they are."""
    with suppress(AttributeError, OSError, TypeError):  # where there is no glibc
        libc = ctypes.CDLL(None)
        for name, value in _SETTINGS.values():
            libc.mallopt(name, value)
