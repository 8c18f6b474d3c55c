"""Inside of a transform nothing cuts the record in silence; outside of it, numbers are for everyone."""

from __future__ import annotations

import copy
import math
import pickle
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor, primitive

X = np.array([0.5, -1.5, 2.0])
RULELESS = primitive(lambda x: np.sinh(x), name="ruleless")


def filled(x: Any) -> Any:
    out = np.zeros(3)
    for k in range(3):
        out[k] = x[k] ** 2
    return out.sum()


def copied_in(x: Any) -> Any:
    out = np.zeros(3)
    out[:] = x**2
    return out.sum()


def assigned(x: Any) -> Any:
    out = mg.tensor(np.zeros(3))
    out.data = x
    return out.sum()


def gradient_of(x: Any) -> Any:
    w = mg.tensor(1.0, requires_grad=True)
    (w * (x * x).sum()).backward()
    return w.grad


def elsewhere(f: Any) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(f).result()


#: A function of three numbers, and what its error names beside the line.
NUMBERS = {
    "float": (lambda x: float(x[0]) * x[0], "float(t)"),
    "int": (lambda x: int(x[0]) * x[0], "int(t)"),
    "round": (lambda x: round(x[0]) * x[0], "round(t)"),
    "complex": (lambda x: complex(x[0]).real * x[0], "complex(t)"),
    "math.sin": (lambda x: math.sin(x[0]), "write mg.sin instead of math.sin"),
    "statistics.fmean": (lambda x: statistics.fmean(x), "float(t)"),
    "math.pow": (lambda x: math.pow(x[0], 2), "write mg.power instead of math.pow"),
    "np.float64": (lambda x: np.float64(x[0]) * x[1], "np.asarray(t)"),
    "an array filled by entry": (filled, "mg.stack"),
    "an array filled at once": (copied_in, "np.asarray(t)"),
    "np.array of entries": (lambda x: np.array([x[0], x[1]]).sum(), "mg.stack"),
    "t.data = x": (assigned, "t.data = ..."),
    "in another thread": (lambda x: elsewhere(lambda: float(x[0])) * x[0], "float(t)"),
    "np.asarray": (lambda x: np.asarray(x).sum(), "np.asarray(t)"),
    "np.unique": (lambda x: np.unique(x).sum() * x[0], "np.unique(t)"),
    "np.full_like": (lambda x: (np.full_like(x, x[0]) * x).sum(), "np.full_like(t)"),
    "mg.tensor": (lambda x: (mg.tensor(x) * x).sum(), "t.detach()"),
    "copy": (lambda x: (copy.deepcopy(x) * x).sum(), "copying t"),
    "pickle": (lambda x: (pickle.loads(pickle.dumps(x)) * x).sum(), "copying t"),
    "a primitive without rules": (lambda x: (x * RULELESS(x)).sum(), "ruleless: has no derivative rule"),
}
TRANSFORMS = {
    "grad": lambda f: mg.grad(f)(X),
    "value_and_grad": lambda f: mg.value_and_grad(f)(X),
    "vjp": lambda f: mg.vjp(f, X),
    "jvp": lambda f: mg.jvp(f, (X,), (X,)),
    "jacobian": lambda f: mg.jacobian(f)(X),
    "hessian": lambda f: mg.hessian(f)(X),
    "hvp": lambda f: mg.hvp(f, (X,), (X,)),
}
each_transform = pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)


def test_the_percent_format_of_a_differentiated_tensor_is_refused() -> None:
    with pytest.raises(TypeError) as caught:
        mg.grad(lambda x: ("%.2f" % x[0], x.sum())[1])(X)  # noqa: UP031
    told = ["t.item()", __file__] if sys.version_info < (3, 15) else ["%f requires a real number"]  # Python's own words
    assert all([words in str(caught.value) for words in told])


@pytest.mark.parametrize(("f", "named"), NUMBERS.values(), ids=NUMBERS)
def test_what_takes_numbers_out_of_a_differentiated_tensor_is_refused_with_the_users_line(f: Any, named: str) -> None:
    with pytest.raises(TypeError) as caught:
        mg.grad(f)(X)
    assert named in str(caught.value)
    assert __file__ in str(caught.value)


@each_transform
@pytest.mark.parametrize("f", [filled, lambda x: float(x[0]) * x.sum(), lambda x: (x * RULELESS(x)).sum()])
def test_every_transform_refuses_a_record_that_is_cut(transform: Any, f: Any) -> None:
    with pytest.raises(TypeError, match=r"float\(t\)|ruleless"):
        transform(f)


@pytest.mark.parametrize("f", [mg.sum, lambda xs: mg.sum(mg.exp([xs])), lambda xs: mg.max(tuple(xs))])
def test_a_list_of_tensors_as_an_operand_is_refused_and_stack_is_named(f: Any) -> None:
    with pytest.raises(TypeError, match=r"^(sum|exp|max): a list of Tensors is no Tensor; join them by mg\.stack"):
        mg.grad(lambda xs: f(xs))([1.0, 2.0])
    assert mg.grad(lambda xs: mg.sum(mg.stack(xs)))([1.0, 2.0])[1].item() == 1


@pytest.mark.parametrize("name", ["grad", "jacobian"])
def test_an_integer_argument_of_a_transform_is_told_of_by_the_transforms_name(name: str) -> None:
    for x, told in ((1, "int 1"), (np.array([1, 2]), r"\(2,\) int64"), (mg.tensor([True]), r"\(1,\) bool")):
        with pytest.raises(TypeError, match=rf"^{name}: a derivative needs floating-point arguments, got {told}"):
            getattr(mg, name)(mg.sum)(x)


def test_a_refusal_that_numpy_would_hide_stays_in_front() -> None:
    with pytest.raises(TypeError, match=r"mg\.stack") as caught:
        mg.grad(filled)(X)
    assert caught.value.__cause__ is None


def test_a_tensor_made_of_an_outer_argument_is_differentiated_in_the_inner_transform() -> None:
    with pytest.raises(TypeError, match=r"float\(t\)"):
        mg.grad(lambda x: mg.grad(lambda y: y * float(x))(1.0))(2.0)
    with pytest.raises(TypeError, match=r"float\(t\)"):
        mg.grad(lambda x: x * float(mg.value_and_grad(lambda y: y * y)(x)[0]))(2.0)
    with pytest.raises(TypeError, match=r"float\(t\)"):
        mg.grad(lambda x: inner_of(x * x))(2.0)


def inner_of(made_before: Any) -> Any:
    return mg.grad(lambda y: y * float(made_before))(1.0)


def test_a_number_that_an_inner_function_looked_at_is_no_constant_of_the_outer_one() -> None:
    def f(x: Any) -> Any:
        seen: list[float] = []
        mg.grad(lambda y: (seen.append(x.item()), y * y)[1])(1.0)
        return seen[0] ** 2

    with pytest.raises(TypeError, match="floating-point Tensor"):
        mg.grad(f)(2.0)


def test_a_checkpointed_function_is_differentiated_as_well() -> None:
    f = mg.checkpoint(lambda x: x * float(x))
    with pytest.raises(TypeError, match=r"float\(t\)"):
        mg.grad(f)(2.0)
    assert f(mg.tensor(3.0, requires_grad=True)).item() == 9.0


# --- results ---------------------------------------------------------------------------------------------------------

RESULTS = {
    "None": (lambda x: None, "return"),
    "a string": (lambda x: "a", "return"),
    "nothing": (lambda x: (), "return"),
    "True": (lambda x: True, "comparison"),
    "a comparison": (lambda x: x[0] > 0, "comparison"),
    "argmax": (lambda x: mg.argmax(x), "indices"),
    "integers": (lambda x: x.astype(int), "indices"),
    "an integer Tensor": (lambda x: mg.tensor(np.argmax(x.data)), "indices"),
    "an array from x.data": (lambda x: np.sum(x.data**2), r"mg\.sum"),
    "a number from x.data": (lambda x: float(np.sum(x.data**2)), r"mg\.sum"),
    "a number from x.item()": (lambda x: x[0].item() ** 2, r"mg\.sum"),
    "a number read from text": (lambda x: float(f"{x[0]:.17f}") ** 2, r"mg\.sum"),
    "an array from .grad": (lambda x: gradient_of(x), r"mg\.sum"),
    "a number from .grad": (lambda x: float(gradient_of(x)), r"mg\.sum"),
    "a number from a checkpoint": (lambda x: mg.checkpoint(lambda t: t[0].item() ** 2)(x * x), r"mg\.sum"),
    "a number from another thread": (lambda x: elsewhere(x[0].item), r"mg\.sum"),
    "a rounded value": (lambda x: mg.floor(x[0]), r"mg\.tensor"),
}


@each_transform
@pytest.mark.parametrize(("f", "named"), RESULTS.values(), ids=RESULTS)
def test_a_result_that_is_no_floating_tensor_is_refused(transform: Any, f: Any, named: str) -> None:
    with pytest.raises(TypeError, match=named):
        transform(f)


@pytest.mark.parametrize("f", [lambda x: x > 0, lambda x: mg.floor(x), lambda x: None, lambda x: x * RULELESS(x)])
def test_a_compiled_transform_refuses_the_same(f: Any) -> None:
    with pytest.raises(TypeError, match=r"floating-point Tensor|ruleless"):
        mg.compile(mg.grad(f))(mg.tensor(2.0))


def test_a_compiled_function_without_a_rule_is_refused_in_a_transform_at_every_call() -> None:
    ruleless = mg.compile(lambda x, y: RULELESS(x * x) + y)
    w = mg.tensor(3.0, requires_grad=True)
    for _ in range(2):
        with pytest.raises(TypeError, match="ruleless: has no derivative rule"):
            mg.grad(lambda x: x * ruleless(x, 1.0))(2.0)
        assert ruleless(w, w).item() == pytest.approx(np.sinh(9.0) + 3.0)
    assert mg.grad(lambda x: x * ruleless(w, x.detach()))(2.0).item() == pytest.approx(np.sinh(9.0) + 2.0)
    assert mg.grad(lambda x: x * mg.compile(mg.floor)(x))(2.5).item() == 2.0


def test_the_error_of_a_result_names_the_function_and_where_it_is() -> None:
    def forgetful(x: Any) -> None:
        x.sum()

    with pytest.raises(TypeError, match=rf"forgetful \({__file__}:\d+\)"):
        mg.grad(forgetful)(X)


# --- what is right passes --------------------------------------------------------------------------------------------

W = mg.tensor(3.0, requires_grad=True)
RIGHT = {
    "printing": (lambda x: (f"{x} {x!r} {x:.2f}", x * x)[1], 4.0),
    "a condition": (lambda x: x * x if x > 0 else -x, 4.0),
    "truth": (lambda x: x * x if x else -x, 4.0),
    "item": (lambda x: x * x.item(), 2.0),
    "data": (lambda x: (x * np.sin(x.data)).sum(), math.sin(2.0)),
    "detach": (lambda x: x * x.detach(), 2.0),
    "a tensor of data": (lambda x: mg.tensor(x.data * 2), 0.0),
    "no_grad": (lambda x: x * mg.no_grad()(float)(x), 2.0),
    "a mask": (lambda x: mg.where(x > 1, x * x, 0.0), 4.0),
    "rounding": (lambda x: x * mg.floor(x), 2.0),
    "np.round": (lambda x: (x * np.round(x)).sum(), 2.0),
    "np.zeros_like": (lambda x: (x + np.zeros_like(x)).sum(), 1.0),
    "indices of data": (lambda x: (x * mg.tensor([1.0, 5.0])[np.argmax([x.data, 3.0])]).sum(), 5.0),
    "a look at another tensor, and a number": (lambda x: W.item(), 0.0),
    "a thread's own numbers": (lambda x: x * elsewhere(lambda: float(W * W)), 9.0),
    "a constant": (lambda x: mg.tensor(3.0), 0.0),
    "a number": (lambda x: 3.0, 0.0),
    "a closed-over parameter": (lambda x: x * float(W), 3.0),
    "what is made of one": (lambda x: x * float(W * W), 9.0),
    "a primitive without rules of another tensor": (lambda x: x * RULELESS(W), float(np.sinh(3.0))),
    "an inner transform of a constant": (lambda x: x * float(mg.grad(lambda y: y * y)(3.0)), 6.0),
}


@pytest.mark.parametrize(("f", "slope"), RIGHT.values(), ids=RIGHT)
def test_explicit_constants_and_looks_are_allowed(f: Any, slope: float) -> None:
    assert mg.grad(f)(2.0).item() == pytest.approx(slope)


def test_aux_may_be_anything() -> None:
    (_, aux), g = mg.value_and_grad(lambda x: (x * x, x.item()), has_aux=True)(2.0)
    assert (aux, g.item()) == (2.0, 4.0)


def test_has_aux_without_a_pair_is_refused() -> None:
    with pytest.raises(TypeError, match=r"\(scalar, aux\)"):
        mg.value_and_grad(lambda x: x * x, has_aux=True)(2.0)


def test_outside_of_transforms_numbers_come_out_as_ever() -> None:
    loss = (W * W).sum()
    assert (float(loss), int(loss), round(loss), complex(loss)) == (9.0, 9, 9, 9 + 0j)
    assert float(mg.vjp(lambda x: x * W, 2.0)[0]) == 6.0
    assert isinstance(RULELESS(W), np.floating)
    assert isinstance(copy.deepcopy(loss), Tensor)


def test_a_failed_transform_leaves_nothing_behind() -> None:
    with pytest.raises(ZeroDivisionError):
        mg.grad(lambda x: x * (1 // 0))(2.0)
    assert float(W * W) == 9.0


# --- the first argument ----------------------------------------------------------------------------------------------

CALLS = {
    "grad": lambda loss: mg.grad(loss, W),
    "value_and_grad": lambda loss: mg.value_and_grad(loss),
    "vjp": lambda loss: mg.vjp(loss, W),
    "jvp": lambda loss: mg.jvp(loss, (W,), (W,)),
    "jacobian": lambda loss: mg.jacobian(loss),
    "hessian": lambda loss: mg.hessian(loss),
    "hvp": lambda loss: mg.hvp(loss, (W,), (W,)),
}


@pytest.mark.parametrize(("name", "call"), CALLS.items(), ids=CALLS)
def test_a_loss_in_place_of_a_function_is_refused_and_backward_is_named(name: str, call: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{name}: .*loss\.backward\(\)"):
        call(W * W)


@pytest.mark.parametrize("wrapper", [mg.compile, mg.checkpoint], ids=["compile", "checkpoint"])
def test_what_is_no_function_is_neither_compiled_nor_checkpointed(wrapper: Any) -> None:
    with pytest.raises(TypeError, match="must be a function, got Tensor"):
        wrapper(W)


def test_an_argument_in_place_of_its_position_is_refused() -> None:
    with pytest.raises(TypeError, match=r"argnums.*mg\.grad\(f\)\(x\)"):
        mg.grad(lambda x: x.sum(), X)  # type: ignore[arg-type]


def test_a_refusal_within_a_function_of_numpy_names_the_line_that_calls_it() -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match=r"np\.asarray\(t\) at \S*test_cuts\.py:\d+ in test_a_refusal_within"):
        np.testing.assert_array_equal(x, np.ones(2))
