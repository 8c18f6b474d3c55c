"""Pictures that nobody looks at are not drawn: half a second of CPU each.

Those that are looked at are drawn with few pixels but in the long profile.
"""

import contextlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def coarsely_drawn(figure: Any, file: Any, **options: Any) -> None:
    """In place of `Figure.savefig`: the same drawing with fewer pixels, which are not packed as tightly as they can.

    It is drawn once, where `savefig` draws it twice, and all of its words three times more to move its parts apart.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_layout_engine("none")
    figure.set_dpi(20)
    FigureCanvasAgg(figure).print_png(file)


def not_drawn(figure: Any, file: Any, **options: Any) -> None:
    """In place of matplotlib's `Figure.savefig`."""
    (file.write if hasattr(file, "write") else Path(file).write_bytes)(b"not drawn")


def prepare_rank(rank: int) -> None:
    """Once an example is imported: nothing is drawn, and but for rank 0 none must even begin to write a file."""
    from examples import common

    def refused(path: Path, keep: bool = True) -> Any:
        raise AssertionError(f"rank {rank} writes {path}")

    for name, module in [*sys.modules.items()]:
        if name.startswith("examples.") and hasattr(module, "draw"):
            module.draw = blank  # type: ignore[attr-defined]
    if rank:
        common.written_whole = refused


def leave_matplotlib_out() -> None:
    """Before examples are imported in a process of its own: importing matplotlib takes 0.3 s, of each rank."""
    style = SimpleNamespace(context=lambda *_, **__: contextlib.nullcontext())
    nothing = SimpleNamespace(savefig=lambda file, **options: not_drawn(None, file))
    figure = SimpleNamespace(Figure=lambda size: nothing)
    parts: Any = {"matplotlib": SimpleNamespace(style=style), "matplotlib.style": style, "matplotlib.figure": figure}
    sys.modules |= parts


def blank(path: Path, *shown: Any) -> None:
    """In place of an example's `draw`."""
    from examples import common

    with common.picture(path):
        pass
