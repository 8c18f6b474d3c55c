"""Keep the memory of one step for the next.

glibc hands freed memory at the top of its heap back to the system, page by page, and the next training step has to
fault it in again: half of the time of a small LSTM's step. How much it keeps adapts to the largest block that the
program has ever freed, up to 32 MiB (mallopt(3), "M_MMAP_THRESHOLD": the trim threshold becomes twice that size). So
free one such block, which was never touched and hence costs nothing. Elsewhere this has no effect.
"""

import numpy as np

_LARGEST = 31 * 2**20  # bytes; a little less than glibc's bound, to leave room for its header


def keep_freed_memory() -> None:
    """Raise the trim threshold of glibc's allocator to 62 MiB."""
    np.empty(_LARGEST, np.uint8)
