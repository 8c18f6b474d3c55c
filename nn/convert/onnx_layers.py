"""A layer of `Recurrent` in one direction, as ONNX has it: a node RNN, LSTM or GRU, or a Scan whose body is the step.

What is written are calls of `layer_result`, which stand for the layer's results in a trace, see `onnx_taking`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import minigrad as mg

from .onnx_cells import to_weights
from .onnx_graph import Graph
from .onnx_table import write, writes
from .onnx_taking import Layer, layer_result
from .onnx_trace import Call, Calls, Ref, Varying


@writes("one_hot")
def _one_hot(g: Graph, out: Ref, x: Any, V: int, dtype: Any) -> Any:
    # what is not below V becomes a row that runtimes refuse to gather, where OneHot would make zeros
    known = g("Gather", g.constant(np.arange(V), np.int64), g.name(x, np.int64))
    return g("OneHot", known, g.constant(V, np.int64), g.constant([0, 1], out.dtype))


class Reading(NamedTuple):
    """A layer, and what it reads in the graph: its entries, first states, and the mask of what is no padding."""

    layer: Layer
    entries: list[Ref]
    states: list[Ref]
    active: Ref | None

    @classmethod
    def of(cls, call: Call) -> Reading:
        """That of a call for one of the layer's results."""
        layer, inputs = call.static["layer"], list(call.inputs)
        active = inputs.pop() if layer.masked else None
        return cls(layer, inputs[: layer.entries], inputs[layer.entries :], active)


class Written:
    """Writes layers into a graph: all results of one at once, when the first is called for.

    Two directions over the same inputs are one node. (OpenVINO 2026.4.1 makes one of two, and runs it wrongly.)
    """

    def __init__(self, calls: Calls, mask: bool, operators: Any) -> None:
        self.mask, self.operators = mask, operators
        self.lengths: dict[Ref, Ref] = {}  # by their mask
        self.backward: dict[tuple[Ref, Ref | None], list[Call]] = {}  # layers from the end to the start, by their input
        self._look_through(calls)

    def _look_through(self, calls: Calls) -> None:
        """Find out which results of each layer are used, and which lengths a mask is of."""
        for call in calls.calls:
            if call.primitive.name == "padding_mask":
                self.lengths[call.out] = call.inputs[0]
            if call.primitive is not layer_result:
                continue
            reading = Reading.of(call)
            layer = reading.layer
            if not layer.used:
                if layer.body is not None:
                    self._look_through(layer.body)
                if layer.reverse and layer.kind is not None:
                    self.backward.setdefault((reading.entries[0], reading.active), []).append(call)
            layer.used.append((call.static["output"], call.out))

    def __call__(self, g: Graph, call: Call) -> None:
        """Add the nodes of any call."""
        if call.primitive is not layer_result:
            write(g, call, self.operators)
        elif call.out not in g.names:
            reading = Reading.of(call)
            masked = self.mask and reading.active is not None
            memory = masked and any([k > 1 for k, _ in reading.layer.used])  # Y holds no C at each length
            if reading.layer.kind is None or memory:
                entries = reading.entries[-1:] if memory else reading.entries
                self._name(g, reading.layer, self._scan(g, reading._replace(entries=entries)))
            elif masked:
                self._name(g, reading.layer, self._masked_node(g, reading))
            else:
                self._nodes(g, [reading, *self._sibling(g, reading)])

    @staticmethod
    def _name(g: Graph, layer: Layer, names: dict[int, str]) -> None:
        for k, ref in layer.used:
            g.names[ref] = names[k]

    def _sibling(self, g: Graph, one: Reading) -> list[Reading]:
        """The layer that runs over the same inputs backwards, if what it reads is there, and one node can say both."""
        if one.layer.reverse:
            return []
        for call in self.backward.get((one.entries[0], one.active), ()):
            other = Reading.of(call)
            there = all([s.source is not None or s in g.names for s in other.states])
            if there and call.out not in g.names and _form(other) == _form(one):
                return [other]
        return []

    def _node(self, g: Graph, x: str, readings: list[Reading], direction: str, lengths: str) -> list[str]:
        """A node of one or two directions: Y (T, D, B, H), h and C (D, B, H)."""
        cells = [reading.layer.cell for reading in readings]
        each, path = [to_weights(cell) for cell in cells], g.paths.get(id(cells[0]), cells[0].name)
        first, w = g.constant([0], np.int64), each[0]
        pairs = list(zip(*[reading.states for reading in readings]))
        given = [""] * len(pairs)
        if not all([_is_zero(s) for pair in pairs for s in pair]):
            parts = [[g("Unsqueeze", g.name(s), first) for s in pair] for pair in pairs]
            given = [g("Concat", *names, axis=0) if len(names) > 1 else names[0] for names in parts]
        W, R, B, P = (
            "" if arrays[0] is None else g.constant(np.stack(arrays), word=f"{path}.{name}")
            for name, arrays in zip("WRBP", zip(*[w[1:5] for w in each]))
        )
        inputs = [x, W, R, B, lengths, *given, *([P] if P else [])]
        while not inputs[-1]:
            inputs.pop()
        options: dict[str, Any] = {"hidden_size": cells[0].H, "direction": direction} | w.attributes
        if "activations" in options:
            options["activations"] = options["activations"] * len(cells)
        made: list[str] = g(w.operator, *inputs, outputs=1 + len(pairs), **options)
        g.nodes[-1].name, g.nodes[-1].doc_string = g.new(path), w.note
        return made

    def _nodes(self, g: Graph, readings: list[Reading]) -> None:
        """A node as ONNX has it, for one layer or two directions, with `sequence_lens`."""
        one, two, active = readings[0], len(readings) == 2, readings[0].active
        lengths = None if active is None else self.lengths[active]
        direction = "bidirectional" if two else "reverse" if one.layer.reverse else "forward"
        lens = "" if lengths is None else g.cast(g.name(lengths), lengths.dtype, np.int32)
        Y, *finals = self._node(g, g.name(one.entries[0]), readings, direction, lens)
        for d, reading in enumerate(readings):
            side = g.constant(d, np.int64)
            names: dict[int, str] = {0: g("Gather", Y, side, axis=1)}
            for k, (final, state) in enumerate(zip(finals, reading.states), 1):
                names[k] = g("Gather", final, side, axis=0)
                if lengths is not None:  # runtimes have 0 for the state of a sequence of length 0
                    column = g("Unsqueeze", g.name(lengths), g.constant([1], np.int64))
                    names[k] = g("Where", g("Equal", column, g.constant(0, lengths.dtype)), g.name(state), names[k])
            self._name(g, reading.layer, names)

    def _masked_node(self, g: Graph, reading: Reading) -> dict[int, str]:
        """A node without lengths over padded sequences, forwards: backwards each is turned round within its length."""
        active, turned = reading.active, None
        assert active is not None
        x = g.name(reading.entries[0])
        if reading.layer.reverse:
            turned = self._turned(g, active)
            x = _along_time(g, x, turned)
        y = g("Squeeze", self._node(g, x, [reading], "forward", "")[0], g.constant([1], np.int64))
        last = self._last(g, y, active, reading.states[0])
        return {0: y if turned is None else _along_time(g, y, turned), 1: last}

    def _turned(self, g: Graph, active: Ref) -> str:
        """(T, B): the time at which each sequence read backwards stands, length - 1 - t, and t in the padding."""
        lengths = g.name(self.lengths[active], np.int64)
        one = g.constant(1, np.int64)
        times = g("Unsqueeze", g.range(active.shape[0]), g.constant([1], np.int64))
        return g("Where", g.name(active), g("Sub", g("Sub", lengths, times), one), times)  # type: ignore[no-any-return]

    def _last(self, g: Graph, y: str, active: Ref, state: Ref) -> str:
        """The output at length - 1: all others are masked, and the sum over time leaves it; length 0 has the state."""
        lengths, one = g.name(self.lengths[active], np.int64), g.constant([1], np.int64)
        times = g("Unsqueeze", g.range(active.shape[0]), one)
        last = g("Unsqueeze", g("Equal", g("Add", times, one), lengths), g.constant([2], np.int64))
        kept = g("ReduceSum", g("Where", last, y, g.constant(0, state.dtype)), g.constant([0], np.int64), keepdims=0)
        empty = g("Unsqueeze", g("Equal", lengths, g.constant(0, np.int64)), one)
        return g("Where", empty, g.name(state), kept)  # type: ignore[no-any-return]

    def _scan(self, g: Graph, reading: Reading) -> dict[int, str]:
        """A Scan over time: its body is the traced step; past a length it keeps the state."""
        layer, xs, states, active = reading
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
            entries.append(g.cast(g.range(xs[0].shape[0]), np.int64, inner[-1].dtype))
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
                behind = body.constant(range(1, before.ndim), np.int64)
                column = body("Unsqueeze", name, behind) if before.ndim > 1 else name
                made = body("Where", column, made, body.names[before])
            results.append((body("Identity", made), before))
        outputs = [*results, (body("Identity", body.name(output)), output)]
        if any([k > S for k, _ in layer.used]):  # all states
            outputs += [(body("Identity", made), before) for made, before in results]
        if layer.reverse:
            entries = [_backwards(g, x) for x in entries]
        helper = g.onnx.helper
        made = helper.make_graph(body.nodes, "step", infos, [body.info(n, r.dtype, r.shape) for n, r in outputs])
        given = [g.name(s) for s in states]
        names = g("Scan", *given, *entries, outputs=len(outputs), body=made, num_scan_inputs=len(entries))
        names = [names] if isinstance(names, str) else names
        g.nodes[-1].name = g.new(g.paths.get(id(layer.cell), layer.cell.name))  # a layer may be called twice
        scanned = [_backwards(g, n) for n in names[S:]] if layer.reverse else names[S:]
        return dict(enumerate([scanned[0], *names[:S], *scanned[1:]]))


def _form(reading: Reading) -> Any:
    """What two directions must share to be one node."""
    w = to_weights(reading.layer.cell)
    return w.operator, w.attributes, w.note, [None if a is None else a.shape for a in (w.W, w.R, w.B, w.P)]


def _is_zero(x: Ref) -> bool:
    """Whether this is an array of zeros that the model makes."""
    arrays = x.source.arrays if isinstance(x.source, Varying) else [getattr(x.source, "data", None)]
    return isinstance(x.source, (Varying, mg.Tensor)) and not any([np.any(a) for a in arrays])


def _backwards(g: Graph, name: str) -> str:
    one = g.constant([-1], np.int64)
    return g("Slice", name, one, g.constant([-(2**63)], np.int64), g.constant([0], np.int64), one)  # type: ignore[no-any-return]


def _along_time(g: Graph, x: str, times: str) -> str:
    """x (T, B, N) with entry b at time t taken from time `times[t, b]`."""
    wide = g("Expand", g("Unsqueeze", times, g.constant([2], np.int64)), g("Shape", x))
    return g("GatherElements", x, wide, axis=0)  # type: ignore[no-any-return]
