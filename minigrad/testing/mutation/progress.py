"""The progress of a long command: a bar where rich is installed and the output is a terminal, else plain lines."""

from __future__ import annotations

from collections import Counter
from typing import Any


class Progress:
    """Says how far a command is, and how each group of mutants has ended; `out` is a text file."""

    def __init__(self, out: Any) -> None:
        self.out = out
        self.bar: Any = None
        self.task: Any = None
        self.left: Counter[str] = Counter()
        self.total: Counter[str] = Counter()
        self.killed: Counter[str] = Counter()

    def line(self, text: str) -> None:
        """A line that stays."""
        if self.bar is not None:
            self.bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=self.out, flush=True)

    def start(self, groups: list[str]) -> None:
        """Begin to count; `groups` has an entry for each step."""
        self.total, self.left = Counter(groups), Counter(groups)
        if not self.out.isatty():
            return
        try:
            from rich.console import Console
            from rich.progress import Progress as Bar
        except ImportError:
            return
        # without a thread of its own, which a forked process would lack
        self.bar = Bar(console=Console(file=self.out), auto_refresh=False, transient=True)
        self.task = self.bar.add_task("mutants", total=len(groups))
        self.bar.start()

    def step(self, group: str, killed: bool) -> None:
        """One more is done."""
        self.left[group] -= 1
        self.killed[group] += killed
        if self.bar is not None:
            self.bar.update(self.task, advance=1, description=group, refresh=True)
        if not self.left[group]:
            self.line(f"{group}: {self.killed[group]} of {self.total[group]} killed")

    def stop(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
