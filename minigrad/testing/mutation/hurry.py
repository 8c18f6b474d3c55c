"""Hypothesis in a hurry: examples need no shrinking where it only counts whether a test fails."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

QUICK, OWN = "minigrad.mutate", "minigrad.mutate: own"


def quicken_hypothesis() -> None:
    """A failing example needs no shrinking here, and a slow one is no fault."""
    try:
        import hypothesis
    except ImportError:
        return
    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    hypothesis.settings.register_profile(OWN, hypothesis.settings())
    hypothesis.settings.register_profile(
        QUICK,
        hypothesis.settings(),
        phases=phases,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        report_multiple_bugs=False,
    )
    hypothesis.settings.load_profile(QUICK)


@contextlib.contextmanager
def own_settings() -> Iterator[None]:
    """In the block, hypothesis' settings are the user's: a test may look at what shrinks, or is too slow."""
    import hypothesis

    hypothesis.settings.load_profile(OWN)
    try:
        yield
    finally:
        hypothesis.settings.load_profile(QUICK)
