"""Giving memory back that the C library keeps when nobody uses it.

RocksDB's threads and Python's large buffers leave free memory scattered in the C library's heaps,
a quarter of what a busy store takes. The commit thread calls this once it has nothing to do.
"""

from __future__ import annotations

import ctypes

IDLE_S = 2.0
"""Seconds without a commit after which memory is given back."""

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)


def give_back_memory() -> bool:
    """Let the kernel have what is free; False if the C library (not glibc) cannot."""
    if _trim is None:
        return False
    _trim(ctypes.c_size_t(0))
    return True
