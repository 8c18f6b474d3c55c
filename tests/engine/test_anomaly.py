"""detect_anomaly: the first value that is not finite is named with its primitive, its shapes and the user's line."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor


def leaf(x: Any) -> Tensor:
    return mg.tensor(x, dtype=float, requires_grad=True)


def line_of(f: Any) -> str:
    """file:line of the only line of f with this comment."""
    lines, first = inspect.getsourcelines(f)
    (k,) = [k for k, line in enumerate(lines) if "# here" in line]
    return f"{__file__}:{first + k} in {f.__name__}"


def bad_forward(x: Any) -> Any:
    y = x * 2.0
    return mg.log(y)  # here


def bad_backward(x: Any) -> Any:
    y = x * x
    return mg.sum(steep(y))  # here


steep = mg.primitive(lambda x: x * 1.0, lambda g, y, x: g * np.inf, name="steep")


def test_detect_anomaly_names_primitive_shapes_and_line_forwards() -> None:
    with mg.detect_anomaly(), np.errstate(all="ignore"), pytest.raises(FloatingPointError) as caught:
        bad_forward(leaf([[1.0, -1.0]]))
    message = str(caught.value)
    for part in ("log: forward value", "1 non-finite of 2", "(1, 2) float64 -> (1, 2) float64", line_of(bad_forward)):
        assert part in message


def test_detect_anomaly_names_primitive_shapes_and_line_backwards() -> None:
    with mg.detect_anomaly():
        y = bad_backward(leaf([1.0, 2.0]))
        with pytest.raises(FloatingPointError) as caught:
            y.backward()
    message = str(caught.value)
    for part in ("steep: cotangent of input 0", "2 non-finite of 2", "(2,) float64", line_of(bad_backward)):
        assert part in message


def test_detect_anomaly_works_in_nested_gradients() -> None:
    with mg.detect_anomaly(), pytest.raises(FloatingPointError, match="steep"):
        mg.hessian(bad_backward)(np.ones(2))


def test_detect_anomaly_backwards_alone_says_where_the_line_would_come_from() -> None:
    y = leaf([1e-200]) ** -1.0
    with mg.detect_anomaly(), np.errstate(all="ignore"), pytest.raises(FloatingPointError) as caught:
        y.backward()
    assert "run the forward pass under detect_anomaly" in str(caught.value)


def test_detect_anomaly_backwards_alone_names_the_line_that_called_a_users_own_primitive() -> None:
    y = bad_backward(leaf([1.0, 2.0]))
    with mg.detect_anomaly(), pytest.raises(FloatingPointError) as caught:
        y.backward()
    assert line_of(bad_backward) in str(caught.value)


def test_detect_anomaly_sees_a_nan_in_a_part_or_a_product() -> None:
    for rule in (lambda g, y, x: mg.At(0, g[0] * np.nan), lambda g, y, x: mg.Product(x * np.nan, g)):
        broken = mg.primitive(lambda x: x * 1.0, rule, name="broken")
        with mg.detect_anomaly():
            y = mg.sum(broken(leaf(np.ones((2, 2)))))
            with pytest.raises(FloatingPointError, match="broken"):
                y.backward()


def test_a_mask_of_minus_infinity_passes_detect_anomaly() -> None:
    x = leaf([1.0, 2.0, 3.0])
    with mg.detect_anomaly():
        y = mg.log_softmax(mg.where(np.array([True, True, False]), x, -np.inf))
        (-y[0]).backward()
    assert np.isfinite(x.grad).all()


def test_detect_anomaly_refuses_a_nan_made_of_infinities() -> None:
    x = leaf([np.inf, 1.0])
    with mg.detect_anomaly(), np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="subtract"):
        _ = x - x


def test_without_detect_anomaly_infinities_pass() -> None:
    x = leaf([1.0, 2.0])
    bad_backward(x).backward()
    assert np.isinf(x.grad).all()


def test_detect_anomaly_changes_no_result() -> None:
    f = lambda x: mg.sum(mg.softmax(mg.tanh(x @ x.T)) ** 2)
    plain, checked = leaf(np.eye(3) + 0.1), leaf(np.eye(3) + 0.1)
    f(plain).backward()
    with mg.detect_anomaly():
        f(checked).backward()
    np.testing.assert_array_equal(plain.grad, checked.grad)
