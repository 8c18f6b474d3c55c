"""Optimisers, schedules and losses compute what PyTorch's do: against its recorded results, and live where it is."""

from __future__ import annotations

import importlib.util
import warnings

import numpy as np
import pytest
from torch_options import CASES, read

STORED = read()
each_case = pytest.mark.parametrize("name", CASES)


def check_equal(name: str, theirs: np.ndarray) -> None:
    """Equal to 1e-12, but where a gradient of PyTorch's is NaN, that of a labelling without an alignment."""
    _, ours, case = CASES[name]
    found = ours(case).ravel()
    if "ctc" in name:
        found = np.where(np.isnan(theirs) & (found == 0), np.nan, found)
    np.testing.assert_allclose(found, theirs, rtol=1e-12, atol=1e-13)


@each_case
def test_results_equal_the_recorded_ones_of_pytorch(name: str) -> None:
    check_equal(name, STORED[name])


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed; see the recorded ones")
@each_case
def test_results_equal_those_of_the_installed_pytorch(name: str) -> None:
    theirs, _, case = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about steps of its schedules in an order of their own
        check_equal(name, theirs(case).ravel())


def test_every_recorded_case_is_tested() -> None:
    assert list(STORED) == list(CASES)
