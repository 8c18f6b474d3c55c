"""Pictures are drawn where a test looks at them (marker `pictures`) and for the runs that several tests share."""

from collections.abc import Iterator

import pytest
from char_lm_runs import explored, hostile, text, trained  # noqa: F401 - made once, for several files
from pictures import blank, coarsely_drawn, not_drawn
from profiles import long_profile


@pytest.fixture(scope="session", autouse=True)
def with_few_pixels() -> Iterator[None]:
    """But in the long profile."""
    with pytest.MonkeyPatch.context() as patch:
        if not long_profile():
            patch.setattr(pytest.importorskip("matplotlib.figure").Figure, "savefig", coarsely_drawn)
        yield


@pytest.fixture(autouse=True)
def quickly_drawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("pictures") or "results" in request.fixturenames:  # which are shared
        return
    monkeypatch.setattr(pytest.importorskip("matplotlib.figure").Figure, "savefig", not_drawn)
    monkeypatch.setattr("examples.char_lm.draw", blank)  # its axes alone take longer than most of its runs
