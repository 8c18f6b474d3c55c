"""A layer of `Recurrent` in one direction, as ONNX has it: a node RNN, LSTM or GRU, or a Scan whose body is the step.

While a model is traced, `Taker` takes each layer as a whole: the trace gets one call for each of its results, and the
layer's step is traced by itself, for the body of a Scan.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import minigrad as mg

from ..layers import _in_range, is_integer
from ..module import weights_dtype
from ..protocol import Cell, State, is_tree
from ..scan import _alike, _with_tensors
from .onnx_cells import kind_of, to_weights
from .onnx_graph import Graph
from .onnx_table import write, writes
from .onnx_trace import Call, Calls, Merge, Ref, Varying


class Layer:
    """What stands for a cell over a sequence: `body` is its step traced, None if a node says it all.

    It is called with `entries` arrays of what comes in at each step, `states` arrays of the first state, and the mask
    (T, B) of what is no padding, if `masked`. Result 0 are the outputs, then comes the final state, then all states.
    """

    def __init__(self, cell: Cell, reverse: bool, kind: Any, masked: bool, body: Any, entries: int, like: Any) -> None:
        self.cell, self.reverse, self.kind, self.masked = cell, reverse, kind, masked
        self.body, self.entries, self.like = body, entries, like
        self.used: list[tuple[int, Ref]] = []

    def merged_with(self, others: tuple[Layer, ...], merge: Merge) -> Layer:
        """This layer in several traces; the same object for each of its results."""
        if not hasattr(self, "merged"):
            self.merged = Layer(self.cell, self.reverse, self.kind, self.masked, None, self.entries, None)
            same = self.cell if self.kind is not None else None  # another cell is what its step computes
            if any([(other.cell if same else None, other.kind) != (same, self.kind) for other in others]):
                merge.differs("which cell is called", [self.cell.name, *[other.cell.name for other in others]])
            if self.body is not None:
                self.merged.body = merge([self.body, *[other.body for other in others]])
        return self.merged


def _results(*_: Any, layer: Layer, output: int, around: Any) -> np.ndarray:
    shape, dtype = layer.like[output]
    return np.zeros(shape, dtype)


layer_result = mg.primitive(_results, name="recurrent layer", doc="One result of a layer that is taken as a whole.")
_hot = mg.primitive(lambda x, V, dtype: np.zeros((*x.shape, V), dtype), name="one_hot", doc="Rows of the identity.")


class Taker:
    """What `scan.taking` holds while a model is traced; `steps`: whether lengths need a step of their own."""

    def __init__(self, steps: bool) -> None:
        self.steps = steps

    def __call__(self, cell: Any, xs: Any, state: State, reverse: bool, active: Any, keep: bool) -> Any:
        """The outputs, the final state, and all states if these are wanted, as `scan` returns them."""
        if isinstance(active, np.ndarray):
            raise ValueError("lengths must be an argument of the model, not made by it")
        T, B = mg.tree_leaves(xs)[0].shape[:2]
        kind = None if keep or is_tree(xs) else kind_of(cell)
        if kind is not None and is_integer(xs):
            xs = _hot(_in_range(xs, cell.U.shape[0], "linear"), cell.U.shape[0], cell.U.dtype)
        if kind is not None and (xs.ndim != 3 or {t.dtype for t in mg.tree_leaves((xs, state))} != {cell.U.dtype}):
            kind = None
        body = None
        if kind is None or (self.steps and active is not None and len(mg.tree_leaves(state)) > 1):
            projected = cell.project(xs)
            body = self._body(cell, projected, state)
            like = mg.tree_map(lambda v: (v.shape, v.dtype), body.results[0])
            xs = projected if kind is None else xs
        else:
            like = (B, cell.H), cell.U.dtype
        entries, states = mg.tree_leaves(xs), mg.tree_leaves(state)
        if kind is not None and body is not None:
            entries = [*entries, projected]
        finals = [(s.shape, s.dtype) for s in states]
        shapes = [((T, *like[0]), like[1]), *finals, *[((T, *shape), dtype) for shape, dtype in finals]]
        layer = Layer(cell, reverse, kind, active is not None, body, len(entries), shapes)
        operands = (*entries, *states, *([] if active is None else [active]))
        around = _around(body)  # a trace keeps what a call reads, there as well
        results = [layer_result(*operands, layer=layer, output=k, around=around)
                   for k in range(len(shapes) if keep else len(finals) + 1)]  # fmt: skip
        names = iter(results[1:])
        final, history = (mg.tree_map(lambda _: next(names), state) if wanted else None for wanted in (True, keep))
        return results[0], final, history

    def _body(self, cell: Cell, xs: Any, state: State) -> mg.Traced:
        """The step, traced with numbers in place of its input and state."""
        entries, states = (mg.tree_map(lambda t, n=n: np.zeros(t.shape[n:], t.dtype), tree)
                           for n, tree in ((1, xs), (0, state)))  # fmt: skip
        step = functools.partial(_step, cell)
        if not cell._timed:
            return mg.traced(step, entries, states)
        try:
            return mg.traced(step, entries, states, np.int64(0))
        except ValueError:  # what is computed with Python's t keeps the dtype of the state, with an array it may not
            return mg.traced(step, entries, states, weights_dtype(cell).type(0))


def _around(body: mg.Traced | None) -> tuple[mg.Value, ...]:
    """What a step reads of the trace around it: a decoder's cell the encoder's outputs."""
    if body is None:
        return ()
    own = {*body.arguments, *[call.out for call in body.calls]}
    reads = [v for call in body.calls for v in call.reads] + mg.tree_leaves(body.results)
    return tuple(dict.fromkeys([v for v in reads if v not in own and not isinstance(v.source, mg.Tensor)]))


def _step(cell: Any, x: Any, state: State, *time: Any) -> Any:
    result = cell.step(x, state, t=time[0]) if time else cell.step(x, state)
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[0], mg.Tensor):
        raise TypeError(f"{cell.name}: a step must return a tuple (output, new state), with a Tensor as output")
    output, new = result
    return output, new if _alike(new, state) else _with_tensors(cell, 0, x, new, state)


# --- as nodes --------------------------------------------------------------------------------------------------------


@writes("one_hot")
def _one_hot(g: Graph, out: Ref, x: Any, V: int, dtype: Any) -> Any:
    # what is not below V becomes a row that runtimes refuse to gather, where OneHot would make zeros
    known = g("Gather", g.constant(np.arange(V), np.int64), g.name(x, np.int64))
    return g("OneHot", known, g.constant(V, np.int64), g.constant([0, 1], out.dtype))


class Written:
    """Writes layers into a graph: all results of one at once, when the first is called for."""

    def __init__(self, calls: Calls, mask: bool, operators: Any) -> None:
        self.mask, self.operators = mask, operators
        self.lengths = {call.out: call.inputs[0] for call in calls.calls if call.primitive.name == "padding_mask"}
        for call in calls.calls:
            if call.primitive is layer_result:
                call.static["layer"].used.append((call.static["output"], call.out))

    def __call__(self, g: Graph, call: Call) -> None:
        """Add the nodes of any call."""
        if call.primitive is not layer_result:
            write(g, call, self.operators)
        elif call.out not in g.names:
            layer, inputs = call.static["layer"], list(call.inputs)
            active = inputs.pop() if layer.masked else None
            xs, states = inputs[: layer.entries], inputs[layer.entries :]
            used = dict(layer.used)
            memory = self.mask and active is not None and any([k > 1 for k in used])  # Y holds no C at each length
            if layer.kind is None or memory:
                names = self._scan(g, layer, xs[-1:] if memory else xs, states, active, used)
            else:
                names = self._node(g, layer, xs[0], states, active, used)
            for k, ref in layer.used:
                g.names[ref] = names[k]

    def _node(self, g: Graph, layer: Layer, xs: Ref, states: list[Ref], active: Any, used: Any) -> dict[int, str]:
        w, path, first = to_weights(layer.cell), g.paths.get(id(layer.cell), layer.cell.name), g.constant([0], np.int64)
        zero = [_is_zero(s) for s in states]
        given = ["" if all(zero) else g("Unsqueeze", g.name(s), first) for s in states]
        masked = self.mask and active is not None
        x, turned = g.name(xs), None
        if masked and layer.reverse:
            turned = self._turned(g, active)
            x = _along_time(g, x, turned)
        lengths = (
            ""
            if active is None or masked
            else g.cast(g.name(self.lengths[active]), self.lengths[active].dtype, np.int32)
        )
        W, R, B, P = (
            "" if a is None else g.constant(a[None], word=f"{path}.{name}") for name, a in zip("WRBP", w[1:5])
        )
        inputs = [x, W, R, B, lengths, *given, *([P] if P else [])]
        while not inputs[-1]:
            inputs.pop()
        made = g(w.operator, *inputs, outputs=1 + len(states), hidden_size=layer.cell.H,
                 direction="reverse" if layer.reverse and turned is None else "forward", **w.attributes)  # fmt: skip
        g.nodes[-1].name, g.nodes[-1].doc_string = path, w.note
        Y, *finals = made
        names = {0: g("Squeeze", Y, g.constant([1], np.int64))}
        for k, (final, state) in enumerate(zip(finals, states), 1):
            if k not in used:
                continue
            if masked:
                names[k] = self._last(g, names[0], active, state)
            else:
                names[k] = g("Squeeze", final, first)
                if active is not None:  # runtimes have 0 for the state of a sequence of length 0
                    column = g("Unsqueeze", g.name(self.lengths[active]), g.constant([1], np.int64))
                    empty = g("Equal", column, g.constant(0, self.lengths[active].dtype))
                    names[k] = g("Where", empty, g.name(state), names[k])
        if turned is not None:
            names[0] = _along_time(g, names[0], turned)
        return names

    def _turned(self, g: Graph, active: Ref) -> str:
        """(T, B): the time at which each sequence read backwards stands, length - 1 - t, and t in the padding."""
        lengths = g.name(self.lengths[active], np.int64)
        one = g.constant(1, np.int64)
        times = g("Unsqueeze", _times(g, active), g.constant([1], np.int64))
        return g("Where", g.name(active), g("Sub", g("Sub", lengths, times), one), times)  # type: ignore[no-any-return]

    def _last(self, g: Graph, y: str, active: Ref, state: Ref) -> str:
        """The output at length - 1: all others are masked, and the sum over time leaves it; length 0 has the state."""
        lengths, one = g.name(self.lengths[active], np.int64), g.constant([1], np.int64)
        times = g("Unsqueeze", _times(g, active), one)
        last = g("Unsqueeze", g("Equal", g("Add", times, one), lengths), g.constant([2], np.int64))
        kept = g("ReduceSum", g("Where", last, y, g.constant(0, state.dtype)), g.constant([0], np.int64), keepdims=0)
        empty = g("Unsqueeze", g("Equal", lengths, g.constant(0, np.int64)), one)
        return g("Where", empty, g.name(state), kept)  # type: ignore[no-any-return]

    def _scan(self, g: Graph, layer: Layer, xs: list[Ref], states: list[Ref], active: Any, used: Any) -> dict[int, str]:
        """A Scan over time: its body is the traced step; past a length it keeps the state."""
        body, S = Graph(g.axes, g.paths, g), len(states)
        output, *new = mg.tree_leaves(layer.body.results)
        inner = layer.body.arguments
        read = list(zip([*inner[len(xs) : len(xs) + S], *inner[: len(xs)], *inner[len(xs) + S :]],
                        [*["state"] * S, *["x"] * len(xs), "t"]))  # fmt: skip
        infos = []
        for ref, word in read:
            body.names[ref] = g.root.new(word)
            infos.append(body.info(body.names[ref], ref.dtype, ref.shape))
        entries = [g.name(x) for x in xs]
        if len(inner) > len(xs) + S:
            times = g(
                "Range",
                g.constant(0, np.int64),
                g("Squeeze", g("Shape", entries[0], start=0, end=1)),
                g.constant(1, np.int64),
            )
            entries.append(g.cast(times, np.int64, inner[-1].dtype))
        if active is not None:
            name = g.root.new("active")
            infos.append(body.info(name, bool, active.shape[1:]))
            entries.append(g.name(active))
        for call in layer.body.calls:
            self(body, call)
        results = []
        for before, after in zip(inner[len(xs) :], new):
            made = body.name(after, before.dtype)
            if active is not None:
                column = (
                    body("Unsqueeze", name, body.constant(range(1, before.ndim), np.int64)) if before.ndim > 1 else name
                )
                made = body("Where", column, made, body.names[before])
            results.append((body("Identity", made), before))
        kept = [(body("Identity", made), before) for made, before in results] if any([k > S for k in used]) else []
        outputs = [*results, (body("Identity", body.name(output)), output), *kept]
        if layer.reverse:
            entries = [_backwards(g, x) for x in entries]
        helper = g.onnx.helper
        made = helper.make_graph(body.nodes, "step", infos, [body.info(n, r.dtype, r.shape) for n, r in outputs])
        names = g(
            "Scan",
            *[g.name(s) for s in states],
            *entries,
            outputs=len(outputs),
            body=made,
            num_scan_inputs=len(entries),
        )
        names = [names] if isinstance(names, str) else names
        g.nodes[-1].name = g.paths.get(id(layer.cell), layer.cell.name)
        scanned = [_backwards(g, n) for n in names[S:]] if layer.reverse else names[S:]
        return dict(enumerate([scanned[0], *names[:S], *scanned[1:]]))


def _is_zero(x: Ref) -> bool:
    """Whether this is an array of zeros that the model makes."""
    arrays = x.source.arrays if isinstance(x.source, Varying) else [getattr(x.source, "data", None)]
    return isinstance(x.source, (Varying, mg.Tensor)) and not any([np.any(a) for a in arrays])


def _backwards(g: Graph, name: str) -> str:
    one = g.constant([-1], np.int64)
    return g("Slice", name, one, g.constant([-(2**63)], np.int64), g.constant([0], np.int64), one)  # type: ignore[no-any-return]


def _times(g: Graph, active: Ref) -> str:
    return g.range(active.shape[0])


def _along_time(g: Graph, x: str, times: str) -> str:
    """x (T, B, N) with entry b at time t taken from time `times[t, b]`."""
    wide = g("Expand", g("Unsqueeze", times, g.constant([2], np.int64)), g("Shape", x))
    return g("GatherElements", x, wide, axis=0)  # type: ignore[no-any-return]
