"""A program: what a traced function calls, in memory that it owns, and the replay of these calls."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence, Set
from typing import Any

import numpy as np

from ..backward import lineage
from ..derivation import running
from ..gradients import add_gradient
from ..messages import describe, explained, same_kind, told
from ..primitive import primitive
from ..record import Node, Variable
from ..tree import tree_leaves
from .arguments import Matcher, alike, builder, never
from .calls import Arrays, Call, described, parts_of, shown_in
from .collecting import Collecting, schedule
from .instruction import Kinds, Value, layout
from .listing import contents
from .loops import Loop, all_calls
from .places import Place, Root, address, fresh, plan
from .stages import Stages, memory_map
from .table import IMPURE
from .trace import Trace


def _no_derivative(g: Any, y: Any, *inputs: Any) -> Any:
    error = RuntimeError(
        "a compiled function keeps no record, its results have no derivative; compile the whole: "
        "mg.compile(mg.value_and_grad(f)), or a function that calls loss.backward() itself; mg.explain(f, *args) "
        "explains the function, run as plain Python"
    )
    raise told(error)


_new = object.__new__
_compiled = primitive(lambda *inputs: inputs, joint=_no_derivative, name="compiled function")


class Program:
    """A traced function as a list of calls, those of a loop as one, and the memory that they work in.

    Nothing else of the trace is kept. A leaf in `moving` is copied at each replay, since its array is often replaced.
    The calls work in `block`, whatever is there, if it is large enough, else in a new one.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        args: Any,
        kwargs: Any,
        moving: Set[Variable],
        block: np.ndarray,
        stages: Stages,
        kinds: Kinds,
    ) -> None:
        self.stages = stages
        self.leaves_of: Matcher = never  # another, once it was called twice in a row
        trace = Trace(kinds, once="repeats" in stages)
        try:
            self.arguments, stand_ins, returned = trace.run(function, args, kwargs)
            trace.follow_copies()
            self.built = builder(returned)
            self.watched = list(trace.watched.values())
            self.settings = trace.lasting_settings()
            given = list(zip(stand_ins, self.arguments))
            results = [self._result(trace, part) for part in tree_leaves(returned)]
            gradients = self._gradients(trace, {x.node: k for x, k in given})
            values = [trace.value_of(x) for x in stand_ins]
            # what has no rule, and the arguments that it depends on: nobody may ask for a derivative by these
            made = [(p, set(lineage([node])[0])) for p, node in trace.ruleless]
            self.ruleless = [(p, k) for p, sources in made for x, k in given if x.node in sources]
        finally:
            trace.forget()
        nodes = [leaf.node for leaf, _ in trace.leaves.values()]
        self.made_from = [node for node in nodes if node is not None and node.order < trace.start]
        self.reached = [target for target, _, _ in gradients if isinstance(target, int)]
        self.block = block
        self._build(trace, values, results, gradients, moving)

    def _result(self, trace: Trace, x: Any) -> tuple[Any, Any, bool]:
        """What to return for one leaf of the function's result: its Value, class, and whether it requires a gradient.

        In place of the Value something that every call returns as it is; then the class is None.
        """
        if isinstance(x, (Iterator, Awaitable)):
            raise TypeError(
                f"compile: the function returned {describe(x)}, which runs once and outside of the trace; return a "
                "tuple or a list, and compile what a generator or a coroutine calls"
            )
        if not isinstance(x, Variable):
            return (x, np.ndarray, False) if isinstance(x, np.ndarray) else (x, None, False)
        value = trace.value_of(x)
        if value.source is x and id(x) not in trace.inside:
            return x, None, False  # a tensor from outside, handed through
        plain = getattr(x, "stands_for", value).plain
        requires_grad = x.node is not None
        if x.node is not None and trace.gone:
            requires_grad = any([t.primitive is None and t not in trace.gone for t in lineage([x.node])[0]])
        return value, np.ndarray if plain else type(x), requires_grad

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
        """All passes, one after the other, then the memory, the arrays in it, and the calls that use them.

        `given` are the Values of the arguments.
        """
        kept = [x for x in (*[x for x, _, _ in results], *[g for _, _, g in gradients]) if isinstance(x, Value)]
        stages = self.stages
        instructions = stages.rewritten(trace.instructions, trace.kinds, kept)
        collections = Collecting(instructions, kept).collections if "collecting" in stages else {}
        memory_of = self._place_leaves(trace, moving)
        for value in given:
            value.place = fresh(value)
        steps = schedule(instructions, collections)
        arguments, ends = [value.place for value in given], [value.place for value in kept]
        self.nbytes = plan(steps, arguments, ends, in_place="in_place" in stages, turns="turns" in stages)
        stages.tell("places", lambda: [f"{n:5} {step!r}" for n, step in enumerate(steps)])
        stages.tell("memory", lambda: memory_map([*given, *instructions.outs], steps, self.nbytes))
        if len(self.block) < self.nbytes + 64:
            self.block = np.empty(max(self.nbytes + 64, 2 * len(self.block)), np.uint8)
        self.memory = self.block[-address(self.block) % 64 :][: self.nbytes]
        arrays = Arrays(self.memory, memory_of)
        self.inputs = [(arrays.of(value), k, not value.plain) for value, k in zip(given, self.arguments)]
        self.entries = all_calls(steps, arrays, "prepared" in stages, "rolled" in stages)
        self.results = []  # what gives each, the class if it is to be a tensor, whether that requires a gradient
        for x, cls, requires_grad in results:
            give = itertools.repeat(x).__next__ if cls is None else arrays.of(x).copy  # since it is the caller's
            self.results.append((give, None if cls is np.ndarray else cls, requires_grad))
        self.gradients = [(target, reset, arrays.of(g)) for target, reset, g in gradients]
        stages.tell("calls", lambda: self.describe().splitlines())

    def _place_leaves(self, trace: Trace, moving: Set[Variable]) -> dict[Root, np.ndarray]:
        """Give leaves their places, in their own memory or in a copy's; returns the memory of each root."""
        # Each leaf with the array that the calls read; None for one that is `copied` to another at each replay.
        self.leaves: list[tuple[Variable, Node | None, np.ndarray | None]] = []
        self.copied: list[tuple[Variable, np.ndarray]] = []
        memory_of: dict[Root, np.ndarray] = {}
        for leaf, value in trace.leaves.values():
            array, place = leaf._array, fresh(value)
            alike = array.dtype == value.dtype
            if array.flags.f_contiguous and alike:
                place = Place(place.root, 0, layout(array.shape, array.dtype, array.strides))
            place.root.source = leaf
            value.place = place
            if leaf in moving or not (array.flags.forc and alike):
                memory_of[place.root] = np.empty(place.root.high, np.uint8)
                self.copied.append((leaf, place.array(memory_of[place.root], 0)))
                self.leaves.append((leaf, leaf.node, None))
            else:
                memory_of[place.root] = array.reshape(-1, order="A").view(np.uint8)
                self.leaves.append((leaf, leaf.node, array))
        return memory_of

    @property
    def calls(self) -> list[Call]:
        """All calls in order, each a function and its operands."""
        return [call for _, call in self._named_calls()]

    @property
    def names(self) -> list[str]:
        """The names of their primitives."""
        return [name for name, _ in self._named_calls()]

    def _named_calls(self) -> list[tuple[str, Call]]:
        """These with the names of their primitives."""
        named: list[tuple[str, Call]] = []
        for function, operands, origin in self.entries:
            named += origin.calls() if isinstance(origin, Loop) else [(origin, (function, operands))]
        return named

    # --- replay ------------------------------------------------------------------------------------------------------

    def current(self) -> bool:
        """Whether what was read from Python while tracing is still so, and leaves are where the calls read them."""
        for leaf, node, array in self.leaves:
            if leaf.node is not node or (leaf._array is not array and array is not None):
                return False
        for x, held in self.settings:
            if contents(x) != held:
                return False
        for owner, name, value in self.watched:
            if (now := getattr(owner, name)) is not value and not alike(now, value):
                return False
        return True

    def moved(self) -> list[Variable]:
        """Leaves whose array was replaced, as by `t.data = new`: the calls read the old one."""
        return [leaf for leaf, _, array in self.leaves if array is not None and leaf._array is not array]

    def replay(self, leaves: Sequence[Any]) -> Any:
        """What the function returns for arguments with these leaves."""
        if self.reached:
            self._check_reached(leaves)
        if self.ruleless and running:
            for p, k in self.ruleless:
                p.constant(np.nan, [leaves[k]])
        for buffer, k, is_tensor in self.inputs:
            buffer[...] = leaves[k]._array if is_tensor else leaves[k]
        for leaf, array in self.copied:
            array[...] = leaf._array
        try:
            for function, operands, _ in self.entries:
                function(*operands)
        except (ValueError, TypeError, IndexError) as error:
            if (named := self._explained(error, operands)) is None:
                raise
            raise named from error
        for target, reset, g in self.gradients:
            self._add_gradient(leaves[target].node if isinstance(target, int) else target, reset, g)
        results = []
        for give, cls, requires_grad in self.results:
            x = give()
            if cls is not None:
                t = _new(cls)
                t._array, t.node = x, self._node(cls, x, leaves) if requires_grad else None
                x = t
            results.append(x)
        return self.built(results)

    def _explained(self, error: Exception, operands: Sequence[Any]) -> Exception | None:
        """The error for what the call with these operands raised, as a plain run has it: of an index, say.

        None for what is called to check values, and says itself what is wrong.
        """
        function, origin = next((function, origin) for function, given, origin in self.entries if given is operands)
        if isinstance(origin, Loop):
            return same_kind(error, f"{' or '.join(sorted({name for name, _ in origin.calls()}))}, in a loop: {error}")
        if origin in {p.name for p in IMPURE}:
            return None
        _, inputs, static, _ = parts_of(function, operands)
        return explained(origin, error, list(inputs), static)

    def _check_reached(self, leaves: Sequence[Any]) -> None:
        """Raise if `backward()` reaches an argument that is no leaf, or one `.grad`, reset inside, as two of them."""
        for k in self.reached:
            if leaves[k].primitive is not None:
                raise RuntimeError(
                    "backward() inside of a compiled function reaches an argument that is itself the result of "
                    f"{leaves[k].primitive.name}; pass it detached: `x.detach()`"
                )
        if not any([reset for _, reset, _ in self.gradients]):
            return
        nodes = [leaves[target].node if isinstance(target, int) else target for target, _, _ in self.gradients]
        if len(set(nodes)) < len(nodes):
            shape = max(nodes, key=nodes.count).shape
            raise RuntimeError(
                f"a compiled function sets the .grad of a tensor of shape {shape} which it got twice, as two arguments "
                "or as one that it also closes over; pass it once, or reset .grad before the call"
            )

    @staticmethod
    def _add_gradient(t: Node, reset: bool, g: Any) -> None:
        if g is None:
            t.grad = None
        elif reset:
            t.grad = np.array(g, t.dtype, order="C")
        else:
            add_gradient(t, np.array(g, t.dtype, order="C") if t.grad is None else g)

    def _node(self, cls: type[Variable], array: np.ndarray, leaves: Sequence[Any]) -> Node:
        """The node of a result that requires a gradient, which nobody can ask for."""
        sources = [x.node for x in leaves if isinstance(x, Variable) and x.node is not None]
        return Node(cls, array, _compiled, (*self.made_from, *sources))

    # --- display -----------------------------------------------------------------------------------------------------

    def describe(self) -> str:
        """The program as text: every call with the places that it writes and reads, and of which primitive it is."""
        regions = [("m", self.memory)]
        for leaf, array in [(leaf, array) for leaf, _, array in self.leaves if array is not None] + self.copied:
            regions.append((f"{'constant' if leaf.node is None else 'parameter'}{len(regions)}", array))
        shown = shown_in(regions)
        named = self._named_calls()
        lines = [f"{len(named)} calls, {self.nbytes:,} bytes at the peak"]
        lines += [f"      {shown(array)} is argument{k}" for array, k, _ in self.inputs]
        calls = iter(described(named, shown))
        for _, _, origin in self.entries:
            if isinstance(origin, Loop):
                lines += [f"      {line}" for line in origin.described()]
            lines += itertools.islice(calls, origin.turns * len(origin.lines) if isinstance(origin, Loop) else 1)
        return "\n".join(lines)
