"""`compile`: a function is traced once, and from then on replayed as a flat loop of NumPy calls into memory it owns."""

from __future__ import annotations

import functools
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence, Set
from types import MethodType
from typing import Any

import numpy as np

from ..memory import return_freed_memory
from ..modes import anomaly, recording, tracing
from ..naming import held_as
from ..primitive import primitive
from ..record import Node, Variable
from ..tree import flatten, tree_map
from .batches import with_batches
from .passes import with_direct_products, with_packed_factors, without_dead_code, without_repeats
from .places import Place, Root, Step, address, collected, fresh, laid_out, plan, schedule
from .trace import Trace, Value, signature

#: Programs kept for one function; the one that was made first goes first.
KEPT = 64


def _no_derivative(g: Any, y: Any, *inputs: Any) -> Any:
    raise RuntimeError(
        "a compiled function keeps no record, its results have no derivative; compile the whole: "
        "mg.compile(mg.value_and_grad(f)), or a function that calls loss.backward() itself"
    )


_compiled = primitive(lambda *inputs: inputs, joint=_no_derivative, name="compiled function")


class Program:
    """A traced function as a flat list of calls and the memory that they work in; called with arguments' leaves.

    Nothing else of the trace is kept. A leaf in `moving` is copied at each replay, since its array is often replaced.
    The calls work in `block`, whatever is there, if it is large enough, else in a new one.
    """

    def __init__(
        self, function: Callable[..., Any], args: Any, kwargs: Any, moving: Set[Variable], block: np.ndarray
    ) -> None:
        arrays, rebuild = flatten((args, kwargs))
        self.arguments = [k for k, x in enumerate(arrays) if isinstance(x, (Variable, np.ndarray, np.generic))]
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
            results = [self._result(trace, part) for part in parts]
            gradients = self._gradients(trace, {stand_ins[k].node: k for k in self.arguments})
            given = [stand_ins[k].traced for k in self.arguments]
        finally:
            trace.forget()
        leaves = [leaf for leaf, _ in trace.leaves.values()]
        self.nodes = [(leaf, leaf.node) for leaf in leaves]
        self.made_from = [leaf.node for leaf in leaves if leaf.node is not None and leaf.node.order < trace.start]
        self.kinds = [(kind, requires_grad) for _, kind, requires_grad in results]
        self.targets = [(target, reset) for target, reset, _ in gradients]
        self.block = block
        self._build(trace, given, [x for x, _, _ in results], [g for _, _, g in gradients], moving)

    def _result(self, trace: Trace, x: Any) -> tuple[Any, Any, bool]:
        """What to return for one leaf of the function's result: a Value or a constant, its type, requires_grad."""
        if not isinstance(x, Variable):
            return (np.array(x), np.ndarray, False) if isinstance(x, np.ndarray) else (x, None, False)
        value = trace.value_of(x)
        if value.source is x and id(x) not in trace.inside:
            return x, None, False  # a tensor from outside, handed through
        return value, np.ndarray if value.plain else type(x), x.node is not None

    def _gradients(self, trace: Trace, arguments: dict[Node | None, int]) -> list[tuple[Any, bool, Any]]:
        """What `backward()` leaves behind: (leaf's node or number of an argument, was it reset, what to add)."""
        found = []
        for t, (reset, g) in trace.gradients.items():
            target = arguments.get(t, t)
            if target is t and (t.order > trace.start or t.primitive is not None):
                continue  # made inside of the function, and gone with it
            found.append((target, reset, trace.value_of(g) if isinstance(g, Variable) else g))
        return found

    def _build(
        self, trace: Trace, given: list[Value], results: list[Any], gradients: list[Any], moving: Set[Variable]
    ) -> None:
        """All passes, one after the other, then the memory, the arrays in it, and the calls that use them."""
        instructions, stands_for = without_repeats(trace.instructions)
        results, gradients = ([_lookup(stands_for, x) for x in found] for found in (results, gradients))
        kept = [x for x in (*results, *gradients) if isinstance(x, Value)]
        instructions = with_direct_products(instructions, trace._count)
        instructions, _ = without_repeats(without_dead_code(instructions, kept))
        instructions = with_packed_factors(instructions, 2 * trace._count)
        instructions = with_batches(instructions, 3 * trace._count)
        places, collections = collected(instructions, kept)
        memory_of: dict[Root, np.ndarray] = {}
        self.read: list[tuple[Variable, np.ndarray]] = []  # leaves in the memory that the calls read
        self.copied: list[tuple[Variable, np.ndarray]] = []  # leaves that are copied at each replay
        for leaf, value in trace.leaves.values():
            array, place = leaf._data, fresh(value)
            if array.flags.f_contiguous:
                place = place._replace(strides=array.strides)
            place.root.source = leaf
            places[value] = place
            if leaf in moving or not array.flags.forc:
                memory_of[place.root] = np.empty(place.root.high, np.uint8)
                self.copied.append((leaf, place.array(memory_of[place.root], 0)))
            else:
                memory_of[place.root] = array.reshape(-1, order="A").view(np.uint8)
                self.read.append((leaf, array))
        for value in given:
            places[value] = fresh(value)
        laid_out(instructions, places)
        steps = schedule(instructions, places, collections)
        self.nbytes = plan(steps, [places[value] for value in given], [places[value] for value in kept])
        if len(self.block) < self.nbytes + 64:
            self.block = np.empty(max(self.nbytes + 64, 2 * len(self.block)), np.uint8)
        self.memory = self.block[-address(self.block) % 64 :][: self.nbytes]

        # one array for all that lie alike at the same address: NumPy then knows without a search that they overlap
        made: dict[Any, np.ndarray] = {}

        def array_at(place: Place) -> np.ndarray:
            root = place.root if place.root in memory_of else None
            start = place.root.start
            key = root, start + place.offset - place.root.low, *place[2:]
            if key not in made:
                made[key] = place.array(self.memory if root is None else memory_of[root], start)
            return made[key]

        def arrays(x: Any) -> Any:
            return array_at(places[x]) if isinstance(x, Value) else x

        self.inputs = [arrays(value) for value in given]
        calls = [(call, s.name) for s in steps for call in _calls(s, array_at(s.out), arrays)]
        self.calls = [call for call, _ in calls]
        self.names = [name for _, name in calls]
        self.outputs = [arrays(x) for x in results]
        self.added = [arrays(g) for g in gradients]

    # --- replay ------------------------------------------------------------------------------------------------------

    def current(self) -> bool:
        """Whether what was read from Python while tracing is still so."""
        return all([getattr(owner, name) == value for owner, name, value in self.watched]) and all(
            [leaf.node is node for leaf, node in self.nodes]
        )

    def moved(self) -> list[Variable]:
        """Leaves whose array was replaced, as by `t.data = new`: the calls read the old one."""
        return [leaf for leaf, array in self.read if leaf._data is not array]

    def __call__(self, leaves: Sequence[Any]) -> Any:
        for target, _ in self.targets:
            if isinstance(target, int) and leaves[target].primitive is not None:
                raise RuntimeError(
                    "backward() inside of a compiled function reaches an argument that is itself the result of "
                    f"{leaves[target].primitive.name}; pass it detached: `x.detach()`"
                )
        for buffer, k in zip(self.inputs, self.arguments):
            x = leaves[k]
            buffer[...] = x._data if isinstance(x, Variable) else x
        for leaf, array in self.copied:
            array[...] = leaf._data
        for function, operands in self.calls:
            function(*operands)
        for (target, reset), g in zip(self.targets, self.added):
            self._add_gradient(leaves[target].node if isinstance(target, int) else target, reset, g)
        return self.rebuild([self._returned(x, *kind, leaves) for x, kind in zip(self.outputs, self.kinds)])

    @staticmethod
    def _add_gradient(t: Node, reset: bool, g: Any) -> None:
        if g is None:
            t.grad = None
        elif reset or t.grad is None:
            t.grad = np.array(g, t.dtype, order="C")
        else:
            t.grad += g

    def _returned(self, x: Any, kind: Any, requires_grad: bool, leaves: Sequence[Any]) -> Any:
        if kind is None:
            return x
        array = np.array(x, order="C")
        if kind is np.ndarray:
            return array
        t = kind._sharing(array)
        if requires_grad:
            sources = [x.node for x in leaves if isinstance(x, Variable) and x.node is not None]
            t.node = Node(kind, array, _compiled, (*self.made_from, *sources))
        return t

    # --- display -----------------------------------------------------------------------------------------------------

    def describe(self) -> str:
        """The program as text: every call with the places that it writes and reads, and of which primitive it is."""
        regions = [("m", self.memory)]
        for leaf, array in (*self.read, *self.copied):
            regions.append((f"{'constant' if leaf.node is None else 'parameter'}{len(regions)}", array))
        starts = [(address(array), array.nbytes, name) for name, array in regions]

        def shown(x: Any) -> str:
            if not isinstance(x, np.ndarray):
                return getattr(x, "__qualname__", None) or repr(x)
            at = address(x)
            found = [f"{name}[{at - start}]" for start, size, name in starts if start <= at < start + size]
            if not found and x.size == 1:
                return repr(x.item())
            return f"{found[0] if found else 'array'}:{x.dtype.kind}{x.dtype.itemsize * 8}{[*x.shape]}".replace(" ", "")

        lines = [f"{len(self.calls)} calls, {self.nbytes:,} bytes at the peak"]
        lines += [f"      {shown(array)} is argument{k}" for k, array in zip(self.arguments, self.inputs)]
        for n, ((function, operands), name) in enumerate(zip(self.calls, self.names)):
            called, inputs, static, out = _parts(function, operands)
            words = [str(tree_map(shown, x)).replace("'", "") for x in inputs]
            words += [f"{key}={tree_map(shown, x)!s}".replace("'", "") for key, x in static.items()]
            plain = getattr(called, "__name__", "_")
            made_by, remark = (name, "") if plain.startswith(("_", "<")) or plain == name else (plain, f"  # {name}")
            lines.append(f"{n:5} {shown(out)} = {made_by}({', '.join(words)}){remark}")
        return "\n".join(lines)


def _lookup(stands_for: dict[Value, Value], x: Any) -> Any:
    return stands_for.get(x, x) if isinstance(x, Value) else x


def _calls(s: Step, out: np.ndarray, arrays: Callable[[Any], Any]) -> Any:
    """A step as functions and their operands, with `arrays` in place of Values; `_parts` reads these forms."""
    inputs, static = tree_map(arrays, (s.inputs, s.static))
    if s.kind == "fill":
        return [(out.fill, (0,))]
    if s.kind == "move":
        return [(out.__setitem__, (..., *inputs))]
    if s.kind == "add":
        return [(np.add, (out, *inputs, out))]
    if s.kind == "out" and s.calls is not None and (prepared := s.calls(out, *inputs, **static)) is not None:
        return prepared
    if s.kind == "copy":
        return [(functools.partial(_copied, s.function, out, **static), inputs)]
    if isinstance(s.function, np.ufunc) and not static and s.function not in (np.maximum, np.minimum):
        return [(s.function, (*[_number(x, inputs) for x in inputs], out))]
    return [(functools.partial(s.function, out=out, **static), inputs)]


def _parts(function: Any, operands: Sequence[Any]) -> tuple[Any, Sequence[Any], dict[str, Any], np.ndarray]:
    """A call's function, inputs, keywords, and the array that it writes."""
    if isinstance(function, functools.partial):
        static = dict(function.keywords)
        if function.func is _copied:
            return function.args[0], operands, static, function.args[1]
        out = static.pop("out")
        return function.func, operands, static, out
    if isinstance(getattr(function, "__self__", None), np.ndarray):  # out.fill(0), out[...] = x
        return function, operands[-1:], {}, function.__self__
    return function, operands[:-1], {}, operands[-1]


def _copied(function: Callable[..., Any], out: np.ndarray, /, *inputs: Any, **static: Any) -> None:
    y = function(*inputs, **static)
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


class Compiled:
    """A function that is replayed; see `compile`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.programs: dict[Any, list[Program]] = defaultdict(list)
        self.moving: set[Variable] = set()  # leaves whose array was once replaced
        self.program: Program | None = None
        self.block = np.empty(0, np.uint8)  # the memory that programs use in turn
        self.lock = threading.Lock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if tracing() is not None or anomaly():
            return self.function(*args, **kwargs)
        kwargs = dict(sorted(kwargs.items()))
        leaves, _ = flatten((args, kwargs))
        key = recording(), signature((args, kwargs))
        with self.lock:
            candidates = self.programs[key]
            for outdated in [p for p in candidates if p.moved()]:
                self.moving.update(outdated.moved())
                candidates.remove(outdated)
            program = next((p for p in candidates if p.current()), None)
            if program is None:
                program = Program(self.function, args, kwargs, self.moving, self.block)
                return_freed_memory()  # the trace took more than the program does
                self.block = program.block
                candidates.append(program)
                if sum(map(len, self.programs.values())) > KEPT:
                    del self.programs[next(iter(self.programs))]
            self.program = program
            return program(leaves)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<compiled {self.function!r}>"

    def __reduce__(self) -> Any:
        """By its name if a module holds it, as a decorated function is; else as its function, to be traced anew."""
        return held_as(self, getattr(self, "__qualname__", "")) or (compile, (self.function,))


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
