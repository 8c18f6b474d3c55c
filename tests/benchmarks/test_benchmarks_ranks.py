"""The row `ranks`, and the prediction for more of them."""

from __future__ import annotations

import math

import pytest
from ranks import environment, needs_mpi

from benchmarks import predict, ranks
from benchmarks.by_hand import Setting
from benchmarks.workers import check_agreement

TINY = ((5, 4, 6, 3), (5, 3, 2, 2))


@needs_mpi
def test_two_ranks_compute_what_one_does_and_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    rows = {name: ranks.Ranks(name, Setting(), TINY) for name in ("minigrad", "minigrad 2 ranks")}
    check_agreement({name: row.check() for name, row in rows.items()})
    for row in rows.values():
        assert row.measure().keys() == {"5,4,6,3", "5,3,2,2"}
        assert min(row.measure().values()) > 0
        row.close()
    assert rows["minigrad 2 ranks"].program.returncode == 0


def test_an_exchange_grows_with_the_logarithm_of_ranks_and_with_bytes() -> None:
    assert predict.exchange(8, 0, 1.0, 1.0) == 2 * math.log2(8)
    assert predict.exchange(4, 100, 0.0, 10.0) == 2 * 3 / 4 * 100 / 10


def test_the_compute_is_measured_with_the_size_of_the_gradients() -> None:
    seconds, size = predict.compute(Setting(V=5, H=4, B=2, T=3))
    assert seconds > 0
    assert size == 4 * ((5 + 4 + 1) * 16 + (4 + 1) * 5)
