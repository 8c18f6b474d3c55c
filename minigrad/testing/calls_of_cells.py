"""Calls of a user's cell: with what it takes, and with errors that say what was called and with what."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from ..messages import describe, same_kind
from ..record import Variable
from ..tree import tree_leaves

__tracebackhide__ = True  # pytest leaves this page's frames out of its report


def described(y: Any) -> str:
    """What a thing is, for messages: `a Tensor of shape (2, 3) and dtype float32`, `a tuple of 2`, `None`."""
    if isinstance(y, (np.ndarray, np.generic, Variable)):
        kind = "an array" if isinstance(y, np.ndarray) else f"a {type(y).__name__}"
        data = y._array if isinstance(y, Variable) else y
        return f"{kind} of shape {data.shape} and dtype {data.dtype}"
    if isinstance(y, dict):
        return f"a dict with the keys {list(y)}"
    if isinstance(y, (tuple, list)):
        return f"a {type(y).__name__} of {len(y)}"
    return "None" if y is None else f"a {type(y).__name__}"


def shown(tree: Any) -> str:
    """A tree with the shape and dtype of each leaf."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key!r}: {shown(part)}" for key, part in tree.items()) + "}"
    if isinstance(tree, (tuple, list)):
        inside = ", ".join(map(shown, tree))
        return f"[{inside}]" if isinstance(tree, list) else f"({inside}{',' * (len(tree) == 1)})"
    return describe(tree)


def step_of(made: Any) -> Callable[..., Any]:
    """The function (x, state) of a cell: its `step`, or the cell itself."""
    step: Callable[..., Any] = made.step if hasattr(made, "step") else made
    return step


def takes_time(f: Callable[..., Any]) -> bool:
    """Whether a function has a parameter t beside its first two, x and the state."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):  # a function in C may have no signature
        return False
    return "t" in [p.name for k, p in enumerate(parameters) if k >= 2 or p.kind is p.KEYWORD_ONLY]


def check_signature(name: str, made: Any) -> None:
    """Raise TypeError for a step that cannot be called with an x and a state alone, or with these and t."""
    f = step_of(made)
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(None, None, **({"t": 0} if takes_time(f) else {}))
    except TypeError as error:
        raise TypeError(
            f"{name}a step is called as step(x, state), and as step(x, state, t=...) if it has a parameter t; this one "
            f"is step{signature}: {error}. A further argument must be bound where the cell is made: an attribute of "
            "self, or lambda I, H: functools.partial(f, scale=2.0)"
        ) from None


def call(
    name: str, what: str, f: Callable[..., Any], given: dict[str, Any], t: int | None = None, hint: str = ""
) -> Any:
    """`f` of the values of `given` and of t; what it raises says what was called, `what`, and with which arguments."""
    time = {} if t is None else {"t": t}
    try:
        return f(*given.values(), **time)
    except Exception as error:
        _raised(error, name, what, {**given, **time}, hint)


def _raised(error: Exception, name: str, what: str, given: dict[str, Any], hint: str) -> NoReturn:
    arguments = ", ".join(f"{key} = {shown(value)}" for key, value in given.items())
    called = f"{what} raised {type(error).__name__}"
    if not isinstance(error, (TypeError, ValueError, LookupError, AttributeError)):
        hint = ""  # it is not about what the cell was given
    if type(error).__module__.split(".")[0] not in ("builtins", "numpy"):  # hypothesis' own, say, which others wait for
        error.add_note(f"{name}{called}, called with {arguments}{hint}")
        raise error
    raise same_kind(error, f"{name}{called}: {error}\n  called with {arguments}{hint}") from error


def check_times(name: str, projected: Any, T: int) -> None:
    """Raise TypeError for what `project` returned, unless all of it has T along the first axis."""
    leaves = tree_leaves(projected)
    if not leaves or any(np.shape(leaf)[:1] != (T,) for leaf in leaves):
        missing = "; is a `return` missing?" if projected is None else ""
        raise TypeError(
            f"{name}project(xs) must return what has the {T} times of xs along its first axis, as step(x, state) gets "
            f"its x from there; it returned {shown(projected)}{missing}"
        )
