"""What the record notes for someone who looks at it: lines of source, all values, modules, time steps and names.

Nothing is noted unless a `record_details` block (or `detect_anomaly`) is open: `scope`, `steps` and `label` then do
nothing, so layers and loops may use them freely.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

from .callers import Line, caller, line_of, user_line
from .messages import check_finite
from .modes import Mode, Switch, anomaly, innermost
from .record import Variable
from .tree import flatten, tree_leaves

X = TypeVar("X")


detailed = Switch(default=False)
detailed.__doc__ = """Whether a `record_details` block is open: `detailed()`.

>>> with mg.record_details():
...     print(mg.detailed())
True
>>> mg.detailed()
False
"""


class record_details(Mode):
    """Note in the record what `minigrad.tape` and `minigrad.explain` can show besides: lines of source and all values.

    Of each entry that is made while this block (or function) runs, the record keeps the line of source and the
    function, the module and the time step that made it, and its value, which it otherwise keeps only if a derivative
    rule reads it. Parts under `checkpoint` are recorded whole, compiled functions run as plain Python. For looking at a
    computation: it costs some microseconds an entry. Per context, as `no_grad`.

    >>> import minigrad as mg
    >>> x = mg.tensor(0.5, requires_grad=True)
    >>> with mg.record_details():
    ...     y = mg.tanh(x + 1.0)
    >>> float(mg.tape(y)[1].value)
    1.5
    """

    switch, value = detailed, True


class Group(NamedTuple):
    """A tree of tensors that was labelled: the word for it, what its leaves are, what builds such a tree of others."""

    word: str
    keys: list[str]  # the way to each leaf: "" or ".0" or ".h"
    shapes: list[Any]  # (shape, dtype) of each leaf, None of what is no tensor
    rebuild: Any


class Label(NamedTuple):
    """What a tensor is called: the leaf number of a labelled tree, in a scope."""

    scope: Scope
    group: Group
    leaf: int

    @property
    def key(self) -> tuple[Any, ...]:
        return str(self), self.scope.step, self.leaf

    def __str__(self) -> str:
        return ".".join([part for part in (self.scope.path, self.group.word) if part])


class Scope(NamedTuple):
    """Where an entry is made: the path of scopes, and within a loop the time step of so many; remarks on how it ran."""

    path: str = ""
    step: int | None = None
    of: int = 0
    remarks: tuple[str, ...] = ()


NOWHERE = Scope()


class Origin:
    """Where an entry of the record was made: the user's line, the innermost line outside of the engine, the scope."""

    __slots__ = ("line", "inner", "scope", "labels")

    def __init__(self, line: Line | None, inner: Line | None) -> None:
        self.line, self.inner, self.scope = line, inner, _here()
        self.labels: tuple[Label, ...] = ()

    def add(self, label: Label) -> None:
        """Add a label, unless the same was given before (as to parameters, at every call of their module)."""
        if all([old.key != label.key for old in self.labels]):
            self.labels += (label,)

    def __str__(self) -> str:
        path, step, *_ = self.scope
        return f"{self.line}" + (f", {path}" if path else "") + ("" if step is None else f", step {step}")


#: The newest scope, and the block of the modes that was innermost when it was set.
_newest: ContextVar[tuple[Any, Scope]] = ContextVar("minigrad.scope", default=(None, NOWHERE))


def _here() -> Scope:
    block, here = _newest.get()
    return here if block is not None and block.open else NOWHERE  # a loop that an error left may not have cleaned up


def _go(here: Scope) -> None:
    _newest.set((innermost.get(), here))


def origin() -> Origin:
    """Where the program stands: the user's line, and the innermost one outside of minigrad, which may be one of nn."""
    return Origin(user_line(), line_of(caller({"minigrad"})))


def noted(name: str, y: Any, operands: list[Any]) -> Origin | None:
    """Where a call of the primitive `name` was made, if that is to be noted; with `detect_anomaly` y is checked."""
    if not (detailed() or anomaly()):
        return None
    made = origin()
    if anomaly():
        check_finite(f"{name}: forward value", y, operands, str(made))
    return made


@contextmanager
def _within(here: Scope) -> Iterator[None]:
    outer = _here()
    _go(here)
    try:
        yield
    finally:
        _go(outer)


_NOTHING = nullcontext()


def scope(name: str) -> AbstractContextManager[None]:
    """A block whose entries of the record carry this name, below that of the block around it: `encoder.cells.0`.

    An empty name changes nothing. It is there for who looks: outside of `record_details` it does nothing. `nn`'s
    modules open one for each part.

    >>> with mg.record_details(), mg.scope("encoder"):
    ...     y = mg.tanh(mg.tensor(0.5, requires_grad=True))
    >>> mg.tape(y)[-1].path
    'encoder'
    """
    if not name or not detailed():
        return _NOTHING
    here = _here()
    return _within(here._replace(path=f"{here.path}.{name}" if here.path else name))


def remark(text: str) -> AbstractContextManager[None]:
    """A block of whose entries a tape has something to say."""
    here = _here()
    return _within(here._replace(remarks=(*here.remarks, text)))


def steps(times: Iterable[X], start: int = 0) -> Iterable[X]:
    """The same `times`, for a loop over them: what is recorded in a turn of the loop knows that time step.

    It is the number t itself, or that of the turn if `times` are no integers, plus `start`. Outside of
    `record_details` these are `times` themselves.

    >>> import minigrad as mg
    >>> for t in mg.steps(range(3)):
    ...     pass
    """
    return _stepping(times, start) if detailed() else times


def _stepping(times: Iterable[Any], start: int) -> Iterator[Any]:
    outer = here = _here()
    of = start + len(times) if isinstance(times, Sized) else 0
    try:
        for k, t in enumerate(times):
            _go(here := outer._replace(step=start + (t if isinstance(t, int) else k), of=of))
            yield t
    finally:
        if _here() is here:  # else this ends late: an error left the loop, and the scope around it
            _go(outer)


def label(tree: Any, word: str) -> None:
    """Name a tensor, or a tree of tensors (a state), in the record: so a tape shows it, and `gradients` finds it.

    Outside of `record_details` it does nothing.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> with mg.record_details():
    ...     y = mg.tanh(x)
    ...     mg.label(y, "y")
    ...     loss = y.sum()
    >>> mg.explain(loss).gradients["y"]
    array([1., 1.])
    """
    if detailed():
        attach(tree, word, _here())


def attach(tree: Any, word: str, here: Scope) -> None:
    """Add a label to the nodes of a tree's tensors."""
    leaves, timeless = tree_leaves(tree), here._replace(step=None, of=0)
    shapes = [(x._array.shape, x._array.dtype) if isinstance(x, Variable) else None for x in leaves]
    group = Group(word, _keys(tree), shapes, flatten(tree)[1])
    for k, x in enumerate(leaves):
        if isinstance(x, Variable) and x.node is not None:
            if not hasattr(x.node, "origin"):
                x.node.origin = Origin(None, None)
            x.node.origin.add(Label(timeless if x.node.primitive is None else here, group, k))


def _keys(tree: Any) -> list[str]:
    if not isinstance(tree, (tuple, list, dict)):
        return [""]
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return [f".{key}{rest}" for key, part in pairs for rest in _keys(part)]
