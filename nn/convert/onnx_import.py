"""`from_onnx`: an ONNX file as a module that computes what the file says, and whose weights can learn."""

from __future__ import annotations

import inspect
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg

from ..layers import parameter
from ..module import Module
from ..recurrent import Recurrent
from .onnx_cells import Weights, from_weights
from .onnx_operators import TABLE
from .onnx_reading import File, Step, read

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
USUAL = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
ATTRIBUTES = {"hidden_size", "direction", "activations", "layout"}
OWN = {"RNN": set[str](), "GRU": {"linear_before_reset"}, "LSTM": {"input_forget"}}
#: Operators whose stored operands, by number, are weights; others are constants.
LEARN = {
    "MatMul": (0, 1),
    "Gemm": (0, 1, 2),
    "Gather": (0,),
    "Add": (0, 1),
    "Mul": (0, 1),
    "LayerNormalization": (1, 2),
}


class Layer(Module):
    """A node RNN, LSTM or GRU: (X, lengths, first states) -> (Y, the last states), in ONNX's axes."""

    def __init__(self, cells: list[Any], reverse: bool, batch_first: bool) -> None:
        self.recurrent = Recurrent(*cells, bidirectional=len(cells) == 2, reverse=reverse)
        self.batch_first = batch_first

    def forward(self, x: Any, lengths: Any, *states: Any) -> Any:
        """Y (T, D, B, H), or (B, T, D, H) with `batch_first`, and h (D, B, H), or (B, D, H); of an LSTM C as well."""
        cells = self.recurrent.cells
        state = None
        if any([s is not None for s in states]):
            D = range(len(cells))
            zeros = self.recurrent.initial_state(x.shape[0 if self.batch_first else 1])
            parts = [_of_directions(s, self.batch_first, D) for s in states]
            given = [tuple([z if p is None else p[d] for p, z in zip(parts, mg.tree_leaves(zeros[d]))]) for d in D]
            state = tuple([g if len(g) > 1 else g[0] for g in given])
        y, final = self.recurrent(mg.swapaxes(x, 0, 1) if self.batch_first else x, state, lengths=lengths)
        T, B, N = y.shape
        y = mg.reshape(y, (T, B, len(cells), N // len(cells)))
        y = mg.moveaxis(y, 0, 1) if self.batch_first else mg.swapaxes(y, 1, 2)
        leaves = [mg.tree_leaves(s) for s in final]
        return y, *[mg.stack(parts, axis=1 if self.batch_first else 0) for parts in zip(*leaves)]


def _of_directions(state: Any, batch_first: bool, directions: range) -> Any:
    return None if state is None else [state[:, d] if batch_first else state[d] for d in directions]


class OnnxModule(Module):
    """The graph of a file: called with its inputs, in order or by name, it returns its output, or a tuple of them.

    `weights` are the stored arrays that learn, `layers` the recurrent nodes, both by name.
    """

    def __init__(self, file: File, layers: dict[str, Layer], used: set[str]) -> None:
        self.inputs, self.outputs = file.inputs, file.outputs
        self.layers = layers
        learn = {name for step in file.steps for k in LEARN.get(step.operator, ()) for name in step.inputs[k : k + 1]}
        floats = {name for name, a in file.arrays.items() if a.dtype.kind == "f" and a.ndim}
        self.weights = {name: parameter(file.arrays[name]) for name in file.arrays if name in learn & floats}
        self._constants = {name: a for name, a in file.arrays.items() if name not in self.weights and name not in used}
        self._steps = file.steps
        last = {name: k for k, step in enumerate(file.steps) for name in step.inputs}
        self._dead = [[n for n in (*s.inputs, *s.outputs) if last.get(n, -1) <= k] for k, s in enumerate(file.steps)]

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """The outputs.

        Raises:
            TypeError: if the inputs are not those of the file.
            ValueError: if a node cannot compute with them.
        """
        given = dict(zip(self.inputs, inputs)) | named
        if len(inputs) + len(named) != len(self.inputs) or given.keys() != set(self.inputs):
            raise TypeError(
                f"the inputs are {', '.join(self.inputs)}; got {len(inputs)} and {', '.join(named) or 'none'} by name"
            )
        values: dict[str, Any] = {name: x if isinstance(x, mg.Tensor) else np.asarray(x) for name, x in given.items()}
        for step, dead in zip(self._steps, self._dead):
            try:
                self._run(step, values)
            except Exception as error:
                raise ValueError(f"from_onnx: {step} cannot compute: {error}") from error
            for name in dead:
                if name not in self.outputs:
                    values.pop(name, None)
        results = tuple([self._value(name, values) for name in self.outputs])
        return results if len(results) > 1 else results[0]

    def _value(self, name: str, values: dict[str, Any]) -> Any:
        if not name:
            return None
        for table in (values, self.weights, self._constants):
            if name in table:
                return table[name]
        raise ValueError(f"{name!r} is a recurrent layer's, and read by another node")

    def _run(self, step: Step, values: dict[str, Any]) -> None:
        if step.operator in GATES:
            names = [step.inputs[0], *[*step.inputs[4:7], "", "", ""][:3]]
            x, *rest = [self._value(name, values) for name in names]
            made = self.layers[_key(step)](x, *rest[: 3 if step.operator == "LSTM" else 2])
        else:
            inputs = [self._value(name, values) for name in step.inputs]
            more = {"count": len(step.outputs)} if step.operator == "Split" else {}
            made = TABLE[step.operator](*inputs, **step.attributes, **more)
        for name, value in zip(step.outputs, made if isinstance(made, tuple) else (made,)):
            values[name] = value

    def extra_repr(self) -> str:
        return f"{', '.join(self.inputs)} -> {', '.join(self.outputs)}"


def from_onnx(path: str | os.PathLike[str]) -> OnnxModule:
    """The model in an ONNX file as a module: float weights are parameters, nodes RNN, LSTM and GRU are `Recurrent`.

    It computes what the file says, node by node; its gradient falls out, so it can be trained further. Read are the
    graphs that PyTorch's two exporters, Keras and `to_onnx` write of recurrent networks, of opset 13 and later. Nothing
    in a file is executed, no other file is read, and no more memory is taken than the file is long.

    Raises:
        ModuleNotFoundError: if the package onnx is not installed.
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged; or listing every operator and attribute that is not understood.

    >>> net = nn.from_onnx("gru.onnx")  # doctest: +SKIP
    >>> outputs, state = net(np.zeros((5, 2, 3), np.float32))  # doctest: +SKIP
    """
    file = read(path)
    faults: list[str] = []
    unknown = Counter([s.operator for s in file.steps if s.operator not in TABLE and s.operator not in GATES])
    if unknown:
        faults.append("operators: " + ", ".join(f"{name} ({n})" for name, n in sorted(unknown.items())))
    layers: dict[str, Layer] = {}
    used: set[str] = set()
    needed = {*file.outputs, *[name for step in file.steps for name in step.inputs]}
    for step in file.steps:
        try:
            if step.operator in GATES:
                layers[_key(step)] = _layer(step, file)
                used.update(step.inputs[1:4] + step.inputs[7:8])
            elif step.operator in TABLE:
                _check(step, TABLE[step.operator])
                if step.operator != "Split" and needed & {name for name in step.outputs[1:] if name}:
                    raise ValueError(f"of its outputs {step.outputs} only the first is computed")
        except Exception as error:  # what a stranger's attributes lead to
            faults.append(f"{step}: {error}")
    if faults:
        raise ValueError(f"from_onnx: {path} has what is not understood:\n  " + "\n  ".join(faults))
    return OnnxModule(file, layers, used - {n for s in file.steps if s.operator not in GATES for n in s.inputs})


def _key(step: Step) -> str:
    return step.outputs[0] or next(name for name in step.outputs if name)


def _check(step: Step, function: Callable[..., Any]) -> None:
    """Raise ValueError unless the function takes the node's inputs and attributes."""
    parameters = inspect.signature(function).parameters.values()
    names = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} - {"count"}
    if left := sorted(step.attributes.keys() - names):
        raise ValueError(f"the attributes {', '.join(left)}")
    if none := [name for name, value in step.attributes.items() if value is None]:
        raise ValueError(f"the kind of the attribute {none[0]}")
    needed = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty and p.name != "count"]
    if missing := set(needed) - step.attributes.keys():
        raise ValueError(f"the attribute {min(missing)} is missing")
    taken = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    if all([p.kind is not p.VAR_POSITIONAL for p in parameters]):
        least = len([p for p in taken if p.default is p.empty])
        if not least <= len(step.inputs) <= len(taken) or not all(step.inputs[:least]):
            raise ValueError(f"it has the inputs {step.inputs}")
    elif not step.inputs or not all(step.inputs):
        raise ValueError(f"it has the inputs {step.inputs}")


def _layer(step: Step, file: File) -> Layer:
    operator, given = step.operator, step.attributes
    if left := sorted(given.keys() - ATTRIBUTES - OWN[operator]):
        raise ValueError(f"the attributes {', '.join(left)}")
    for name, kind in (("direction", str), ("layout", int), ("linear_before_reset", int), ("input_forget", int)):
        if not isinstance(given.get(name, kind()), kind):
            raise ValueError(f"{name}={given[name]!r}")
    direction = given.get("direction", "forward")
    if direction not in ("forward", "reverse", "bidirectional") or given.get("layout", 0) not in (0, 1):
        raise ValueError(f"direction={direction!r}, layout={given.get('layout', 0)}")
    D, G = 2 if direction == "bidirectional" else 1, GATES[operator]
    W, R, B, P = (_stored(step, k, file) for k in (1, 2, 3, 7))
    if W is None or R is None or R.ndim != 3 or W.ndim != 3 or not step.inputs[0]:
        raise ValueError("W and R must be stored arrays of three axes")
    H = R.shape[2]
    wanted = {"W": (W, (D, G * H, W.shape[2])), "R": (R, (D, G * H, H)), "B": (B, (D, 2 * G * H)), "P": (P, (D, 3 * H))}
    for name, (a, shape) in wanted.items():
        if a is not None and (a.shape != shape or a.dtype != W.dtype or a.dtype not in (np.float32, np.float64)):
            raise ValueError(f"{name} is {a.shape} {a.dtype}, not {shape} in float32 or float64")
    if given.get("hidden_size", H) != H or not H or not W.shape[2]:
        raise ValueError(f"hidden_size is {given.get('hidden_size')}, R of {R.shape}")
    if P is not None and (operator != "LSTM" or given.get("input_forget")):
        raise ValueError("peepholes (P) of what is no LSTM with a forget gate of its own")
    each = _activations(step, D)
    if given.get("input_forget"):  # f = 1 - σ(a_i) = σ(-a_i)
        W, R = (np.concatenate([*(s := np.split(a, 4, axis=1))[:2], -s[0], s[3]], axis=1) for a in (W, R))
        if B is not None:
            parts = np.split(B, 8, axis=1)
            B = np.concatenate([*parts[:2], -parts[0], parts[3], *parts[4:6], -parts[4], parts[7]], axis=1)
    cells = [
        from_weights(
            Weights(operator, W[d], R[d], None if B is None else B[d], None if P is None else P[d],
                    given | {"activations": each[d]}, step.note), H
        )
        for d in range(D)
    ]  # fmt: skip
    return Layer(cells, direction == "reverse", bool(given.get("layout", 0)))


def _stored(step: Step, k: int, file: File) -> Any:
    name = step.inputs[k] if k < len(step.inputs) else ""
    if name and name not in file.arrays:
        raise ValueError(f"{name!r} is computed, where the weights must be stored")
    return file.arrays[name] if name else None


def _activations(step: Step, D: int) -> list[list[str]]:
    """Those of each direction, if there are cells with them."""
    usual = USUAL[step.operator]
    given = step.attributes.get("activations", usual * D)
    each = [given[k : k + len(usual)] for k in range(0, len(given), len(usual))] if isinstance(given, list) else []
    allowed = (usual, ["Relu"]) if step.operator == "RNN" else (usual,)
    if len(each) != D or any([part not in allowed for part in each]):
        raise ValueError(f"activations={given!r}")
    return each
