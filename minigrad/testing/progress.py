"""A line on the terminal while a check takes long; nothing is written where no one watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

PATIENCE = 5.0  # seconds without a word
PAUSE = 0.5  # seconds between two


class _Watch:
    def __init__(self, name: str) -> None:
        self.name, self.start, self.last, self.shown = name, time.monotonic(), 0.0, False

    def tell(self, text: str) -> None:
        now = time.monotonic()
        if now - self.start < PATIENCE or now - self.last < PAUSE or not sys.stderr.isatty():
            return
        self.last, self.shown = now, True
        print(f"\r\x1b[K{self.name}: {now - self.start:.0f} s, {text}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


_watch: ContextVar[_Watch | None] = ContextVar("_watch", default=None)


@contextmanager
def watched(name: str) -> Iterator[None]:
    """In the block, which is a check of this name or a part of one, `tell` may write; then the line is taken away."""
    if _watch.get() is not None:
        yield
        return
    watch = _Watch(name)
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)
        watch.end()


def tell(text: str) -> None:
    """What the check is at."""
    watch = _watch.get()
    if watch is not None:
        watch.tell(text)
