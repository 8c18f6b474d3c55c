"""Pictures are drawn where a test looks at them (marker `pictures`) and for the runs that several tests share."""

import pytest
from char_lm_runs import explored, hostile, text, trained  # noqa: F401 - made once, for several files
from pictures import coarsely_drawn, not_drawn
from profiles import long_profile


@pytest.fixture(autouse=True)
def quickly_drawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "results" in request.fixturenames:  # which are shared
        return
    looked_at = request.node.get_closest_marker("pictures")
    if not (looked_at and long_profile()):
        savefig = coarsely_drawn if looked_at else not_drawn
        monkeypatch.setattr(pytest.importorskip("matplotlib.figure").Figure, "savefig", savefig)
