"""Arrays with meanings of their own (masked, np.matrix), and what NumPy reads as an array (tuples, ranges, buffers)."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad import activations, elementwise, linalg, ops, products, rearrange, reductions, shapes, testing

X = np.arange(1.0, 10.0).reshape(3, 3) / 4
MASKED = np.ma.masked_array(X, X > 1)
LABELS = np.ma.masked_array([0, 1, 2], [False, True, False])


def leaf(x: Any = X) -> mg.Tensor:
    return mg.tensor(x, requires_grad=True)


DOORS: dict[str, Callable[[], Any]] = {
    "tensor": lambda: mg.tensor(MASKED),
    "as_tensor": lambda: mg.as_tensor(MASKED),
    "grad": lambda: mg.grad(mg.sum)(MASKED),
    "vjp": lambda: mg.vjp(mg.square, X)[1](MASKED),
    "jvp": lambda: mg.jvp(mg.square, (X,), (MASKED,)),
    "backward": lambda: leaf().square().backward(MASKED),
    "t.grad": lambda: setattr(leaf(), "grad", MASKED),
    "t.data": lambda: setattr(leaf(), "data", MASKED),
    "multiply": lambda: leaf() * MASKED,
    "multiply, the other way round": lambda: MASKED * leaf(),
    "add, whose rules read nothing": lambda: leaf() + MASKED,
    "add, without a record": lambda: mg.tensor(X) + MASKED,
    "matmul": lambda: leaf() @ MASKED,
    "where": lambda: mg.where(MASKED > 0, leaf(), 0.0),
    "concatenate": lambda: mg.concatenate([leaf(), MASKED]),
    "an index": lambda: leaf()[LABELS],
    "take": lambda: mg.take(leaf(), LABELS, axis=0),
    "compile": lambda: mg.compile(lambda x: x * 2.0)(MASKED),
    "Linear": lambda: nn.Linear(3, 2, rng=0)(MASKED),
    "Recurrent": lambda: nn.LSTM(3, 2, rng=0)(np.ma.masked_array(np.ones((2, 2, 3)), np.ones((2, 2, 3)))),
    "Embedding": lambda: nn.Embedding(5, 2, rng=0)(LABELS),
    "one_hot": lambda: nn.one_hot(LABELS, 3),
    "cross_entropy": lambda: nn.cross_entropy(leaf(), LABELS),
    "mse_loss": lambda: nn.mse_loss(leaf(), MASKED),
    "lengths": lambda: nn.padding_mask(LABELS, 3),
    "pad_sequences": lambda: nn.pad_sequences([LABELS]),
    "ctc_loss": lambda: nn.ctc_loss(np.zeros((3, 3, 3)), LABELS[:, None]),
    "check_grad": lambda: testing.check_grad(mg.square, MASKED),
    "check_vjp": lambda: testing.check_vjp(np.square, lambda g, x: 2 * g * x, MASKED),
    "check_cell": lambda: testing.check_cell(nn.GRUCell, inputs=np.ma.masked_array(np.ones((3, 2, 4)), True)),
    "a list of them": lambda: mg.tensor([MASKED, MASKED]),
    "a list of them as an operand": lambda: leaf() * list(MASKED),
    "a nested index": lambda: mg.getitem(leaf(), (LABELS, slice(None))),
    "a static argument": lambda: mg.clip(leaf(), low=MASKED),
    "a static argument, without a record": lambda: mg.clip(mg.tensor(X), low=MASKED),
    "einsum": lambda: mg.einsum("ij,jk", mg.tensor(X), MASKED),
    "tensordot": lambda: mg.tensordot(mg.tensor(X), MASKED),
    "nan_to_num": lambda: mg.nan_to_num([MASKED, MASKED]),
    "a compiled constant": lambda: mg.compile(lambda x: x @ MASKED)(X),
    "one_hot of a list": lambda: nn.one_hot([LABELS, LABELS], 3),
    "nll_loss": lambda: nn.nll_loss(MASKED, np.arange(3)),
    "batchify": lambda: nn.batchify(LABELS, 2),
    "bucket_by_length": lambda: nn.bucket_by_length(LABELS, 2),
    "mean_over_time": lambda: nn.mean_over_time([MASKED, MASKED]),
    "ctc_decode": lambda: nn.ctc_decode(np.ma.masked_array(np.zeros((3, 3, 3)), True)),
    "a compiled index": lambda: mg.compile(lambda x: x[LABELS])(X),
    "a compiled static argument": lambda: mg.compile(lambda x: mg.clip(x, low=MASKED))(X),
    "sample": lambda: nn.sample(lambda x, state: (np.eye(3)[x], state), LABELS, 1),
}
scaled = mg.primitive(lambda x, by: x * np.asarray(by), lambda g, y, x, by: g * by, name="scaled")
DOORS["a static argument that the function converts"] = lambda: scaled(leaf(), by=MASKED)
LOST = r"the mask of (the|a) masked array,.* would be lost; pass x.filled"


@pytest.mark.parametrize("door", DOORS)
def test_a_masked_array_is_refused_on_every_door(door: str) -> None:
    with pytest.raises(TypeError, match=LOST):
        DOORS[door]()
    if door != "backward":
        with mg.no_grad(), pytest.raises(TypeError, match=LOST):
            DOORS[door]()


@pytest.mark.parametrize("name", [name for name in mg.__all__ if isinstance(getattr(mg, name), mg.Primitive)])
def test_a_primitive_refuses_a_masked_array_wherever_it_stands_and_whether_it_is_recorded_or_not(name: str) -> None:
    function, t = getattr(mg, name), mg.tensor(X)
    for inputs in ([MASKED], [MASKED, MASKED], [t, MASKED], [leaf(), MASKED], [MASKED, t], [[t, MASKED]], [[MASKED]]):
        with pytest.raises(TypeError, match=LOST):
            function(*inputs)
        with mg.no_grad(), pytest.raises(TypeError, match=LOST):
            function(*inputs)


MASKING: dict[str, Callable[[Any], Any]] = {
    "getdata": np.ma.getdata,
    "median": np.ma.median,
    "round": lambda t: np.ma.round(t, 1, np.zeros((3, 3))),
    "ndenumerate": lambda t: [value for _, value in np.ma.ndenumerate(t)],
    "sum": np.ma.sum,
    "sin": np.ma.sin,
    "comparison": lambda t: MASKED.__lt__(t),
    "in place": lambda t: MASKED.copy().__iadd__(t),
}


@pytest.mark.parametrize("function", MASKING.values(), ids=MASKING)
def test_a_function_of_np_ma_takes_no_numbers_out_of_a_tensor_that_is_differentiated(function: Any) -> None:
    with pytest.raises(TypeError, match=r"takes numbers (of the|out of a) tensor"):
        mg.grad(lambda x: (x * np.sum(function(x))).sum())(X)
    assert np.shape(function(mg.tensor(X))) == np.shape(function(X))


def test_lists_of_numbers_and_of_arrays_are_read_as_ever() -> None:
    assert mg.tensor([np.float64(1.0), 2.0]).data.tolist() == [1.0, 2.0]
    assert mg.tensor([]).shape == (0,)
    assert mg.sum(mg.tensor([[np.ones(2)], [np.ones(2)]])).item() == 4.0


MATRIX = X.view(np.matrix)
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "x * M": lambda x, m: x * m,
    "M * x": lambda x, m: m * x,
    "x / M": lambda x, m: x / m,
    "M ** x": lambda x, m: mg.maximum(m, x),
}


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("recorded", [True, False])
def test_an_np_matrix_is_refused_since_its_operators_mean_something_else(operator: str, recorded: bool) -> None:
    with pytest.raises(TypeError, match=r"np\.matrix.*np\.asarray"):
        OPERATORS[operator](mg.tensor(X, requires_grad=recorded), MATRIX)


def test_a_tensor_of_an_np_matrix_has_its_numbers() -> None:
    np.testing.assert_array_equal(mg.tensor(MATRIX).data, X)


@pytest.mark.parametrize("numbers", [(1.0, 2.0, 0.5), (1, 2, 0), range(3), [1.0, 2.0, 0.5]], ids=repr)
def test_what_numpy_takes_for_an_array_has_the_gradient_of_the_array(numbers: Any) -> None:
    for f in (lambda x, y: x * y, lambda x, y: x**y, lambda x, y: y**x, lambda x, y: x @ y, lambda x, y: y @ x):
        with np.errstate(all="ignore"):
            found = mg.grad(lambda x, f=f: mg.sum(f(x, numbers)))(X)
            expected = mg.grad(lambda x, f=f: mg.sum(f(x, np.asarray(numbers))))(X)
        np.testing.assert_array_equal(found.data, expected.data)


@pytest.mark.parametrize("make", [lambda: array("d", [1.0, 2.0, 3.0]), lambda: memoryview(array("d", [1.0, 2.0, 3.0]))])
def test_a_buffer_that_is_changed_later_changes_no_gradient(make: Callable[[], Any]) -> None:
    x, buffer = leaf(X[0]), make()
    y = (x * buffer).sum()
    buffer[0] = 100.0
    y.backward()
    np.testing.assert_array_equal(x.grad, [1.0, 2.0, 3.0])


RETURNED = {
    "array": lambda g, y, x: np.ma.masked_array(g, [[True, False, False]]),
    "matrix": lambda g, y, x: g.view(np.matrix),
    "part": lambda g, y, x: mg.At(slice(None), np.ma.masked_array(g, [[True, False, False]])),
    "row": lambda g, y, x: mg.At(np.array([0]), np.ma.masked_array(g, [[True, False, False]])),
}


@pytest.mark.parametrize("rule", RETURNED.values(), ids=RETURNED)
def test_a_rule_that_returns_an_array_with_operators_of_its_own_is_refused(rule: Any) -> None:
    same = mg.primitive(lambda x: x * 1.0, rule, name="same")
    with pytest.raises(
        (ValueError, TypeError), match=r"same: the rule for input 0 returned a cotangent .*(mask|np\.matrix)"
    ):
        same(mg.tensor([[1.0, 2.0, 3.0]], requires_grad=True)).sum().backward()


class Lent:
    """Another library's array, as NumPy sees it."""

    def __init__(self, numbers: Any) -> None:
        self.numbers = np.array(numbers)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.numbers.copy() if copy else self.numbers


def test_an_array_of_another_library_that_is_changed_later_changes_no_gradient() -> None:
    x, lent = leaf(X[0]), Lent([1.0, 2.0, 3.0])
    y = mg.multiply(x, lent).sum()
    lent.numbers *= 5
    y.backward()
    np.testing.assert_array_equal(x.grad, [1.0, 2.0, 3.0])


def test_argnums_is_no_truth_value() -> None:
    with pytest.raises(TypeError, match=r"argnums: .*got bool True"):
        mg.value_and_grad(lambda x, y: (mg.sum(x * y), y), True)  # type: ignore[arg-type]


NO_NUMBERS = ["2", ["1", "2"], [1.0, None], None, np.array([1, None]), b"2"]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_what_numpy_would_read_as_numbers_is_refused_where_it_is_none(value: Any) -> None:
    t, refused = mg.tensor(np.ones(2), requires_grad=True), pytest.raises(TypeError, match="must be real numbers")
    with refused:
        mg.tensor(value, dtype=float)
    with refused:
        t.data = value
    with refused:
        mg.vjp(mg.square, np.ones(2))[1](value)
    with refused:
        mg.jvp(mg.square, (np.ones(2),), (value,))
    if value is not None:
        with refused:
            (t * 1.0).backward(value)


def test_lists_of_unequal_lengths_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"tensor: data: .*inhomogeneous.*nn\.pad_sequences"):
        mg.tensor([[1.0], [1.0, 2.0]])


@pytest.mark.parametrize("dtype", [">f8", ">f4", "<f8"])
def test_numbers_of_another_byte_order_have_gradients_of_the_tensors_dtype(dtype: str) -> None:
    x = leaf(np.array([1.0, 2.0], dtype))
    (x / x.sum()).max().backward()
    assert x.dtype == x.grad.dtype == np.dtype(dtype).newbyteorder("=")
    assert x.astype(">f4").dtype == np.float32
    np.testing.assert_array_equal(mg.tensor(np.array([1, 2], ">i4")).data, [1, 2])


def test_masked_weights_are_neither_saved_nor_loaded(tmp_path: Any) -> None:
    net = nn.Linear(2, 2, rng=0, dtype=np.float64)
    before = net.state_dict()
    with pytest.raises(TypeError, match=r"the mask of a masked array.* would be lost"):
        net.load_state_dict({"W": np.zeros((2, 2)), "b": np.ma.masked_array([0.0, 0.0], [True, False])})
    np.testing.assert_array_equal(net.state_dict()["W"], before["W"])
    with pytest.raises(TypeError, match=r"the mask of a masked array.* would be lost"):
        nn.save(tmp_path / "w.npz", {"W": np.ma.masked_array([0.0, 0.0], [True, False])})
    assert not (tmp_path / "w.npz").exists()


PAGES = (ops, shapes, elementwise, reductions, rearrange, products, activations, linalg)


@pytest.mark.parametrize("values", [[1, 2, 3], [[0.5, 0.25], [0.75, 0.5]]], ids=["integers", "floats"])
def test_every_function_of_one_array_reads_a_list_as_the_array_of_its_numbers(values: Any) -> None:
    read = set()
    for name in [name for page in PAGES for name in page.__all__]:
        f = getattr(mg, name, None) or getattr(mg.linalg, name)
        with np.errstate(all="ignore"):
            try:
                expected = f(np.array(values))
            except (TypeError, ValueError, IndexError):  # it needs more than that array
                continue
            for a, b in zip(mg.tree_leaves(f(values)), mg.tree_leaves(expected), strict=True):
                np.testing.assert_array_equal(a, b, err_msg=name)
        read.add(name)
    assert {"softmax", "logsumexp", "gelu", "log_sigmoid", "unstack", "sum"} < read


EXACT: dict[str, Any] = {
    "Fraction Fraction(1, 3); pass float(x)": Fraction(1, 3),
    "list [Fraction(1, 3)]; pass float(x), or np.asarray(x, float)": [Fraction(1, 3)],
    "(1,) object; pass float(x), or np.asarray(x, float)": np.array([Fraction(1, 3)]),
}


@pytest.mark.parametrize("message", EXACT)
def test_numbers_that_numpy_keeps_as_objects_are_named_with_the_remedy(message: str) -> None:
    for call in (lambda y: leaf(X) + y, lambda y: mg.where(X > 1, leaf(), y), lambda y: mg.tensor(X) * y):
        with pytest.raises(TypeError, match=re.escape(f"this would be object, by {message}")):
            call(EXACT[message])
