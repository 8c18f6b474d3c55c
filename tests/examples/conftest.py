"""Pictures are drawn where a test looks at them (marker `pictures`) and for the runs that several tests share."""

import pytest
from char_lm_runs import explored, hostile, text, trained  # noqa: F401 - made once, for several files
from pictures import not_drawn


@pytest.fixture(autouse=True)
def quickly_drawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("pictures") or "results" in request.fixturenames:  # which are shared
        return
    monkeypatch.setattr(pytest.importorskip("matplotlib.figure").Figure, "savefig", not_drawn)
