"""Values, gradients and Hessian-vector products are those of JAX and PyTorch, where these are installed."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import numpy_calls
import peers_calls
import pytest

import minigrad as mg

#: PyTorch's slope of it is 1/6 in float32, also of float64, and has no slope in turn.
NOT_IN_TORCH = {"hardsigmoid"}
#: Calls of NumPy's names that jax.numpy takes in another form, or for which it leaves the result's order open.
NOT_IN_JAX = {"repeat ([2], -1)", "repeat {'repeats': [1, 0, 2], 'axis': 1}", "sort {'axis': 1, 'kind': 'stable'}"}
NOT_IN_JAX |= {name for name, *_ in numpy_calls.CALLS if name.startswith("partition")}
OF_NUMPY = [call for call in numpy_calls.CALLS if call[0] not in NOT_IN_JAX]


def each_with(package: str, calls: Any) -> Any:
    """Each call as a test; without the package one that is skipped."""
    missing = importlib.util.find_spec(package) is None
    skipped = pytest.mark.skip(f"{package} is not installed; finite differences are compared with")
    params = [pytest.param(*c[1:], id=c[0], marks=skipped if missing else ()) for c in calls]
    return pytest.mark.parametrize(("call", "inputs"), params[:1] if missing else params)


def weighted(call: Any, m: Any, leaves: Any) -> Any:
    """Σ w y over all floating results y of a call, with other weights for each entry."""

    def total(*xs: Any) -> Any:
        results = [y for y in leaves(call(m, *xs)) if "float" in str(y.dtype)]
        weights = [np.cos(1.0 + k + np.arange(int(np.prod(y.shape)))) for k, y in enumerate(results)]
        return sum(weigh(y, w.reshape(tuple(y.shape))) for y, w in zip(results, weights, strict=True))

    def weigh(y: Any, w: np.ndarray) -> Any:
        return (y * (y.new_tensor(w) if hasattr(y, "new_tensor") else w)).sum()

    return total


def directions(inputs: Any) -> tuple[np.ndarray, ...]:
    return tuple(np.sin(2.0 + np.arange(x.size)).reshape(x.shape) for x in inputs)


def ours(call: Any, inputs: Any) -> list[Any]:
    total, places = weighted(call, mg, mg.tree_leaves), tuple(range(len(inputs)))
    value, slopes = mg.value_and_grad(total, places)(*inputs)
    return [value, *slopes, *mg.hvp(total, inputs, directions(inputs))]


def check_with_jax(call: Any, m: Any, inputs: Any) -> None:
    import jax

    xs, vs = ([jax.numpy.asarray(a) for a in arrays] for arrays in (inputs, directions(inputs)))
    slopes = jax.value_and_grad(weighted(call, m, jax.tree.leaves), tuple(range(len(inputs))))
    (value, first), (_, second) = jax.jit(lambda xs, vs: jax.jvp(slopes, xs, vs))(xs, vs)
    for a, b in zip(ours(call, inputs), [value, *first, *second], strict=True):
        np.testing.assert_allclose(a.data, np.asarray(b), rtol=1e-9, atol=1e-9)


@each_with("jax", OF_NUMPY)
def test_calls_of_numpys_names_give_what_jax_gives(call: Any, inputs: Any) -> None:
    peers_calls.jax_names()
    import jax

    check_with_jax(call, jax.numpy, inputs)


@each_with("jax", peers_calls.CALLS)
def test_functions_give_what_jax_gives(call: Any, inputs: Any) -> None:
    check_with_jax(call, peers_calls.jax_names(), inputs)


@each_with("torch", [call for call in peers_calls.CALLS if call[0] not in NOT_IN_TORCH])
def test_functions_give_what_pytorch_gives(call: Any, inputs: Any) -> None:
    import torch

    xs = [torch.tensor(x, requires_grad=True) for x in inputs]
    total = weighted(call, peers_calls.torch_names(), mg.tree_leaves)(*xs)
    first = torch.autograd.grad(total, xs, create_graph=True)
    along = sum((g * torch.tensor(v)).sum() for g, v in zip(first, directions(inputs), strict=True))
    second: Any = [torch.zeros(())] * len(xs)  # of what is linear it has none
    if along.requires_grad:
        second = torch.autograd.grad(along, xs, materialize_grads=True)
    found = [t.detach().numpy(force=True) for t in (total, *first, *second)]
    for a, b in zip(ours(call, inputs), found, strict=True):
        np.testing.assert_allclose(a.data, np.broadcast_to(b, a.shape), rtol=1e-9, atol=1e-9)
