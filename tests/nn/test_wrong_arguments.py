"""Arguments of the wrong kind: refused by the name of the argument, with its value, before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn

X = np.ones((4, 2, 3))
LOGITS = mg.tensor(np.zeros((3, 4)), requires_grad=True)
WRONG: dict[str, list[Any]] = {
    "an integer": [True, 2.0, "2", None, math.nan, 1.5, [1], 1j],
    "a number": [True, "2", None, math.nan, [1.0], 1j, mg.tensor(1.0)],
    "True or False": ["no", None, 1, 0.0],
    "dtype": [int, bool, complex, "2", object],
    "rng": ["2", 1.5, -1, {}],
}
CONSTRUCTORS: list[tuple[str, str, Callable[..., Any]]] = [
    *[("an integer", name, lambda **k: nn.Linear(**({"I": 3, "O": 2} | k))) for name in ("I", "O")],
    *[("an integer", name, lambda **k: nn.LSTMCell(**({"I": 3, "H": 2} | k))) for name in ("I", "H")],
    ("an integer", "num_layers", lambda **k: nn.GRU(3, 2, **k)),
    ("an integer", "V", lambda **k: nn.Embedding(O=2, **k)),
    ("a number", "forget_bias", lambda **k: nn.LSTMCell(3, 2, **k)),
    ("a number", "dropout", lambda **k: nn.LSTM(3, 2, num_layers=2, **k)),
    ("a number", "recurrent_dropout", lambda **k: nn.LSTM(3, 2, **k)),
    ("a number", "p", lambda **k: nn.Dropout(**k)),
    ("a number", "eps", lambda **k: nn.LayerNorm(3, **k)),
    ("a number", "radius", lambda **k: nn.EchoStateCell(3, 2, **k)),
    ("a number", "scale", lambda **k: nn.IRNNCell(3, 2, **k)),
    *[("True or False", name, lambda **k: nn.LSTM(3, 2, **k)) for name in ("bias", "bidirectional", "reverse")],
    ("dtype", "dtype", lambda **k: nn.Linear(3, 2, **k)),
    ("rng", "rng", lambda **k: nn.Linear(3, 2, **k)),
]


@pytest.mark.parametrize(("kind", "name", "make"), CONSTRUCTORS)
def test_a_constructor_refuses_what_its_annotations_do_not_allow(kind: str, name: str, make: Any) -> None:
    for value in WRONG[kind]:
        if name == "rng" and value is None:
            continue
        with pytest.raises((TypeError, ValueError), match=rf"^\w+: {name} must .*, got ") as caught:
            make(**{name: value})
        assert repr(value) in str(caught.value)


def test_arguments_by_position_are_looked_at_as_well() -> None:
    with pytest.raises(TypeError, match=r"Linear: O must be an integer, got 2\.5"):
        nn.Linear(3, 2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"LSTMCell: H must be at least 1, got 0"):
        nn.LSTMCell(3, 0)


def test_numbers_of_numpy_are_as_good_as_pythons() -> None:
    net = nn.LSTM(np.int64(3), np.array(2), num_layers=np.int32(2), dropout=np.float32(0.5), bidirectional=np.True_)
    assert net(X)[0].shape == (4, 2, 4)


def of_a_schedule(name: str, value: Any) -> Any:
    return nn.cosine_decay(**({"lr": 0.1, "total": 5} | {name: value}))


def drawn(tokens: Any = (1,), length: Any = 2, **options: Any) -> Any:
    return nn.sample(lambda x, s: (np.zeros((1, 3)), s), tokens, length, **options)


def found(**options: Any) -> Any:
    return nn.beam_search(lambda x, s: (np.zeros((len(x), 3)), s), 0, 2, 2, **options)


def weighted(w: Any) -> Any:
    return nn.binary_cross_entropy_with_logits(LOGITS, np.ones((3, 4)), pos_weight=w)


LABELS = [0, 1, 2]
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
    "ignore_index": (lambda v: nn.cross_entropy(LOGITS, LABELS, ignore_index=v), [math.nan, 1.5, [1], True, 1j, "1"]),
    "pos_weight": (weighted, ["2", 1j, [None] * 4]),
    "weight": (lambda v: nn.cross_entropy(LOGITS, LABELS, weight=v), ["1234", [None] * 4, 1j]),
    "max_norm": (lambda v: nn.clip_grad_norm([LOGITS], v), ["2", None, math.nan, -1.0, [1.0], True, mg.tensor(1.0)]),
    "temperature": (lambda v: drawn(temperature=v), [math.nan, math.inf, "1", None]),
    "top_k": (lambda v: drawn(top_k=v), [1.5, "1", True, 0]),
    "length": (lambda v: drawn(length=v), [-1, 1.5, "2", None]),
    "tokens": (lambda v: drawn(v), [[1.0], ["a"], 1, [[1]]]),
    "end": (lambda v: found(end=v), ["2", 1.5, math.nan]),
    "length_penalty": (lambda v: found(length_penalty=v), ["2", math.nan, None]),
    "total": (lambda v: of_a_schedule("total", v), ["5", None, math.nan, mg.tensor(5.0)]),
    "final": (lambda v: of_a_schedule("final", v), ["5", None, math.nan, -1.0, 1j]),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_refuses_what_is_no_value_of_its_argument(name: str) -> None:
    call, values = FUNCTIONS[name]
    LOGITS.grad = np.ones((3, 4))
    for value in values:
        with pytest.raises((TypeError, ValueError), match=f"{name}|must be real numbers"):
            call(value)
