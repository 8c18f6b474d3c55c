"""The arguments that the checkers share: which are allowed, what they mean, and how a report repeats them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from ..messages import check_operand
from ..tree import tree_leaves
from .problem import Options
from .recorded import dtype_of, holds_numbers, kind_of, paths

__tracebackhide__ = True  # pytest leaves this page's frames out of its report


def options_of(
    order: int = 1,
    rtol: float = 1e-6,
    atol: float = 0.0,
    eps: float | None = None,
    mode: str = "auto",
    on_kink: str = "raise",
    copies: bool = True,
) -> Options:
    """The options of a check, if it can fail with them."""
    for name, value, known in (
        ("mode", mode, ("auto", "full", "project")),
        ("on_kink", on_kink, ("raise", "reject", "subgradient")),
    ):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")
    if not is_whole(order) or order < 1:
        raise ValueError(f"order must be an integer of at least 1, got {order!r}")
    for what, number in (("rtol", rtol), ("atol", atol), ("eps", 1.0 if eps is None else eps)):
        check_number(what, number)
    if not 0 <= rtol < 1:
        raise ValueError(
            f"rtol must be at least 0 and below 1, got {rtol!r}: a gradient of zeros would be close enough"
        )
    if not 0 <= atol < math.inf:
        raise ValueError(f"atol must be a finite number of at least 0, got {atol!r}")
    if eps is not None and not 0 < eps < math.inf:
        raise ValueError(f"eps must be a positive number, got {eps!r}")
    check_flag("copies", copies)
    return Options(rtol, atol, eps, mode, on_kink, bool(copies))


def generator(seed: Any) -> np.random.Generator:
    """What a checker draws from; TypeError or ValueError for what is no seed."""
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise type(error)(f"seed must be an integer of at least 0, got {seed!r}") from None


def check_flag(name: str, value: Any) -> None:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")


def check_number(name: str, value: Any) -> None:
    if isinstance(value, (bool, str)) or np.ndim(value) or np.asarray(value).dtype.kind not in "iuf":
        raise TypeError(f"{name} must be a number, got {value!r}")


def check_gap(name: str, gap: Any) -> None:
    """Raise for what keeps no distance: with it a test at kinks or ties would look like one away from them."""
    check_number(f"{name}: gap", gap)
    if not 0 < gap < math.inf:
        raise ValueError(f"{name}: gap must be a positive number, got {gap!r}")


def chosen_inputs(name: str, inputs: Sequence[Any], wrt: Sequence[int] | None) -> list[int]:
    """The positions of the inputs to differentiate, all of them by default.

    Raises:
        TypeError: for an input that the checker would read as something else, or leave out without a word.
    """
    for k, x in enumerate(inputs):
        for leaf in tree_leaves(x):
            check_operand(f"{name}: input {k}", leaf)
    if wrt is not None and not (isinstance(wrt, Sequence) and all(map(is_whole, wrt))):
        raise TypeError(f"{name}: wrt must be a sequence of positions of inputs, as (0,), got {wrt!r}")
    chosen = list(range(len(inputs)) if wrt is None else wrt)
    if not chosen:
        what = "there is no input" if wrt is None else "wrt chooses no input"
        raise TypeError(f"{name}: {what}, so there is nothing to differentiate")
    for k in chosen:
        if not -len(inputs) <= k < len(inputs):
            raise ValueError(f"{name}: wrt names input {k}, there are {len(inputs)}")
    positions = sorted({k % len(inputs) for k in chosen})
    for k in positions:
        for leaf, path in zip(tree_leaves(inputs[k]), paths(inputs[k])):
            if dtype_of(leaf).kind == "c":
                raise TypeError(f"{name}: input {k}{path} is complex; pass real and imaginary part")
            if dtype_of(leaf).kind not in "fiub" and holds_numbers(leaf):
                raise TypeError(
                    f"{name}: input {k}{path} is {kind_of(leaf)} that holds floating-point numbers, which would not be "
                    "differentiated: pass an array, or a tuple, list or dict of arrays; or choose the other inputs by "
                    "wrt="
                )
    return positions


def is_whole(k: Any) -> bool:
    return isinstance(k, (int, np.integer)) and not isinstance(k, bool)


def own_dtype(x: Any) -> np.dtype:
    own = dtype_of(x)
    return own if own.itemsize < 8 else np.dtype(np.float64)


def changed(options: Options, **others: tuple[Any, Any]) -> dict[str, Any]:
    """The options that are not the default, and of others, (value, default), those that are not."""
    mine = {name: value for name, value in options._asdict().items() if value != Options._field_defaults[name]}
    return mine | {name: value for name, (value, default) in others.items() if value != default}


def reject() -> NoReturn:
    import hypothesis  # an optional extra

    hypothesis.reject()
