"""What a recurrent cell is: one step of time, (x_t, state) -> (output_t, new state), as a class or a bare function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

import minigrad as mg

from .layers import as_input, is_integer
from .module import Module, weights_dtype

State = Any  # a Tensor, or a tuple or dict of Tensors

if TYPE_CHECKING:
    from .typed import Run


def run_of(forward: Callable[..., Any]) -> Run:
    """To a type checker, the run of cells over a sequence: outputs and final states, or states of all times as well."""
    return forward


def is_tree(x: Any) -> bool:
    """Whether x is several inputs: a dict, or a tuple of arrays, Tensors or further such trees."""
    parts = (mg.Tensor, np.ndarray, tuple, dict)
    return isinstance(x, dict) or (isinstance(x, tuple) and all([isinstance(part, parts) for part in x]))


def read_inputs(xs: Any, dtype: Any) -> Any:
    """Plain numbers as Tensors of this dtype, integers as arrays, in a tree of inputs as well."""
    return mg.tree_map(lambda x: as_input(x, dtype), xs) if is_tree(xs) else as_input(xs, dtype)


def tells_batch(parts: list[Any], axes: int) -> bool:
    """Whether one of the parts has features besides these axes, the last of which is then the batch: integers do.

    The others may have a number for each row in place of features.
    """
    return any([np.ndim(x) > axes or (np.ndim(x) == axes and is_integer(x)) for x in parts])


def _takes_time(f: Any, first: int = 2) -> bool:
    """Whether f has a parameter t beside its first ones, x and the state, whatever these are called."""
    try:
        parameters = inspect.signature(f).parameters
    except (TypeError, ValueError):  # a function in C may have no signature
        return False
    return "t" in [p.name for k, p in enumerate(parameters.values()) if k >= first or p.kind is p.KEYWORD_ONLY]


class Cell(Module):
    """One step of a recurrent network: (x_t, state) -> (output_t, new state).

    Define `step(x, state)`, and `H` or `initial_state(B)`. What does not depend on the state can move into
    `project(xs)`, which `Recurrent` calls once for all times: `step` then receives `project(xs)[t]` as its x.

    A state is a Tensor, or a tuple or dict of Tensors, with the batch along their first axis. Integers and booleans are
    state like any other, without a gradient: a counter `n` becomes `n + 1`. An x is a Tensor or, as the xs are, a tuple
    or dict of these.

    A step with a parameter `t` after these, `step(x, state, t)`, is given the number of the time step: that of x_t in
    the sequence, 0 ... T - 1, so that it falls where the sequence is read backwards.

    >>> class Leaky(nn.Cell):
    ...     H = 3
    ...     def step(self, x, h):
    ...         h = 0.9 * h + 0.1 * mg.tanh(x)
    ...         return h, h
    >>> outputs, state = nn.Recurrent(Leaky())(np.ones((5, 2, 3)))
    >>> outputs.shape
    (5, 2, 3)
    """

    H: int
    #: The axis of an output (B, ...) along which two directions are joined: of images (B, C, H, W) the channels.
    feature_axis: int = 1

    _timed = False  # has `step` a parameter t

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = not isinstance(inspect.getattr_static(cls, "step"), (staticmethod, classmethod))
        cls._timed = _takes_time(cls.step, 3 if own else 2)

    @property
    def _masked(self) -> bool:
        """Whether `step_masked` was written for this very `step`: beside it, or in a class derived from its own."""
        for owner in (self, *type(self).__mro__):
            if "step_masked" in vars(owner) or "step" in vars(owner):
                return "step_masked" in vars(owner) and owner is not Cell
        return False

    def initial_state(self, B: int) -> State:
        """The state before the first step: zeros (B, H) in the parameters' dtype, unless overridden."""
        if not hasattr(self, "H"):
            raise TypeError(f"{self.name}: the cell has no size; set self.H, the width of its state, in __init__, or "
                            "define initial_state(B), which returns the first state of a batch of B")  # fmt: skip
        return mg.tensor(np.zeros((B, self.H), weights_dtype(self)))

    def checked_state(self, state: State, B: int) -> State:
        """`state`, or the initial one for None; plain arrays are read in the parameters' dtype.

        A dict has its keys in the order of the initial state: which part is the first counts for recurrent dropout.

        Raises:
            ValueError: if it has not the structure and shapes of the initial state, or floats stand for integers.
        """
        initial = mg.tree_map(self._part, self.initial_state(B))
        if state is None:
            return initial
        found, needed = mg.tree_map(np.shape, state), mg.tree_map(np.shape, initial)
        if found != needed:
            unbatched = found == mg.tree_map(lambda s: np.shape(s)[1:], initial)
            single = "; a state without a batch is passed as s[None], part by part" if unbatched else ""
            raise ValueError(f"{self.name}: the state has shapes {found}, the cell needs {needed}{single}")
        return mg.tree_map(self._given, initial, state)

    def _given(self, like: mg.Tensor, s: Any) -> mg.Tensor:
        """A part of a state that was given, in the dtype of the initial one if it is plain numbers."""
        own = s.dtype if isinstance(s, mg.Tensor) else np.asarray(s).dtype
        if own != like.dtype and own.kind in "fiub" and not np.can_cast(own, like.dtype, "same_kind"):
            raise ValueError(f"{self.name}: a part of the state, {like.shape}, is {own}, the cell's is {like.dtype}, "
                             f"and the numbers would be cut: pass it as s.astype(np.{like.dtype})")  # fmt: skip
        return mg.as_tensor(s, like.dtype)

    def _part(self, s: Any) -> mg.Tensor:
        """A part of the initial state as a Tensor."""
        try:
            return mg.as_tensor(s)
        except TypeError as error:
            if isinstance(s, np.ndarray):
                raise
            raise TypeError(
                f"{self.name}: initial_state(B) must return a Tensor, or a tuple, list or dict of Tensors, () for a "
                f"cell without a state, got {s!r} as a part"
            ) from error

    def project(self, xs: Any) -> Any:
        """The part of a step that needs no state, for one time (B, ...) or all (T, B, ...): xs itself by default."""
        return xs

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        """One step from a projected input: (output, new state)."""
        raise NotImplementedError(f"{self.name} does not define step(x, state)")

    def step_masked(self, x: Any, state: State, mask: Any, **time: int) -> tuple[Any, State]:
        """A step with recurrent dropout: by default the state's first floating part, the h of (h, C), times `mask`.

        That is right where products alone read that part, and only whoever writes `step` knows: a class that defines
        `step` says so by `step_masked = nn.Cell.step_masked`. One that also carries it on, as a GRU does, defines its
        own, in which `mask` is on what products read; on what is carried on it would come back at every step, and the
        state would explode or vanish.
        """
        masks = iter([mask])

        def read(s: Any) -> Any:
            own = next(masks, None) if s.dtype.kind == "f" else None
            return s if own is None else s * own

        return self.step(x, mg.tree_map(read, state), **time)

    def check_masked(self, p: float) -> None:
        """Raise TypeError unless the cell says what recurrent dropout masks."""
        if self._masked:
            return
        function = isinstance(self, FunctionCell)
        raise TypeError(
            f"{self.name}: recurrent_dropout={p} is for cells that say what it masks. Write "
            + ("an nn.Cell with this step, and " if function else "")
            + "beside `step`, with the mask on what products read, never on what is carried on:\n"
            "    def step_masked(self, x, state, mask):\n"
            "        return self.step(x, state * mask)  # if products alone read it; (h * mask, C) of (h, C)"
            + ("\nor nn.FunctionCell(f, step_masked=...), a function (x, state, mask)" if function else "")
        )

    @property
    def input_dtype(self) -> np.dtype | None:
        """The dtype in which plain inputs are read: that of the weights; None for their own."""
        return weights_dtype(self)

    @property
    def name(self) -> str:
        """What messages call this cell."""
        return type(self).__name__

    def forward(self, x: Any, state: State = None, t: int | None = None) -> tuple[Any, State]:
        """One step from a plain input x (B, I), or (B,) integers for one-hot vectors; None is the initial state.

        `t` is the number of the time step, for a cell that asks for it.
        """
        x = read_inputs(x, self.input_dtype)
        parts = mg.tree_leaves(x)
        batched = tells_batch(parts, 1)
        for part in parts:
            if not (batched and part.ndim):
                raise ValueError(f"{self.name}: the input has shape {part.shape}, it needs a batch: (B, I), or (B,) "
                                 "integers; a single example is x[None]")  # fmt: skip
        time = {"t": t} if self._timed and t is not None else {}
        return self.step(self.project(x), self.checked_state(state, len(parts[0])), **time)


class FunctionCell(Cell):
    """A function (x_t, state) -> (output_t, new state) as a cell; `Recurrent` makes one of any function it is given.

    Args:
        f: the function; a `Module`, if it has parameters of its own. With a parameter `t` it is given the time step.
        initial_state: a function of B that makes the first state; without it a state must be given in each call.
        step_masked: a function (x_t, state, mask) that is f with recurrent dropout; see `Cell.step_masked`.

    >>> cell = nn.FunctionCell(lambda x, h: (h + x, h + x), initial_state=lambda B: mg.tensor(np.zeros((B, 1))))
    >>> outputs, _ = nn.Recurrent(cell)(np.ones((3, 1, 1)))
    >>> outputs.data.ravel()
    array([1., 2., 3.])
    """

    def __init__(
        self,
        f: Callable[..., tuple[Any, State]],
        initial_state: Callable[[int], State] | None = None,
        step_masked: Callable[..., tuple[Any, State]] | None = None,
    ) -> None:
        if not callable(f):
            raise TypeError(f"a cell must be an nn.Cell or a function (x, state), got {type(f).__name__}")
        if isinstance(f, type):
            raise TypeError(f"a cell must be an object, got the class {f.__name__}; make one of it: {f.__name__}(I, H)")
        self.f, self.make_state, self.masked_f = f, initial_state, step_masked
        self._timed = _takes_time(f.forward if isinstance(f, Module) else f)

    @property
    def _masked(self) -> bool:
        return self.masked_f is not None

    def initial_state(self, B: int) -> State:
        """The first state, if a function for it was given."""
        if self.make_state is None:
            raise ValueError(
                f"{self.name}: a function has no initial state; pass one for each layer, or make a cell of it: "
                "nn.FunctionCell(f, initial_state=lambda B: mg.tensor(np.zeros((B, H))))"
            )
        return self.make_state(B)

    def checked_state(self, state: State, B: int) -> State:
        """`state`, or the initial one for None; plain arrays become Tensors. Without an initial one any state fits."""
        if self.make_state is not None or state is None:
            return super().checked_state(state, B)
        return mg.tree_map(lambda s: s if isinstance(s, mg.Tensor) else mg.tensor(s), state)

    def step(self, x: Any, state: State, **time: int) -> tuple[Any, State]:
        return self.f(x, state, **time)

    def step_masked(self, x: Any, state: State, mask: Any, **time: int) -> tuple[Any, State]:
        if self.masked_f is None:
            return super().step_masked(x, state, mask, **time)
        return self.masked_f(x, state, mask, **time)

    @property
    def input_dtype(self) -> np.dtype | None:
        return weights_dtype(self) if self.parameters(frozen=True) else None

    @property
    def name(self) -> str:
        return str(getattr(self.f, "__name__", type(self.f).__name__))
