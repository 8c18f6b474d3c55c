"""functional_call with the compiler, checkpoints, threads, and who looks at the record."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from textbook import drawn, own, randomised

import minigrad as mg
import nn
from minigrad.testing import check_grad

XS = np.random.default_rng(0).standard_normal((3, 2, 2))


class InParts(nn.Module):
    """Has a checkpoint of its own, which reads the weights again at backward."""

    def __init__(self) -> None:
        self.linear = nn.Linear(2, 2, rng=0, dtype=float)

    def forward(self, x: Any) -> Any:
        return mg.checkpoint(lambda x: mg.tanh(self.linear(x)))(x)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("x", [XS, mg.tensor(XS, requires_grad=True)], ids=["plain", "differentiated"])
def test_a_users_checkpoint_that_would_read_other_weights_later_is_refused(x: Any, frozen: bool) -> None:
    module = InParts()
    values = {name: p.data for name, p in module.named_parameters()}  # the same values: only their record tells
    module.freeze(frozen)
    with pytest.raises(RuntimeError, match="used other tensors than the first time; pass what is replaced"):
        mg.grad(lambda p: nn.functional_call(module, p, x).sum())(values)


def test_compiled_it_gives_the_same_and_sees_when_training_ends() -> None:
    net = nn.Sequential(nn.Linear(2, 3, rng=0, dtype=float), nn.Dropout(0.5, 0))
    f = mg.compile(lambda p, x: mg.grad(lambda p: nn.functional_call(net, p, x).sum())(p))
    f(drawn(net), XS)
    net.eval()
    for seed in (1, 2):
        expected = mg.grad(lambda p: nn.functional_call(net, p, XS).sum())(drawn(net, seed))
        for name, g in f(drawn(net, seed), XS).items():
            np.testing.assert_array_equal(g.data, expected[name].data)


def test_parts_under_checkpoint_keep_their_weights_inside_of_another_call() -> None:
    net = nn.RNN(2, 3, rng=0, dtype=float, checkpoint=2)
    whole = nn.RNN(2, 3, rng=0, dtype=float)
    given, expected = ({name: mg.tensor(a, None, True) for name, a in drawn(net).items()} for _ in range(2))
    (nn.functional_call(whole, expected, XS)[0] ** 2).sum().backward()
    loss = (nn.functional_call(net, given, XS)[0] ** 2).sum()

    def backward_first(x: Any) -> Any:
        loss.backward()
        return x

    outer = nn.Sequential(backward_first, net)
    nn.functional_call(outer, drawn(outer, 7), XS)
    for name, p in expected.items():
        np.testing.assert_allclose(given[name].grad, p.grad, rtol=1e-12)


class Compiled(nn.Module):
    """A compiled function reads the weights."""

    def __init__(self) -> None:
        self.linear = nn.Linear(2, 2, rng=0, dtype=float)
        self.run = mg.compile(lambda x: mg.tanh(self.linear(x)).sum())

    def forward(self, x: Any) -> Any:
        return self.run(x)


def test_a_compiled_function_in_a_module_reads_what_is_given() -> None:
    module = Compiled()
    before, values = module(XS), drawn(module)
    check_grad(lambda p: nn.functional_call(module, p, XS), values)
    value, slopes = mg.value_and_grad(lambda p: nn.functional_call(module, p, XS))(values)
    y = np.tanh(XS @ values["linear.W"] + values["linear.b"])
    np.testing.assert_allclose(value.data, y.sum(), rtol=1e-12)
    np.testing.assert_allclose(slopes["linear.b"].data, (1 - y * y).sum(axis=(0, 1)), rtol=1e-12)
    np.testing.assert_array_equal(module(XS).data, before.data)


def test_another_thread_is_refused_while_a_module_holds_other_weights() -> None:
    shared = nn.Linear(2, 2, rng=0)
    started, done, errors = threading.Event(), threading.Event(), []

    def waiting(x: Any) -> Any:
        started.set()
        assert done.wait(10)
        return x

    def within() -> None:
        outer = nn.Sequential(shared, waiting)
        nn.functional_call(outer, own(outer), XS)

    thread = threading.Thread(target=within)
    thread.start()
    assert started.wait(10)
    try:
        nn.functional_call(shared, own(shared), XS)
    except RuntimeError as error:
        errors.append(str(error))
    nn.functional_call(nn.Linear(2, 2, rng=0), own(shared), XS)  # another module
    done.set()
    thread.join()
    assert errors
    assert "another thread is inside a functional_call of this Linear, or of a part of it" in errors[0]
    assert "copy.deepcopy(module)" in errors[0]
    nn.functional_call(shared, own(shared), XS)


def test_explain_finds_the_parameters_by_their_names() -> None:
    net = randomised(nn.RNN(2, 3, rng=0, dtype=float))
    explanation = mg.explain(lambda p: (nn.functional_call(net, p, XS)[0] ** 2).sum(), drawn(net))
    expected = mg.grad(lambda p: (nn.functional_call(net, p, XS)[0] ** 2).sum())(drawn(net))
    np.testing.assert_allclose(explanation.gradients["cells.0.W"], expected["cells.0.W"].data, rtol=1e-12)
