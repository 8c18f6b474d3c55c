"""compile: what is refused, with the line and a remedy, because a program would silently be another function."""

from __future__ import annotations

import copy
import functools
import random
import statistics
import threading
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad import Tensor

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])


def leaf(x: Any, dtype: Any = float) -> Tensor:
    return mg.tensor(x, dtype=dtype, requires_grad=True)


def same(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b), strict=True)


# --- what is refused while tracing -----------------------------------------------------------------------------------

LOOKS = {
    "if t": lambda t: t if t.sum() > 0 else -t,
    "float(t)": lambda t: t * float(t.sum()),
    "int(t)": lambda t: t * int(t.sum()),
    "t.item()": lambda t: t * t.sum().item(),
    "t.data": lambda t: t * t.data,
    "np.asarray(t)": lambda t: t * np.asarray(t),
    "value in t": lambda t: t * (1.0 in t),
    "format(t)": lambda t: f"{t.sum():.3f}",
    "np.allclose(t)": lambda t: np.allclose(t, 1.0),
    "t[mask]": lambda t: t[t > 0],
    "t[mask], in a tuple": lambda t: t[t[:, 0] > 0, 1],
}


@pytest.mark.parametrize("name", LOOKS)
@pytest.mark.parametrize("kind", [mg.tensor, leaf, np.array], ids=["tensor", "leaf", "array"])
def test_a_look_at_values_is_refused_with_the_line_and_a_remedy(name: str, kind: Any) -> None:
    with pytest.raises(TypeError) as error:
        mg.compile(LOOKS[name])(kind(X))
    assert f"compile: `{name.split(',')[0]}`" in str(error.value)
    assert "test_program_refusals.py:" in str(error.value)
    assert "mg.where" in str(error.value)


def test_a_copy_by_another_module_is_refused() -> None:
    with pytest.raises(TypeError, match="copying t"):
        mg.compile(lambda x: copy.copy(x))(X)


def test_a_look_at_the_values_of_a_closed_over_parameter_is_refused() -> None:
    w = leaf(X)
    for f in (lambda x: x * w.data, lambda x: x * float(w.sum()), lambda x: x if w.sum() > 0 else -x):
        with pytest.raises(TypeError, match=r"test_program_refusals\.py"):
            mg.compile(f)(X)


def test_an_update_of_parameters_inside_is_refused() -> None:
    w = leaf(X)

    def assign(x: Any) -> None:
        w.data = X * 2

    for f in (assign, lambda x: w.writable()):
        with pytest.raises(TypeError, match="outside"):
            mg.compile(f)(X)
    same(w.data, X)


def test_an_old_gradient_read_inside_is_refused() -> None:
    w = leaf(X)
    with pytest.raises(TypeError, match=r"t\.grad"):
        mg.compile(lambda x: x * w.grad)(X)


def test_an_error_while_tracing_leaves_generators_and_modes_as_they_were() -> None:
    rng = np.random.default_rng(0)

    def f(x: Any) -> Any:
        return mg.sample(rng.random, (3,)) * float(x.sum())

    with pytest.raises(TypeError):
        mg.compile(f)(X)
    assert rng.random() == np.random.default_rng(0).random()
    assert float(mg.tensor(2.0)) == 2.0


def test_a_tensor_that_leaks_out_of_the_trace_is_unusable() -> None:
    kept = []
    f = mg.compile(lambda x: kept.append(mg.tanh(x)) or x)
    f(X)
    for use in (lambda t: t + 1, lambda t: mg.tanh(t), lambda t: t.data, lambda t: t[0], lambda t: t.shape,
                mg.compile(lambda t: t), lambda t: mg.compile(lambda x: (x, t))(X)):  # fmt: skip
        with pytest.raises(RuntimeError, match="kept from inside"):
            use(kept[0])


def test_an_argument_that_cannot_be_compared_is_refused() -> None:
    with pytest.raises(TypeError, match="set"):
        mg.compile(lambda x: X)({1, 2})


async def doubled(x: Any) -> Any:
    return x * 2


ONCE = {"generator": lambda x: (y for y in x), "map": lambda x: map(mg.tanh, [x]), "coroutine": doubled}


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize("f", ONCE.values(), ids=ONCE)
def test_a_result_that_runs_once_and_later_is_refused(f: Any) -> None:
    with pytest.raises(TypeError, match=r"compile: the function returned .*, which runs once .*; return a tuple"):
        mg.compile(f)(X)


CHANGING: dict[str, Any] = {
    "a new key": lambda x, d, rows: d.update(h=x),
    "a key that is gone": lambda x, d, rows: d.pop("a"),
    "another key": lambda x, d, rows: d.update(c=d.pop("a")),
    "a part of a part": lambda x, d, rows: d["b"].append(x),
    "an entry": lambda x, d, rows: rows.__setitem__(0, x * 2),
    "an order": lambda x, d, rows: rows.reverse(),
    "one less": lambda x, d, rows: rows.pop(),
    "in place": lambda x, d, rows: rows.__iadd__([x]),
}


@pytest.mark.parametrize("change", CHANGING.values(), ids=CHANGING)
def test_a_change_of_a_list_or_dict_among_the_arguments_is_refused_since_it_would_be_lost(change: Any) -> None:
    f = mg.compile(lambda x, d, *, rows: (change(x, d, rows), x * 2)[1])
    with pytest.raises(TypeError, match="compile: the function changes an entry of an argument, a list or dict"):
        f(X, {"a": 1.0, "b": [X]}, rows=[X, -X])
    same = mg.compile(lambda x, *more, **named: x * dict(named, c=1)["a"] * [*more, 3][0] * named.pop("a"))
    assert np.array_equal(same(X, 2.0, a=3.0), 18 * X)  # those that the call itself makes


OBJECTS = np.array([1.5, None], dtype=object)


@pytest.mark.parametrize(
    "call",
    [lambda: mg.compile(lambda x: X)(OBJECTS), lambda: mg.compile(lambda x: x)(np.zeros(2, [("a", "O")])),
     lambda: mg.compile(lambda x: x[0] * OBJECTS)(X), lambda: mg.traced(mg.tanh, [OBJECTS])],
    ids=["an argument", "a field", "closed over", "traced"],
)  # fmt: skip
def test_pythons_objects_are_refused_since_a_programs_memory_holds_numbers(call: Any) -> None:
    with pytest.raises(TypeError, match=r"\(2,\).* holds Python's objects, no real numbers; pass x.astype\(float\)"):
        call()


def test_a_result_of_another_shape_than_traced_is_refused() -> None:
    odd = mg.primitive(lambda x: x[: int(x[0])] + 1, name="odd")
    f = mg.compile(lambda x: odd(x) * 1)
    f(np.array([2.0, 1.0, 1.0]))
    with pytest.raises(RuntimeError, match="shape"):
        f(np.array([1.0, 1.0, 1.0]))


REPLAYED = {  # what raises in a later call alone, as in a plain run
    "rows": lambda x, i: x[i] * 2,
    "entries": lambda x, i: x[i, i],
    "a row": lambda x, i: x[i[0]],
    "along an axis": lambda x, i: mg.take_along_axis(x, i[:, None], 0),
    "backwards": lambda x, i: mg.grad(lambda x: mg.sum(x[i] ** 2))(x),
}


@pytest.mark.parametrize("f", REPLAYED.values(), ids=REPLAYED)
def test_an_index_out_of_range_is_told_by_a_replay_as_by_a_plain_run(f: Any) -> None:
    compiled = mg.compile(f)
    compiled(X, np.array([0, 1]))
    with pytest.raises(
        IndexError, match=r"(?s)^getitem: \(2, \d\) float64 and .* index 7 is out of bounds for axis 0 with"
    ):
        compiled(X, np.array([7, 1]))
    np.testing.assert_array_equal(compiled(X, np.array([1, 0])), np.asarray(f(mg.tensor(X), np.array([1, 0]))))


def test_an_index_out_of_range_in_a_loop_names_the_calls_of_the_loop() -> None:
    def f(x: Any, i: Any) -> Any:
        for t in range(150):
            x = mg.tanh(x[i[t]] + x)
        return x

    compiled, i = mg.compile(f), np.zeros((150, 2), int)
    compiled(X, i)
    i[100, 1] = 9
    with pytest.raises(IndexError, match=r"getitem.*: index 9 is out of bounds"):
        compiled(X, i)


def test_values_are_checked_at_every_call() -> None:
    layer = nn.Linear(4, 2, rng=0)
    f = mg.compile(lambda ids, y: nn.cross_entropy(layer(ids), y))
    f(np.array([0, 3]), np.array([0, 1]))
    with pytest.raises(ValueError, match=r"0 \.\.\. 3"):
        f(np.array([0, 4]), np.array([0, 1]))
    with pytest.raises(ValueError, match=r"0 \.\.\. 1"):
        f(np.array([0, 3]), np.array([-1, 1]))


def test_the_users_line_is_named_where_one_of_pythons_modules_looks() -> None:
    f = mg.compile(lambda x: statistics.fmean([x, x]))
    with pytest.raises(TypeError, match=r"looks at values at .*test_program_refusals\.py:\d+ in <lambda>"):
        f(mg.tensor(2.0))


def test_a_tensor_that_comes_in_twice_is_refused_where_its_gradient_is_reset() -> None:
    w, v = leaf(X), leaf(X)

    def step(a: Any, b: Any) -> None:
        a.grad = b.grad = None
        mg.sum(a * b * w).backward()

    f = mg.compile(step)
    f(v, leaf(X))
    with pytest.raises(RuntimeError, match=r"\.grad of a tensor of shape \(\d.* twice"):
        f(v, v)
    with pytest.raises(RuntimeError, match="closes over"):
        f(v, w)
    g = mg.compile(lambda a, b: mg.sum(a * b * w).backward())  # what only adds is right
    v.grad = w.grad = None
    g(v, w)
    np.testing.assert_allclose(w.grad, 2 * X**2)


GENERATOR = np.random.default_rng(0)


class Noisy:
    def __init__(self) -> None:
        self.parts = [{"rng": np.random.default_rng(0)}]

    def __call__(self, x: Any) -> Any:
        return x + self.parts[0]["rng"].random()


class Layered:
    rng = np.random.default_rng(0)

    def __call__(self, x: Any) -> Any:
        return x + self.rng.random()


class Property:
    @property
    def drawn(self) -> float:
        return noise()


def noise() -> float:
    return GENERATOR.random()


def by_default(x: Any, rng: Any = np.random.default_rng(0)) -> Any:  # noqa: B008
    return x + rng.random()


def by_keyword(x: Any, *, rng: Any = np.random.default_rng(0)) -> Any:  # noqa: B008
    return x + rng.random()


def closing_over(rng: Any) -> Any:
    return lambda x: x * rng.standard_normal()


def closing_over_a_method(draw: Any) -> Any:
    return lambda x: x * draw()


DRAWS: dict[str, tuple[Any, ...]] = {
    "a generator that it closes over": (closing_over(np.random.default_rng(0)),),
    "within a transform": (mg.grad(closing_over(np.random.default_rng(0))),),
    "by a function that it calls": (lambda x: x + noise(),),
    "an argument": (lambda x, rng: x + rng.random(), np.random.default_rng(0)),
    "an object's": (Noisy().__call__,),
    "of its class": (Layered().__call__,),
    "by a property of an argument": (lambda x, of: x + of.drawn, Property()),
    "a default": (by_default,),
    "a default by name": (by_keyword,),
    "an argument that is given already": (
        functools.partial(lambda rng, x: x + rng.random(), np.random.default_rng(0)),
    ),
    "in a function within": (lambda x: (lambda: x + GENERATOR.random())(),),
    "by a method of Python's": (closing_over_a_method(random.Random(0).random),),
    "one of NumPy's older kind": (closing_over(np.random.RandomState(0)),),
    "Python's": (lambda x: x * random.random(),),
    "NumPy's": (lambda x: x * np.random.rand(),),
}


@pytest.mark.parametrize(("f", "given"), [(f, given) for f, *given in DRAWS.values()], ids=DRAWS)
def test_numbers_that_a_function_draws_by_itself_are_refused_since_they_would_be_constants(
    f: Any, given: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 1)  # whoever runs the tests may have some
    with pytest.raises(TypeError, match=r"compile: .* draws random numbers, .* write mg\.sample\(rng\.random, shape\)"):
        mg.compile(f)(0.5, *given)
    with pytest.raises(TypeError, match="draws random numbers"):
        mg.traced(f, np.float64(0.5), *given)


def test_what_draws_is_named_by_its_function_or_class() -> None:
    rng = np.random.default_rng(0)
    for f in (functools.partial(functools.partial(lambda x, rng: x + rng.random()), rng=rng), Noisy(), Layered()):
        name = type(f).__name__ if not isinstance(f, functools.partial) else rf"<lambda> \({__file__}:\d+\)"
        with pytest.raises(TypeError, match=f"^compile: {name} draws random numbers"):
            mg.compile(f)(0.5)


def test_a_generator_that_is_drawn_from_by_sample_or_not_at_all_is_not_in_the_way() -> None:
    rng, other = np.random.default_rng(0), np.random.default_rng(1)
    f = mg.compile(lambda x: x * mg.sample(rng.random, ()) if other is not rng else x)
    assert [f(np.array(1.0)).item() for _ in range(3)] == np.random.default_rng(0).random(3).tolist()


@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState, random.Random])
def test_what_sample_draws_from_any_generator_goes_on_from_call_to_call(make: Any) -> None:
    rng, alike = make(0), make(0)
    draw = {random.Random: "random"}.get(make, "standard_normal")
    f = mg.compile(lambda x: x * mg.sample(getattr(rng, draw)))
    assert [f(np.array(1.0)).item() for _ in range(3)] == [getattr(alike, draw)() for _ in range(3)]


def test_another_thread_may_draw_from_what_all_share_while_a_function_is_traced() -> None:
    drawn, traced = threading.Event(), threading.Event()

    def elsewhere() -> None:
        traced.wait()
        random.random()
        drawn.set()

    def f(x: Any) -> Any:
        traced.set()
        drawn.wait()
        return x * 2.0

    thread = threading.Thread(target=elsewhere)
    thread.start()
    assert mg.compile(f)(np.array(1.0)).item() == 2.0
    thread.join()
