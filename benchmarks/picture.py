"""The language model's training steps as a picture: times relative to NumPy by hand, one panel for each row."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any


def refused(path: Path) -> str:
    """Why no picture can be drawn to this file, or nothing."""
    if importlib.util.find_spec("matplotlib") is None:
        return "needs the package matplotlib: pip install matplotlib"
    from matplotlib.backend_bases import FigureCanvasBase

    kinds = FigureCanvasBase.get_supported_filetypes()
    kind = path.suffix.removeprefix(".").lower()
    return "" if kind in kinds else f"{path} must end in one of {', '.join(f'.{name}' for name in sorted(kinds))}"


def draw(path: Path, entries: list[dict[str, Any]], titles: dict[str, str]) -> None:
    """Bars of the median ratio to `numpy` with the range over all rounds; rows without that baseline are left out."""
    from matplotlib.figure import Figure  # without pyplot: no window, no global state

    shown = {name: [e for e in entries if e["row"] == name and "numpy" in e["ratio_to"]] for name in titles}
    shown = {name: rows for name, rows in shown.items() if rows and rows[0]["quantity"] == "step"}
    figure = Figure(figsize=(8, 0.6 + sum(0.7 + 0.26 * len(rows) for rows in shown.values())), layout="constrained")
    heights = [2 + len(rows) for rows in shown.values()]
    panels = figure.subplots(len(shown), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for axes, (name, rows) in zip(panels, shown.items(), strict=True):
        rows = rows[::-1]
        ratios = [row["ratio_to"]["numpy"] for row in rows]
        middles = [r["median"] for r in ratios]
        spread = [[r["median"] - r["min"] for r in ratios], [r["max"] - r["median"] for r in ratios]]
        colors = ["#d55e00" if "minigrad" in row["framework"] else "#0072b2" for row in rows]
        axes.barh([row["framework"] for row in rows], middles, xerr=spread, color=colors, ecolor="#7f7f7f", height=0.7)
        for k, (row, middle) in enumerate(zip(rows, middles, strict=True)):
            axes.text(middle, k, f"  {middle:.2f} ({row['median']:.3g} ms)", va="center", fontsize=8)
        axes.axvline(1, color="black", linewidth=1)
        axes.set_xlim(0, 1.25 * max(middles))
        axes.set_title(titles[name], loc="left", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel("time relative to NumPy by hand (median; range over rounds)")
    figure.savefig(path, dpi=110)
