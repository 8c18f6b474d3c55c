"""The arguments that the checkers share: which are allowed, what they mean, and how a report repeats them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from .problem import Options
from .recorded import dtype_of


def options_of(rtol: float, atol: float, eps: float | None, mode: str, on_kink: str, order: int = 1) -> Options:
    for name, value, known in (
        ("mode", mode, ("auto", "full", "project")),
        ("on_kink", on_kink, ("raise", "reject", "subgradient")),
    ):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")
    if order < 1:
        raise ValueError(f"order must be at least 1, got {order}")
    return Options(rtol, atol, eps, mode, on_kink)


def chosen_inputs(name: str, inputs: Sequence[Any], wrt: Sequence[int] | None) -> list[int]:
    chosen = list(range(len(inputs)) if wrt is None else wrt)
    for k in chosen:
        if not -len(inputs) <= k < len(inputs):
            raise ValueError(f"{name}: wrt names input {k}, there are {len(inputs)}")
    return sorted({k % len(inputs) for k in chosen})


def own_dtype(x: Any) -> np.dtype:
    own = dtype_of(x)
    return own if own.itemsize < 8 else np.dtype(np.float64)


def shown(**values: tuple[Any, Any]) -> str:
    return "".join(f", {name}={value!r}" for name, (value, default) in values.items() if value != default)


def reject() -> NoReturn:
    import hypothesis  # an optional extra

    hypothesis.reject()
