"""What docs/coming_from_autograd_and_jax.md says of three packages holds in those that are installed."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from pages import ROOT

import minigrad as mg

TEXT = (ROOT / "docs" / "coming_from_autograd_and_jax.md").read_text(encoding="utf-8")
NAMES, _, DIFFERENT = TEXT.partition("## What is different")
ROWS = re.findall(r"^\| ((?!you write)[^|-][^|]+?) \|", DIFFERENT, re.MULTILINE)
V = np.array([0.0, 4.0])


def fails(f: Callable[[], Any]) -> bool:
    with pytest.raises(Exception):  # noqa: B017, PT011 (each package has its own)
        f()
    return True


def runs_alike(grad: Any, np_: Any, value: Callable[[Any], Any]) -> dict[str, Callable[[], Any]]:
    """What each row comes to with this `grad`, this NumPy, and `value` of a result as an array."""

    def at(f: Any, x: Any) -> Any:
        with np.errstate(all="ignore"):
            return value(grad(f)(x)).tolist()

    return {
        "`grad(f)(1.0)`": lambda: type(grad(np_.sin)(1.0)).__name__ + " " + str(grad(np_.sin)(1.0).dtype),
        "`float(x)` within `grad`": lambda: at(lambda x: float(x) * x, 2.0),
        "`isinstance(x, np.ndarray)` within `grad`": lambda: at(lambda x: 1.0 * isinstance(x, np.ndarray) * x, 2.0),
        "`np.array([x[0], x[1]])` within `grad`": lambda: at(lambda x: np_.sum(np_.array([x[0], x[1]])), V),
        "`if x > 0` within `grad`": lambda: at(lambda x: x if x > 0 else -x, 1.0),
        "an index out of range": lambda: at(lambda x: x[5], V),
        "gradient of `norm(x)` at 0": lambda: at(np_.linalg.norm, np.zeros(2)),
        "gradient of `sqrt(x)` at 0": lambda: at(np_.sqrt, 0.0),
        "gradient of `where(x > 0, sqrt(x), 0)` at 0": lambda: at(
            lambda x: np_.sum(np_.where(x > 0, np_.sqrt(x), 0.0)), V
        ),
    }


def holds(found: dict[str, Callable[[], Any]], told: dict[str, Any]) -> None:
    assert set(told) == set(ROWS)
    for row, expected in told.items():
        if callable(expected):
            assert expected(), row
        elif expected is Exception:
            assert fails(found[row]), row
        else:
            np.testing.assert_equal(found[row](), expected, row)


def test_what_the_page_says_of_minigrad_holds() -> None:
    nan_free = [0.0, 0.25]
    told: dict[str, Any] = {
        "`grad(f)(1.0)`": "Tensor float64",
        "`float(x)` within `grad`": Exception,
        "`isinstance(x, np.ndarray)` within `grad`": 0.0,
        "`np.array([x[0], x[1]])` within `grad`": Exception,
        "`if x > 0` within `grad`": 1.0,
        "an index out of range": Exception,
        "gradient of `norm(x)` at 0": [0.0, 0.0],
        "gradient of `sqrt(x)` at 0": 0.0,
        "gradient of `where(x > 0, sqrt(x), 0)` at 0": nan_free,
        "`hvp` of one argument": lambda: type(mg.hvp(lambda x: mg.sum(x**3), (V,), (V,))) is tuple,
        "a random number": lambda: mg.compile(lambda: mg.sample(np.random.default_rng(0).random, (2,)))().shape == (2,),
        "`None` among the arguments' leaves": lambda: fails(
            lambda: mg.grad(lambda d: d["a"] ** 2)({"a": 2.0, "b": None})
        ),
    }
    holds(runs_alike(mg.grad, np, lambda g: g.data), told)
    assert fails(lambda: mg.compile(lambda x: x if x > 0 else -x)(mg.tensor(1.0)))
    assert mg.grad(lambda x: 1.0 * isinstance(x, mg.Tensor) * x)(2.0).item() == 1
    assert mg.grad(lambda x: mg.sum(mg.stack([x[0], x[1]])))(V).data.tolist() == [1, 1]


@pytest.mark.skipif(find_spec("autograd") is None, reason="HIPS autograd is not installed, of which this is")
def test_what_the_page_says_of_autograd_holds() -> None:
    import autograd
    import autograd.numpy as anp

    told: dict[str, Any] = {
        "`grad(f)(1.0)`": "float64 float64",
        "`float(x)` within `grad`": Exception,
        "`isinstance(x, np.ndarray)` within `grad`": 0.0,
        "`np.array([x[0], x[1]])` within `grad`": [1.0, 1.0],
        "`if x > 0` within `grad`": 1.0,
        "an index out of range": Exception,
        "gradient of `norm(x)` at 0": [np.nan, np.nan],
        "gradient of `sqrt(x)` at 0": Exception,
        "gradient of `where(x > 0, sqrt(x), 0)` at 0": [np.nan, 0.25],
        "`hvp` of one argument": lambda: isinstance(
            autograd.hessian_vector_product(lambda x: anp.sum(x**3))(V, V), np.ndarray
        ),
        "a random number": lambda: True,
        "`None` among the arguments' leaves": lambda: fails(
            lambda: autograd.grad(lambda d: d["a"] ** 2)({"a": 2.0, "b": None})
        ),
    }
    holds(runs_alike(autograd.grad, anp, np.asarray), told)


@pytest.mark.skipif(find_spec("jax") is None, reason="JAX is not installed, of which this is")
@pytest.mark.filterwarnings("ignore")
def test_what_the_page_says_of_jax_holds() -> None:
    import jax
    import jax.numpy as jnp

    told: dict[str, Any] = {
        "`grad(f)(1.0)`": "ArrayImpl float32",
        "`float(x)` within `grad`": Exception,
        "`isinstance(x, np.ndarray)` within `grad`": 0.0,
        "`np.array([x[0], x[1]])` within `grad`": [1.0, 1.0],
        "`if x > 0` within `grad`": 1.0,
        "an index out of range": lambda: jnp.arange(3)[5] == 2,
        "gradient of `norm(x)` at 0": [np.nan, np.nan],
        "gradient of `sqrt(x)` at 0": np.inf,
        "gradient of `where(x > 0, sqrt(x), 0)` at 0": [np.nan, 0.25],
        "`hvp` of one argument": lambda: (
            jax.jvp(jax.grad(lambda x: jnp.sum(x**3)), (jnp.ones(2),), (jnp.ones(2),))[1].shape == (2,)
        ),
        "a random number": lambda: jax.random.normal(jax.random.key(0), (2,)).shape == (2,),
        "`None` among the arguments' leaves": lambda: (
            jax.grad(lambda d: d["a"] ** 2)({"a": 2.0, "b": None})["b"] is None
        ),
    }
    holds(runs_alike(jax.grad, jnp, np.asarray), told)
    assert fails(lambda: jax.jit(lambda x: x if x > 0 else -x)(1.0))


def test_every_name_on_this_side_is_there() -> None:
    ours = re.findall(r"`mg\.(\w+)", NAMES)
    assert len(ours) >= 15
    assert [name for name in ours if not hasattr(mg, name)] == []
