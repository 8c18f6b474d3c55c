"""`compile`: a function is traced once, and from then on replayed as a flat loop of NumPy calls into memory it owns."""

from __future__ import annotations

import functools
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from types import MethodType
from typing import Any

import numpy as np

from .modes import anomaly, recording, tracing
from .passes import with_batches, with_direct_products, with_packed_factors, without_dead_code, without_repeats
from .places import Place, Root, Step, collected, fresh, laid_out, plan, schedule
from .primitive import Node, clock, primitive
from .trace import Trace, Value
from .tree import flatten, tree_map

#: Programs kept for one function; the one that was made first goes first.
KEPT = 64


def _no_derivative(g: Any, y: Any, *inputs: Any) -> Any:
    raise RuntimeError(
        "a compiled function keeps no record, its results have no derivative; compile the whole: "
        "mg.compile(mg.value_and_grad(f)), or a function that calls loss.backward() itself"
    )


_compiled = primitive(lambda *inputs: inputs, joint=_no_derivative, name="compiled function")


class Program:
    """A traced function as a list of steps and the memory that they work in; called with arguments' leaves."""

    def __init__(self, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        arrays, rebuild = flatten((args, kwargs))
        self.arguments = [k for k, x in enumerate(arrays) if isinstance(x, (Node, np.ndarray, np.generic))]
        trace = Trace()
        try:
            with trace:
                stand_ins = list(arrays)
                for k in self.arguments:
                    stand_ins[k] = trace.argument(arrays[k], k)
                inner_args, inner_kwargs = rebuild(stand_ins)
                parts, self.rebuild = flatten(function(*inner_args, **inner_kwargs))
            trace.check_constants()
            self.watched = list(trace.watched.values())
            self.results = [self._result(trace, part) for part in parts]
            self.gradients = self._gradients(trace, {id(stand_ins[k]): k for k in self.arguments})
            given = [stand_ins[k].traced for k in self.arguments]
        finally:
            trace.forget()
        self.leaves = [(leaf, value) for leaf, value in trace.leaves.values()]
        self.requires_grad = [leaf.requires_grad for leaf, _ in self.leaves]
        self.made_from = [leaf for leaf, _ in self.leaves if leaf.requires_grad and leaf.order < trace.start]
        self._build(trace, given)
        self.lock = threading.Lock()
        self.moved: set[Node] = set()  # leaves whose array was replaced
        self._bind()

    def _result(self, trace: Trace, x: Any) -> tuple[Any, Any, bool]:
        """What to return for one leaf of the function's result: a Value or a constant, its type, requires_grad."""
        if not isinstance(x, Node):
            return (np.array(x), np.ndarray, False) if isinstance(x, np.ndarray) else (x, None, False)
        value = trace.value_of(x)
        if value.source is x and x.order < trace.start:
            return x, None, False  # a tensor from outside, handed through
        return value, np.ndarray if value.plain else type(x), x.requires_grad

    def _gradients(self, trace: Trace, arguments: dict[int, int]) -> list[tuple[Any, bool, Any]]:
        """What `backward()` leaves behind: (leaf or number of an argument, was it reset, what to add)."""
        found = []
        for t, reset, g in trace.gradients.values():
            target = arguments.get(id(t), t)
            if target is t and (t.order > trace.start or t.primitive is not None):
                continue  # made inside of the function, and gone with it
            found.append((target, reset, trace.value_of(g) if isinstance(g, Node) else g))
        return found

    def _build(self, trace: Trace, given: list[Value]) -> None:
        """All passes, one after the other."""
        instructions, stands_for = without_repeats(trace.instructions)
        self.results = [(_lookup(stands_for, x), kind, grad) for x, kind, grad in self.results]
        self.gradients = [(target, reset, _lookup(stands_for, g)) for target, reset, g in self.gradients]
        kept = [x for x in (*(r[0] for r in self.results), *(g[2] for g in self.gradients)) if isinstance(x, Value)]
        instructions = with_direct_products(instructions, trace._count)
        instructions, _ = without_repeats(without_dead_code(instructions, kept))
        instructions = with_packed_factors(instructions, 2 * trace._count)
        instructions = with_batches(instructions, 3 * trace._count)
        self.places, collections = collected(instructions, kept)
        self.leaf_places = []
        for leaf, value in self.leaves:
            place = fresh(value)
            array = leaf._data
            if array.flags.f_contiguous:
                place = place._replace(strides=array.strides)
            place.root.source = leaf
            self.places[value] = place
            self.leaf_places.append(place)
        for value in given:
            self.places[value] = fresh(value)
        self.given = [self.places[value] for value in given]
        laid_out(instructions, self.places)
        self.instructions = instructions
        self.steps = schedule(instructions, self.places, collections)
        self.nbytes = plan(self.steps, self.given, [self.places[value] for value in kept])

    # --- replay ------------------------------------------------------------------------------------------------------

    def current(self) -> bool:
        """Whether what was read from Python while tracing is still so."""
        return all([getattr(owner, name) == value for owner, name, value in self.watched]) and all(
            [leaf.requires_grad is grad for (leaf, _), grad in zip(self.leaves, self.requires_grad)]
        )

    def _bind(self) -> None:
        """Make the arrays at all places and the calls that use them."""
        block = np.empty(self.nbytes + 64, np.uint8)
        memory = block[-block.__array_interface__["data"][0] % 64 :]
        own: dict[Root, np.ndarray] = {}
        self.read: list[tuple[Node, np.ndarray]] = []  # leaves in the memory that the steps read
        self.copied: list[tuple[Node, np.ndarray]] = []  # leaves that are copied at each replay, since they move about
        for (leaf, _), place in zip(self.leaves, self.leaf_places):
            array = leaf._data
            if leaf in self.moved or not (array.flags.forc and array.strides == place.strides):
                own[place.root] = np.empty(place.root.high, np.uint8)
                self.copied.append((leaf, place.array(own[place.root], 0)))
            else:
                own[place.root] = array.reshape(-1, order="A").view(np.uint8)
                self.read.append((leaf, array))

        def array_at(place: Place) -> np.ndarray:
            if place.root in own:
                return place.array(own[place.root], 0)
            return place.array(memory, place.root.start)

        arrays = {value: array_at(place) for value, place in self.places.items()}
        self.inputs = [array_at(place) for place in self.given]
        self.calls = [call for s in self.steps for call in _calls(s, array_at, arrays)]
        self.outputs = [arrays.get(x, x) if isinstance(x, Value) else x for x, _, _ in self.results]
        self.added = [arrays[g] if isinstance(g, Value) else g for _, _, g in self.gradients]

    def __call__(self, leaves: Sequence[Any]) -> Any:
        with self.lock:
            for target, _, _ in self.gradients:
                if isinstance(target, int) and leaves[target].primitive is not None:
                    raise RuntimeError(
                        "backward() inside of a compiled function reaches an argument that is itself the result of "
                        f"{leaves[target].primitive.name}; pass it detached: `x.detach()`"
                    )
            moved = [leaf for leaf, array in self.read if leaf._data is not array]
            if moved:  # `t.data = new`: from now on copied at each replay
                self.moved.update(moved)
                self._bind()
            for buffer, k in zip(self.inputs, self.arguments):
                x = leaves[k]
                buffer[...] = x._data if isinstance(x, Node) else x
            for leaf, array in self.copied:
                array[...] = leaf._data
            for function, operands in self.calls:
                function(*operands)
            for (target, reset, _), g in zip(self.gradients, self.added):
                self._add_gradient(leaves[target] if isinstance(target, int) else target, reset, g)
            return self.rebuild([self._returned(x, r, leaves) for x, r in zip(self.outputs, self.results)])

    @staticmethod
    def _add_gradient(t: Node, reset: bool, g: Any) -> None:
        if g is None:
            t._grad = None
        elif reset or t._grad is None:
            t._grad = np.array(g, t._data.dtype, order="C")
        else:
            t._grad += g

    def _returned(self, x: Any, result: tuple[Any, Any, bool], leaves: Sequence[Any]) -> Any:
        _, kind, requires_grad = result
        if kind is None:
            return x
        array = np.array(x, order="C")
        if kind is np.ndarray:
            return array
        t = kind._sharing(array)
        if requires_grad:
            t.requires_grad, t.primitive = True, _compiled
            t.inputs = (*self.made_from, *[x for x in leaves if isinstance(x, Node) and x.requires_grad])
            t.order = clock()
        return t

    # --- display -----------------------------------------------------------------------------------------------------

    def describe(self) -> str:
        """The program as text: every step with the place that it writes and the places that it reads."""
        names: dict[Root, str] = {}
        for place, (leaf, _) in zip(self.leaf_places, self.leaves):
            names[place.root] = f"{'parameter' if leaf.requires_grad else 'constant'}{len(names)}"
        for place, k in zip(self.given, self.arguments):
            names[place.root] = f"argument{k}"

        def shown(x: Any) -> str:
            if isinstance(x, Value):
                return shown(self.places[x])
            if isinstance(x, Place):
                at = f"{names.get(x.root, 'm')}[{x.offset - x.root.low + x.root.start}]"
                return f"{at}:{x.dtype.kind}{x.dtype.itemsize * 8}{list(x.shape)}".replace(" ", "")
            if isinstance(x, np.ndarray):
                return f"array{list(x.shape)}"
            return getattr(x, "__qualname__", None) or repr(x)

        lines = [
            f"{len(self.steps)} steps from {len(self.instructions)} instructions, {self.nbytes:,} bytes at the peak"
        ]
        for n, s in enumerate(self.steps):
            operands = [str(tree_map(shown, x)).replace("'", "") for x in s.inputs]
            operands += [f"{key}={tree_map(shown, x)!s}".replace("'", "") for key, x in s.static.items()]
            sign = "+=" if s.kind == "add" else "="
            lines.append(f"{n:5} {shown(s.out)} {sign} {s.name}({', '.join(operands)})")
        return "\n".join(lines)


def _lookup(stands_for: dict[Value, Value], x: Any) -> Any:
    return stands_for.get(x, x) if isinstance(x, Value) else x


def _calls(s: Step, array_at: Callable[[Place], np.ndarray], arrays: dict[Value, np.ndarray]) -> Any:
    """A step as functions and their operands, with arrays in place of Values."""
    out = array_at(s.out)
    inputs, static = tree_map(lambda x: arrays[x] if isinstance(x, Value) else x, (s.inputs, s.static))
    if s.kind == "fill":
        return [(out.fill, (0,))]
    if s.kind == "move":
        return [(out.__setitem__, (..., *inputs))]
    if s.kind == "add":
        return [(np.add, (out, *inputs, out))]
    if s.kind == "out" and s.calls is not None and (prepared := s.calls(out, *inputs, **static)) is not None:
        return prepared
    if s.kind == "copy":
        return [(functools.partial(_copied, functools.partial(s.function, **static), out), inputs)]
    if isinstance(s.function, np.ufunc) and not static and s.function not in (np.maximum, np.minimum):
        return [(s.function, (*[_number(x, inputs) for x in inputs], out))]
    return [(functools.partial(s.function, out=out, **static), inputs)]


def _copied(function: Callable[..., Any], out: np.ndarray, *inputs: Any) -> None:
    y = function(*inputs)
    if np.shape(y) != out.shape:
        raise RuntimeError(f"compile: a result has shape {np.shape(y)}, while the function was traced {out.shape}")
    out[...] = y


def _number(x: Any, inputs: Sequence[Any]) -> Any:
    """A Python number as an array of the other operands' dtype, as NumPy itself would read it, but once."""
    dtypes = {v.dtype for v in inputs if isinstance(v, np.ndarray)}
    if type(x) not in (int, float) or len(dtypes) != 1 or next(iter(dtypes)).kind != "f":
        return x
    return np.array(x, dtypes.pop())


# --- compile --------------------------------------------------------------------------------------------------------


def _signature(x: Any) -> Any:
    """What two calls must have in common to share a program: structure, shapes, dtypes, and Python's values."""
    if isinstance(x, Node):
        return type(x), x._data.shape, x._data.dtype, x.requires_grad
    if isinstance(x, (np.ndarray, np.generic)):
        return np.ndarray, x.shape, x.dtype
    if isinstance(x, dict):
        return dict, *[(key, _signature(part)) for key, part in x.items()]
    if isinstance(x, (tuple, list)):
        return type(x), *[_signature(part) for part in x]
    try:
        hash(x)
    except TypeError as error:
        raise TypeError(
            f"compile: an argument is a {type(x).__name__}; it must be a tensor, an array, a hashable Python value, "
            "or a tuple, list or dict of these"
        ) from error
    return type(x), repr(x) if isinstance(x, (int, float)) else x


class Compiled:
    """A function that is replayed; see `compile`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.programs: dict[Any, list[Program]] = defaultdict(list)
        self.program: Program | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if tracing() is not None or anomaly():
            return self.function(*args, **kwargs)
        kwargs = dict(sorted(kwargs.items()))
        leaves, _ = flatten((args, kwargs))
        key = recording(), _signature((args, kwargs))
        candidates = self.programs[key]
        program = next((p for p in candidates if p.current()), None)
        if program is None:
            program = Program(self.function, args, kwargs)
            candidates.append(program)
            if sum(map(len, self.programs.values())) > KEPT:
                del self.programs[next(iter(self.programs))]
        self.program = program
        return program(leaves)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<compiled {self.function!r}>"


def compile(function: Callable[..., Any]) -> Compiled:
    """`function`, traced at the first call and from then on replayed: the same results without a record or allocation.

    A trace serves every later call with the same structure, shapes, dtypes and `requires_grad` of the arguments and the
    same Python values among them; another such signature is traced in turn. Arrays and tensors that are passed are read
    afresh at each call, arrays inside of the function arriving as Tensors. So are tensors and arrays that the function
    closes over and computes with; what Python computes from these while tracing is a constant. `backward()` inside of
    the function adds to `.grad` at each call. Random numbers come from `minigrad.draw`. Results belong to the caller.

    Raises:
        TypeError: while tracing, for `float(t)`, `if t:`, `t.data` and what else would make a value a constant.
        RuntimeError: while tracing, if an array is changed after it was used; or for a derivative of the results.
    """
    return Compiled(function)
