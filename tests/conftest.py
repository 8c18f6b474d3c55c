"""Hypothesis profiles: a fixed one by default and in CI, a larger random one with `--hypothesis-profile=long`."""

import os

from hypothesis import HealthCheck, settings

if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: more threads would only wait for each other
    for library in ("OPENBLAS", "OMP", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile("fixed", max_examples=25, derandomize=True, deadline=None, suppress_health_check=SLOW)
settings.register_profile("long", max_examples=500, deadline=None, suppress_health_check=SLOW)
settings.load_profile("fixed")
