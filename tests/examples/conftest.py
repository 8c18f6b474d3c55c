"""Pictures are drawn where a test looks at them (marker `pictures`) and for the runs that several tests share."""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def quickly_drawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second of CPU a picture is saved where nobody looks at it."""
    if request.node.get_closest_marker("pictures") or "results" in request.fixturenames:  # which are shared
        return
    figure = pytest.importorskip("matplotlib.figure")

    def savefig(figure: Any, file: Any, **options: Any) -> None:
        (file.write if hasattr(file, "write") else Path(file).write_bytes)(b"not drawn")

    monkeypatch.setattr(figure.Figure, "savefig", savefig)
