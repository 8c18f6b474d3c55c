"""What becomes of memory that is freed, where glibc manages it; elsewhere these functions do nothing.

glibc hands freed memory at the top of its heap back to the system, page by page, and the next training step has to
fault it in again: that can take half of a step's time. As long as no more than a bound is free there, it does not
(mallopt(3), M_TRIM_THRESHOLD). Arrays above its largest M_MMAP_THRESHOLD, 32 MiB, always come from the system.
"""

import ctypes
import os
import sys
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_KEPT, _LARGEST = 2**30, 2**25  # bytes


def _glibc(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, lambda *_: 0) if sys.platform == "linux" else lambda *_: 0


def keep_freed_memory() -> None:
    """Have up to 1 GiB of freed memory kept for later, unless the environment says how much (MALLOC_...)."""
    if not any(name.startswith("MALLOC_") for name in os.environ):
        _glibc("mallopt")(_M_MMAP_THRESHOLD, _LARGEST)
        _glibc("mallopt")(_M_TRIM_THRESHOLD, _KEPT)


def return_freed_memory() -> None:
    """Give all memory that is free now back to the system (malloc_trim(3))."""
    _glibc("malloc_trim")(0)
