"""Initial values: bounds, variances, orthogonality, seeds and dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nn import init

MAKERS: dict[str, Any] = {
    "uniform": lambda shape, **options: init.uniform(shape, 0.5, **options),
    "glorot_uniform": init.glorot_uniform,
    "glorot_normal": init.glorot_normal,
    "orthogonal": init.orthogonal,
}
each_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
each_size = st.tuples(st.integers(1, 12), st.integers(1, 12))


@given(shape=each_size, scale=st.floats(0.01, 10), seed=st.integers(0, 99))
def test_uniform_stays_within_its_scale(shape: Any, scale: float, seed: int) -> None:
    a = init.uniform(shape, scale, rng=seed, dtype=np.float64)
    assert np.abs(a).max() <= scale


def test_uniform_has_mean_0_and_the_variance_of_its_scale() -> None:
    a = init.uniform((300, 300), 2.0, rng=0, dtype=np.float64)
    np.testing.assert_allclose([a.mean(), a.var()], [0, 2.0**2 / 3], atol=0.02)


@given(shape=each_size, gain=st.floats(0.1, 5), seed=st.integers(0, 99))
def test_glorot_uniform_stays_within_gain_times_root_6_over_fans(shape: Any, gain: float, seed: int) -> None:
    a = init.glorot_uniform(shape, gain, rng=seed, dtype=np.float64)
    assert np.abs(a).max() <= gain * np.sqrt(6 / sum(shape))


@pytest.mark.parametrize("make", [init.glorot_uniform, init.glorot_normal])
@pytest.mark.parametrize("shape", [(400, 100), (100, 400)], ids=str)
def test_glorot_has_mean_0_and_variance_gain_squared_times_2_over_fans(make: Any, shape: Any) -> None:
    a = make(shape, 3.0, rng=0, dtype=np.float64)
    np.testing.assert_allclose(a.mean(), 0, atol=0.005)
    np.testing.assert_allclose(a.var(), 9 * 2 / 500, rtol=0.03)


def test_glorot_normal_is_normal_and_glorot_uniform_is_not() -> None:
    for make, share in [(init.glorot_normal, 0.6827), (init.glorot_uniform, 1 / np.sqrt(3))]:
        a = make((300, 300), rng=0, dtype=np.float64)
        np.testing.assert_allclose((np.abs(a) < a.std()).mean(), share, atol=0.01)


@given(shape=each_size, gain=st.floats(0.1, 5), seed=st.integers(0, 99))
def test_orthogonal_has_orthonormal_rows_or_columns_times_gain(shape: Any, gain: float, seed: int) -> None:
    a = init.orthogonal(shape, gain, rng=seed, dtype=np.float64)
    assert a.shape == shape
    gram = a @ a.T if shape[0] <= shape[1] else a.T @ a
    np.testing.assert_allclose(gram, gain**2 * np.eye(min(shape)), atol=1e-12 * gain**2 * max(shape))


def test_orthogonal_matrices_are_spread_evenly_over_rotations_and_reflections() -> None:
    draws = [init.orthogonal((3, 3), rng=seed, dtype=np.float64) for seed in range(400)]
    np.testing.assert_allclose(np.mean(draws, axis=0), 0, atol=0.15)  # QR's own signs would bias the diagonal
    assert 140 < sum(np.linalg.det(a) > 0 for a in draws) < 260


@each_maker
@given(shape=each_size, seed=st.integers(0, 99))
def test_the_same_seed_gives_the_same_values_as_integer_or_generator(make: Any, shape: Any, seed: int) -> None:
    a = make(shape, rng=seed)
    np.testing.assert_array_equal(a, make(shape, rng=seed))
    np.testing.assert_array_equal(a, make(shape, rng=np.random.default_rng(seed)))


@each_maker
def test_other_seeds_none_and_a_generator_used_twice_give_other_values(make: Any) -> None:
    rng = np.random.default_rng(0)
    draws = [make((3, 4), rng=r) for r in (rng, rng, 1, 2, None, None)]
    assert not any(np.array_equal(a, b) for k, a in enumerate(draws) for b in draws[:k])


@each_maker
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_come_as_plain_arrays_of_the_asked_shape_and_dtype(make: Any, dtype: Any) -> None:
    a = make((3, 4), rng=0, dtype=dtype)
    assert type(a) is np.ndarray
    assert (a.shape, a.dtype) == ((3, 4), dtype)


@each_maker
def test_float32_is_the_default(make: Any) -> None:
    assert make((3, 4)).dtype == np.float32


def test_zeros_are_zeros_of_the_asked_shape_and_dtype() -> None:
    np.testing.assert_array_equal(init.zeros((2, 3)), np.zeros((2, 3), np.float32), strict=True)
    np.testing.assert_array_equal(init.zeros((2,), np.float64), np.zeros(2), strict=True)


def test_gates_stand_side_by_side_each_made_for_itself() -> None:
    made: list[np.ndarray] = []

    def make(shape: tuple[int, int]) -> np.ndarray:
        made.append(np.full(shape, len(made)))
        return made[-1]

    np.testing.assert_array_equal(init.gates(3, make, (1, 2)), [[0, 0, 1, 1, 2, 2]])
