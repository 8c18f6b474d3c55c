"""Lines of source: which frame is the user's, and how messages and the record write down where it stands."""

from __future__ import annotations

import sys
from collections.abc import Container
from types import CodeType, FrameType
from typing import NamedTuple

#: Packages whose primitives are ours.
OURS = {"minigrad", "nn"}
#: Packages whose frames are not the user's: through NumPy, or a module of Python's such as statistics, a call may come.
LIBRARIES = {*OURS, "numpy", *sys.stdlib_module_names} - {"__main__"}


class Line(NamedTuple):
    """A line of source."""

    file: str
    number: int
    function: str

    def __str__(self) -> str:
        return f"{file_shown(self.file)}:{self.number} in {self.function}"


def file_shown(file: str) -> str:
    """A source file as messages name it; that of a notebook's cell is a number that nobody has seen."""
    return "cell" if "ipykernel_" in file else file


def package(frame: FrameType) -> str:
    """The package that a frame's code belongs to."""
    name: str = frame.f_globals.get("__name__", "")
    return name.partition(".")[0]


def caller(outside: Container[str] = LIBRARIES) -> FrameType:
    """The innermost caller that is outside of these packages; by default the user's."""
    frame = sys._getframe(1)
    while frame.f_back is not None and package(frame) in outside:
        frame = frame.f_back
    return frame


def line_of(frame: FrameType) -> Line:
    """The line that a frame is at."""
    return Line(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


def line_at(code: CodeType, instruction: int) -> Line:
    """The line of an instruction (a frame's `f_lasti`), which costs less to note and more to find."""
    number = list(code.co_positions())[instruction // 2][0]
    return Line(code.co_filename, number or 0, code.co_name)


def user_line() -> Line:
    """The user's line."""
    return line_of(caller())
