"""The table of the export: every primitive in it against onnxruntime, values at edges included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_cases import needs_runtime, normal, session

import minigrad as mg
import nn

pytestmark = needs_runtime

X, Y = normal(3, 4), normal(3, 4, seed=2)
UNIT = np.tanh(X)  # within (-1, 1)
SMALL = np.array([1e-7, -1e-5, 0.0, 0.5, -0.9, 3.0, 80.0], np.float32)
EDGES = np.array([np.inf, -np.inf, np.nan, 0.0, 1.5, -2.5, 2.5], np.float32)
COUNTS = np.array([[-7, 7, 3], [5, -5, 0]])
MASK = X > 0
INFINITE = np.array([-np.inf, np.inf, 0.0], np.float32)


def along(name: str, **options: Any) -> Any:
    """A primitive with options, of one array."""
    return lambda x: getattr(mg, name)(x, **options)


#: By primitive: functions and their arguments.
CASES: dict[str, list[tuple[Any, ...]]] = {
    **{name: [(getattr(mg, name), X)] for name in (
        "abs", "negative", "exp", "sin", "cos", "tan", "tanh", "sigmoid", "relu", "softplus", "sinh", "cosh", "arctan",
        "arcsinh", "square", "erf", "erfc", "exp2", "elu", "reciprocal",
    )},
    **{name: [(getattr(mg, name), np.abs(X) + 0.1)] for name in ("log", "sqrt", "log2", "log10")},
    **{name: [(getattr(mg, name), UNIT)] for name in ("arcsin", "arccos", "arctanh")},
    **{name: [(getattr(mg, name), EDGES)] for name in ("floor", "ceil", "rint", "isnan", "isinf", "isfinite")},
    **{name: [(getattr(mg, name), X, Y), (getattr(mg, name), X, 0.5), (getattr(mg, name), COUNTS, COUNTS[:, ::-1])]
       for name in ("add", "subtract", "multiply", "maximum", "minimum", "equal", "not_equal", "greater",
                    "greater_equal", "less", "less_equal")},
    **{name: [(getattr(mg, name), MASK, Y > 0)] for name in ("logical_and", "logical_or")},
    "logical_not": [(mg.logical_not, MASK)],
    "sign": [(mg.sign, COUNTS)],
    "arccosh": [(mg.arccosh, np.abs(X) + 1)],
    "divide": [(mg.divide, X, Y), (mg.divide, COUNTS, 4)],
    "power": [(mg.power, np.abs(X), Y), (mg.power, X, 2), (mg.power, X, 3.0)],
    "expm1": [(mg.expm1, SMALL)],
    "log1p": [(mg.log1p, SMALL), (mg.log1p, np.array([np.inf, 1e20], np.float32))],
    "logaddexp": [(mg.logaddexp, SMALL, -SMALL), (mg.logaddexp, INFINITE, INFINITE[::-1]),
                  (mg.logaddexp, INFINITE, X[0, :1])],
    "floor_divide": [(mg.floor_divide, COUNTS, 3), (mg.floor_divide, X, -0.3)],
    "remainder": [(mg.remainder, COUNTS, 3), (mg.remainder, COUNTS, -3), (mg.remainder, X, 0.3)],
    "clip": [(lambda x: mg.clip(x, -0.5, 0.5), X), (lambda x: mg.clip(x, low=0), X)],
    "where": [(lambda c, x: mg.where(c, x, 0), MASK, X), (mg.where, MASK, X, Y)],
    "astype": [(lambda x: mg.astype(x, np.int32), X), (lambda c: mg.astype(c, np.float32), MASK)],
    "positive": [(lambda x: mg.positive(x) + 1, X)],
    "matmul": [(mg.matmul, X, Y.T), (mg.matmul, normal(2, 3, 4), Y.T), (mg.matmul, X[0], Y.T), (mg.matmul, X, Y[0])],
    "einsum": [(lambda a, b: mg.einsum("...i,ji->...j", a, b), normal(2, 3, 4), Y)],
    **{name: [(getattr(mg, name), X), (along(name, axis=0), X),
              (along(name, axis=(-1, 0), keepdims=True), normal(2, 3, 4))]
       for name in ("sum", "mean", "min", "prod", "logsumexp")},
    "max": [(mg.max, X), (along("max", axis=0), X), (along("max", axis=1, keepdims=True), MASK)],
    "var": [(mg.var, X), (lambda x: mg.var(x, axis=1, ddof=1, keepdims=True), X)],
    **{name: [(getattr(mg, name), X), (along(name, axis=-1, keepdims=True), X)]
       for name in ("argmax", "argmin")},
    "cumsum": [(mg.cumsum, X), (lambda x: mg.cumsum(x, axis=1), COUNTS)],
    "softmax": [(mg.softmax, 100 * X), (lambda x: mg.softmax(x, axis=0), X), (lambda x: mg.softmax(x, axis=(0, 1)), X)],
    "log_softmax": [(mg.log_softmax, 100 * X), (lambda x: mg.log_softmax(x, axis=(0, 1)), X)],
    "reshape": [(lambda x: mg.reshape(x, (2, -1)), X), (lambda x: mg.reshape(x, (4, 0)), X[:0])],
    "broadcast_to": [(lambda x: mg.broadcast_to(x, (2, 3, 4)), X)],
    "expand_dims": [(lambda x: mg.expand_dims(x, (0, -1)), X)],
    "squeeze": [(mg.squeeze, X[:, :1]), (lambda x: mg.squeeze(x, 1), X[:1, :1]), (mg.squeeze, X)],
    "transpose": [(mg.transpose, X), (lambda x: mg.transpose(x, (1, -1, 0)), normal(2, 3, 4))],
    "swapaxes": [(lambda x: mg.swapaxes(x, 0, -1), normal(2, 3, 4))],
    "moveaxis": [(lambda x: mg.moveaxis(x, (0, 1), (-1, 0)), normal(2, 3, 4))],
    "concatenate": [(lambda x, y: mg.concatenate([x, y], axis=-1), X, Y)],
    "stack": [(lambda x, y: mg.stack([x, y], axis=-1), X, Y)],
    "pad": [(lambda x: mg.pad(x, ((1, 0), (2, 3)), constant_values=2.0), X), (lambda x: mg.pad(x, {-1: 1}), X)],
    "tril": [(mg.tril, X), (lambda x: mg.tril(x, -1), X)],
    "triu": [(lambda x: mg.triu(x, 1), X)],
    "flip": [(mg.flip, X), (lambda x: mg.flip(x, -1), X)],
    "getitem": [
        (lambda x: x[..., 1:-1:2, None], normal(2, 3, 4)), (lambda x: x[-1, ::-1], X), (lambda x: x[[2, 0, 0]], X),
        (lambda x: x[:, [[1, 2], [0, -1]]], normal(2, 3, 4)), (lambda x: x[[0, 1], [2, 2]], normal(2, 3, 4)),
        (lambda x: x[:, [0, 1], [3, 2]], normal(2, 3, 4)), (lambda x: x[[0, 1], :, [3, 2]], normal(2, 3, 4)),
        (lambda x: x[:, 1, [3, 2, 2]], normal(2, 3, 4)), (lambda x, k: x[k], X, np.array([1, -2])),
        (lambda x: x[...], X), (lambda x: x[()], X), (lambda x: x[::-2, 3:0:-1], X),
    ],
    "checked": [(nn.Embedding(4, 2, rng=0), np.array([[0, 3], [1, 1]], np.uint8)),
                (lambda k: nn.Embedding(4, 2, rng=0, padding_idx=1)(k), np.array([[0, 3], [1, 1]]))],
    "padding_mask": [(lambda n: nn.padding_mask(n, 4), np.array([0, 2, 4], np.int32))],
    "one_hot": [(nn.RNN(4, 2, rng=0), np.array([[0, 3], [1, 1]]))],
}  # fmt: skip


def test_every_entry_has_cases():
    from nn.convert import onnx_index, onnx_layers, onnx_table, onnx_taking

    assert onnx_index.TABLE is onnx_table.TABLE  # all entries are there once these are imported
    assert onnx_layers.writes is onnx_table.writes
    assert onnx_taking.layer_result.name not in onnx_table.TABLE
    assert sorted(onnx_table.TABLE) == sorted(CASES)


@pytest.mark.parametrize(("name", "case"), [(name, k) for name, cases in CASES.items() for k in range(len(cases))])
def test_operators_compute_what_the_primitive_does(tmp_path, name, case):
    function, *arrays = CASES[name][case]
    example = {f"x{k}": a for k, a in enumerate(arrays)}
    nn.to_onnx(lambda **inputs: function(*inputs.values()), tmp_path / "a.onnx", example, axes={})
    found = session(tmp_path / "a.onnx")({k: a for k, a in example.items() if isinstance(a, (np.ndarray, np.generic))})
    with np.errstate(all="ignore"):
        results = mg.tree_leaves(function(*[mg.tensor(a) if isinstance(a, np.ndarray) else a for a in arrays]))
    for theirs, ours in zip(found, results, strict=True):
        ours = ours.data if isinstance(ours, mg.Tensor) else np.asarray(ours)
        assert theirs.dtype == ours.dtype
        np.testing.assert_allclose(theirs, ours, rtol=2e-5, atol=1e-30 if name in ("expm1", "log1p") else 2e-6)


def test_another_primitive_of_a_known_name_is_not_mistaken_for_it(tmp_path):
    other = mg.primitive(lambda x: x + 1, lambda g, y, x: g, name="tanh")
    with pytest.raises(TypeError, match="the primitive tanh has no ONNX operator"):
        nn.to_onnx(other, tmp_path / "a.onnx", X)


@pytest.mark.parametrize("model", [lambda x: x[x > 0], lambda x: x[:, None, [0, 1]]])
def test_indices_that_onnx_cannot_say_are_refused(tmp_path, model):
    with pytest.raises((TypeError, ValueError), match=r"depends on the mask|size that depends|beside an array"):
        nn.to_onnx(model, tmp_path / "a.onnx", X)
