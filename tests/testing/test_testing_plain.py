"""check_vjp and check_jvp reject wrong derivatives that were written by hand for plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_testing_faults import X

from minigrad.testing import GradientError, KinkError, check_jvp, check_vjp


class Layer:
    """The usual hand-written layer: forward keeps its input for backward."""

    def forward(self, x: Any) -> Any:
        self.x = x
        return x**3

    def backward(self, g: Any, x: Any) -> Any:
        return 3 * g * self.x**2


SHARED = np.zeros_like(X)


def into_shared(g: Any, x: Any) -> Any:
    SHARED[...] = 3 * g * x**2
    return SHARED


def scaled_in_place(g: Any, x: Any) -> Any:
    g *= 3 * x**2
    return g.copy()


def read_only(g: Any, x: Any) -> Any:
    result = 3 * g * x**2
    result.flags.writeable = False
    return result


def of_strides(g: Any, x: Any) -> Any:
    memory = np.lib.stride_tricks.as_strided(x, x.shape, (x.shape[-1] * x.itemsize, x.itemsize))
    return 3 * g * memory**2


layer = Layer()
PLAIN = {
    "not a number": (np.square, lambda g, x: g * np.nan),
    "state kept by the function": (layer.forward, layer.backward),
    "a buffer handed out twice": (lambda x: x**3, into_shared),
    "cotangent changed in place": (lambda x: x**3, scaled_in_place),
    "cotangent handed back": (lambda x: x * 1.0, lambda g, x: g),
    "view of the input": (lambda x: x**2 / 2, lambda g, x: np.multiply(g, x, out=x)),
    "read-only": (lambda x: x**3, read_only),
    "wrong for strided inputs": (lambda x: x**3, of_strides),
    "transposed": (lambda x: x**3, lambda g, x: (3 * g * x**2).T),
    "none": (lambda x: x**3, lambda g, x: None),
    "too many": (lambda x: x**3, lambda g, x: (g * 1.0, g * 2.0, g * 3.0)),
    "a list of floats": (lambda x: x**3, lambda g, x: float((3 * g * x**2).sum())),
}


@pytest.mark.parametrize(("f", "vjp"), PLAIN.values(), ids=PLAIN)
def test_a_wrong_vjp_of_a_plain_function_is_rejected(f: Any, vjp: Any) -> None:
    with pytest.raises(GradientError):
        check_vjp(f, vjp, X)


def test_gradients_that_share_memory_are_rejected() -> None:
    def both(g: Any, x: Any, y: Any) -> Any:
        result = 1.0 * g
        return result, result

    with pytest.raises(GradientError, match=r"input 1, .* shares memory with that of input 0"):
        check_vjp(np.add, both, X, X + 3)
    check_vjp(np.add, lambda g, x, y: (g.copy(), g.copy()), X, X + 3)


@pytest.mark.parametrize("alike", [lambda x, y: x is y, np.shares_memory], ids=["is", "shares memory"])
def test_a_rule_that_is_wrong_for_one_array_given_twice_only_is_rejected(alike: Any) -> None:
    rule = lambda g, x, y: (g * y, g * x * (2.0 if alike(x, y) else 1.0))
    check_vjp(np.multiply, rule, X, X + 3, copies=False)
    with pytest.raises(
        GradientError, match=r"^input 1, .* for two equal arrays as input 0 and input 1, and .* for one"
    ):
        check_vjp(np.multiply, rule, X, X + 3)


TANGENTS = {
    "scale": lambda v, x: 1.0001 * 3 * v * x**2,
    "sign": lambda v, x: -3 * v * x**2,
    "tangent ignored": lambda v, x: 3 * x**2,
    "absolute tangent": lambda v, x: 3 * abs(v) * x**2,
    "one entry": lambda v, x: 3 * v * x**2 * (np.arange(x.size).reshape(x.shape) != 4),
    "another shape": lambda v, x: (3 * v * x**2).ravel(),
    "tangent changed": lambda v, x: np.multiply(v, 3 * x**2, out=v),
}


@pytest.mark.parametrize("jvp", TANGENTS.values(), ids=TANGENTS)
def test_a_wrong_forward_rule_is_rejected(jvp: Any) -> None:
    check_jvp(lambda x: x**3, lambda v, x: 3 * v * x**2, X)
    with pytest.raises(GradientError):
        check_jvp(lambda x: x**3, jvp, X)


class Unchanging:
    """An array that nobody can write to, as JAX's are."""

    def __init__(self, array: Any) -> None:
        self.array = np.array(array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        view = self.array.astype(self.array.dtype if dtype is None else dtype)
        view.flags.writeable = False
        return view


def test_arrays_of_another_library_that_never_change_are_results_like_others() -> None:
    check_vjp(lambda x: Unchanging(np.sin(x)), lambda g, x: Unchanging(np.asarray(g) * np.cos(x)), X)
    with pytest.raises(GradientError, match=r"a read-only view; return a copy, np\.array\(g\)"):
        check_vjp(np.sin, lambda g, x: np.asarray(Unchanging(g * np.cos(x))), X)


def test_a_derivative_in_float32_alone_is_told_to_compute_in_float64() -> None:
    with pytest.raises(
        GradientError, match=r"belongs to .* float64: what is checked is given float64, and has to comp"
    ):
        check_vjp(np.sin, lambda g, x: (g * np.cos(x)).astype(np.float32), X.astype(np.float32))


def test_what_the_function_raises_tells_how_it_was_called() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument") as caught:
        check_vjp(lambda g, x: g * np.cos(x), np.sin, X)  # in the wrong order
    assert caught.value.__notes__ == ["raised by the function that is checked, called with 1 input"]


def test_an_infinite_slope_is_a_kink_and_not_a_fault_of_linearity() -> None:
    slope = lambda g, x: g / (2 * np.sqrt(x))
    with np.errstate(all="ignore"):
        for seed in range(4):  # cotangents of both signs
            with pytest.raises(
                KinkError, match=r"do not converge at index \(0,\) \(value 0\); is there a kink or a pole"
            ):
                check_vjp(np.sqrt, slope, np.array([0.0]), seed=seed)
        with pytest.raises(GradientError, match=r"at index \(0,\) .* is inf, finite differences give 0\.35"):
            check_vjp(np.sqrt, lambda g, x: slope(g, x - 2), np.array([2.0]))


def test_an_index_is_told_as_python_writes_it() -> None:
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match=r"output 0 is NaN at index \(0,\) for these"):
        check_vjp(np.log, lambda g, x: g / x, np.array([-1.0, 2.0]))


def test_an_infinite_result_is_left_out_and_the_others_are_compared() -> None:
    f = lambda x: np.append(np.sin(x), np.inf)
    check_vjp(f, lambda g, x: g[:-1] * np.cos(x), np.array([0.3, 2.0]))
    with pytest.raises(GradientError, match="1 of 2 entries"):
        check_vjp(f, lambda g, x: g[:-1] * np.cos(x) * [1.0, 1.01], np.array([0.3, 2.0]))


def test_an_infinite_slope_by_one_entry_is_no_fault_of_the_slopes_by_others() -> None:
    slope = lambda x: np.where(x == 0, np.inf, 0.5 / np.sqrt(np.where(x == 0, 1.0, x)))
    with pytest.raises(KinkError, match=r"at index \(0,\)"):
        check_vjp(
            np.sqrt, lambda g, x: np.where(g == 0, 0.0, g) * np.where(g == 0, 1.0, slope(x)), np.array([0.0, 2.0])
        )


def test_a_fault_beside_an_entry_that_needs_finer_steps_is_found() -> None:
    f = lambda x: np.array([abs(x[0] - 0.3004), x[1] ** 2])
    vjp = lambda g, x: np.array([g[0] * np.sign(x[0] - 0.3004), 2.02 * g[1] * x[1]])
    with pytest.raises(GradientError, match=r"at index \(1,\) .* is 4.04, finite differences give 4 "):
        check_vjp(f, vjp, np.array([0.3, 2.0]))


def test_an_entry_that_is_nan_is_counted_among_the_wrong_ones() -> None:
    with pytest.raises(GradientError, match="1 of 3 entries"):
        check_vjp(np.sin, lambda g, x: g * np.cos(x) * [1.0, np.nan, 1.0], np.array([0.3, 2.0, 1.0]))


def test_a_backward_pass_that_reads_what_the_forward_pass_kept_is_told_what_to_write() -> None:
    class Layer:
        def forward(self, x: Any) -> Any:
            self.x = x
            return np.tanh(x)

        def backward(self, g: Any) -> Any:
            return g * (1 - np.tanh(self.x) ** 2)

    layer, x = Layer(), np.array([0.3, -1.0])
    with pytest.raises(
        GradientError, match=r"keep state between calls\? .* def vjp\(g, x\): layer.forward\(x\); return"
    ):
        check_vjp(layer.forward, lambda g, x: layer.backward(g), x)

    def vjp(g: Any, x: Any) -> Any:
        layer.forward(x)
        return layer.backward(g)

    check_vjp(layer.forward, vjp, x)


def test_a_rule_that_knows_its_input_by_its_identity_is_rejected() -> None:
    known: dict[int, Any] = {}

    def vjp(g: Any, x: Any) -> Any:
        return g * known.setdefault(id(x), (np.cos(x), x))[0]  # x is kept, so that its id stays its own

    with pytest.raises(GradientError, match="keep state between calls"):
        check_vjp(np.sin, vjp, np.array([0.3, -1.0]))
