"""A layer of `Recurrent` is taken as a whole while a model is traced: the trace has one call for each of its results.

The layer's step is traced by itself, for the body of a Scan, unless ONNX has a node for the cell.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import minigrad as mg

from ..layers import _in_range, is_integer
from ..module import weights_dtype
from ..protocol import Cell, State, is_tree
from ..scan import _same_structure, _with_tensors, projected
from ..variants import PeepholeLSTMCell
from .onnx_cells import kind_of
from .onnx_trace import Merge, Ref


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
    """What `scan.taking` holds while a model is traced.

    `nodes` tells whether a cell that ONNX knows is a node; `masked` that then its lengths are a mask in the graph.
    """

    def __init__(self, nodes: bool, masked: bool) -> None:
        self.nodes, self.masked = nodes, masked

    def __call__(self, cell: Any, xs: Any, state: State, reverse: bool, active: Any, keep: bool) -> Any:
        """The outputs, the final state, and all states if these are wanted, as `scan` returns them."""
        if isinstance(active, np.ndarray):
            raise ValueError("lengths must be an argument of the model, not made by it")
        T, B = mg.tree_leaves(xs)[0].shape[:2]
        kind = None if keep or is_tree(xs) or not self.nodes else kind_of(cell)
        if kind is PeepholeLSTMCell and self.masked and active is not None:
            kind = None  # OpenVINO runs such a node without its peepholes
        if kind is not None and is_integer(xs):
            xs = _hot(_in_range(xs, cell.U.shape[0], "linear"), cell.U.shape[0], cell.U.dtype)
        if kind is not None and (xs.ndim != 3 or {t.dtype for t in mg.tree_leaves((xs, state))} != {cell.U.dtype}):
            kind = None
        body = None
        if kind is None or (self.masked and active is not None and len(mg.tree_leaves(state)) > 1):
            entered = projected(cell, xs)
            body = self._body(cell, entered, state)
            like = mg.tree_map(lambda v: (v.shape, v.dtype), body.results[0])
            xs = entered if kind is None else xs
        else:
            like = (B, cell.H), cell.U.dtype
        entries, states = mg.tree_leaves(xs), mg.tree_leaves(state)
        if kind is not None and body is not None:
            entries = [*entries, entered]
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
    return output, new if _same_structure(new, state) else _with_tensors(cell, 0, x, new, state)
