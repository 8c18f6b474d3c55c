"""`to_onnx`: a model as an ONNX file, written from the calls by which it computes its results, and run to be sure."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg

from ..module import Module, _walk
from ..serialize import write_aside
from . import onnx_index  # noqa: F401 (its entries of the table)
from .onnx_graph import Axes, Graph, package
from .onnx_layers import Written
from .onnx_sizes import arrays_of, cases_of, free_axes, lengths_of, traced_at_sizes
from .onnx_table import Writer, writer_of
from .onnx_taking import Taker, layer_result
from .onnx_trace import Calls, Ref
from .onnx_verify import Verified, verified

LOWEST, DEFAULT = 18, 18  # opsets: from 18 on reductions take their axes as inputs


class Exported(NamedTuple):
    """What `to_onnx` wrote: names, dtypes and axes of inputs and outputs, how often each operator, and who ran it."""

    path: str
    opset: int
    inputs: dict[str, str]
    outputs: dict[str, str]
    operators: dict[str, int]
    verified: Verified

    def __str__(self) -> str:
        parts = [f"{self.path}, opset {self.opset}"]
        parts += [
            f"  {word}: {name} {text}" for word in ("inputs", "outputs") for name, text in getattr(self, word).items()
        ]
        parts.append("  operators: " + ", ".join(f"{n} {name}" for name, n in self.operators.items()))
        return "\n".join([*parts, f"  {self.verified}"])


def to_onnx(
    net: Callable[..., Any],
    path: str | os.PathLike[str],
    example: Any,
    *,
    axes: Mapping[str, Sequence[str | int | None]] | None = None,
    outputs: Sequence[str] | None = None,
    lengths: str = "sequence_lens",
    nodes: bool = True,
    opset: int = DEFAULT,
    verify: str | bool = True,
    operators: Mapping[mg.Primitive, Writer] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Exported:
    """Write what a model computes in evaluation mode as an ONNX file; returns what was written and who has run it.

    The model is called with the example and traced: a layer of `Recurrent` becomes a node RNN, LSTM or GRU, or, if ONNX
    has no such cell, a Scan whose body is the cell's step; any other call of a primitive becomes its operators. Initial
    states and lengths are inputs of the file if the example has them, final states outputs if the model returns them.
    The file is checked, then run on several sizes and compared with the model, and only then written.

    Args:
        net: a module, or a function of arrays: `nn.LSTM(3, 4)`, or a class with a `forward` that puts parts together.
        path: of the file; replaced when the new one is whole.
        example: an array for a model of one argument, a tuple of arguments, or a dict of arguments by name. What is no
            array in it (None, a bool) is a constant of the file.
        axes: for an input's name (`xs`, `state.0.1`) the names of its free axes, None where the size is fixed:
            {"xs": ("T", "B", None)}; inputs that are not named, and an empty dict, have none. By default the batch is
            free, and the time of sequences: an input of a model with a `Recurrent` is (T, B, ...), lengths are (B,), a
            `state` (B, ...); without one an input is (B, ...).
        outputs: their names, in order; by default `output`, or `output.0`, `output.1.0` of a tuple.
        lengths: "sequence_lens", which the nodes of ONNX take; or "mask" for runtimes that ignore these (OpenVINO with
            free axes, onnx's reference evaluator): a mask in the graph then chooses outputs and states.
        nodes: False makes every layer a Scan, for runtimes that run a node wrongly (OpenVINO: peepholes).
        opset: of the operators, 18 or higher.
        verify: who has to run the file: "onnxruntime", "reference" (onnx's own evaluator, slow, which ignores
            sequence_lens); True takes the first of these that is there and right; False nobody.
        operators: how your own primitives are written: for each a function (graph, out, *inputs, **static) -> name, in
            which `graph("Gelu", graph.name(x))` adds a node.
        metadata: text by name that the file is to hold, such as a vocabulary.

    Raises:
        ModuleNotFoundError: if the package onnx is not installed, or the one that is to verify the file.
        TypeError: if a primitive has no ONNX operator, or the model looks at values.
        ValueError: if the options do not fit, the file would hold for the example's sizes only, or it does not compute
            what the model does.

    >>> print(nn.to_onnx(nn.GRU(3, 4), "gru.onnx", np.zeros((5, 2, 3), np.float32)))  # doctest: +SKIP
    """
    onnx = package()
    if not isinstance(lengths, str) or lengths not in ("sequence_lens", "mask"):
        hint = (
            ""
            if isinstance(lengths, str)
            else '; those of sequences are in the example: {"xs": xs, "lengths": lengths}'
        )
        raise ValueError(f'to_onnx: lengths must be "sequence_lens" or "mask", got {lengths!r}{hint}')
    newest = onnx.defs.onnx_opset_version()
    if type(opset) is not int or not LOWEST <= opset <= newest:
        raise ValueError(f"to_onnx: opset must be an integer within {LOWEST} ... {newest}, got {opset!r}")
    if not all([isinstance(word, str) for pair in dict(metadata or {}).items() for word in pair]):
        raise ValueError(f"to_onnx: metadata must be text by name, got {metadata!r}")
    arguments, call = _arguments(net, example)
    arrays = dict(arrays_of(arguments))
    free = free_axes(net, arrays, axes)
    modules = list(net.modules()) if isinstance(net, Module) else []
    modes = [(m, m.training) for m in modules]
    try:
        for m in modules:
            m.training = False
        own = dict(operators or {})
        check = lambda p: p is layer_result or writer_of(p, own)
        calls, graph_axes = traced_at_sizes(call, arguments, arrays, free, Taker(nodes, lengths == "mask"), check)
        model, results = _model(net, calls, graph_axes, list(arrays), outputs, lengths == "mask", opset, own)
        onnx.helper.set_model_props(model, dict(metadata or {}))
        onnx.checker.check_model(model, full_check=True)
        limits = lengths_of(calls, list(arrays), graph_axes)
        cases = cases_of(net, call, arguments, arrays, free, limits) if verify else []
        ran = verified(model, cases, results, verify)
    finally:
        for m, training in modes:
            m.training = training
    write_aside(path, model.SerializeToString())
    graph = model.graph
    return Exported(str(path), opset, _told(graph.input), _told(graph.output), _counted(graph), ran)


def _arguments(net: Any, example: Any) -> tuple[dict[str, Any], Callable[..., Any]]:
    """The example as arguments by name, and the model, or what is to `run` in its place, as a function of such."""
    if not callable(net):
        raise TypeError(f"to_onnx: the first argument must be a module or a function, got {type(net).__name__}")
    if isinstance(example, dict):
        return dict(example), lambda arguments, run=net: run(**arguments)
    signature = inspect.signature(net.forward if isinstance(net, Module) else net)
    try:
        bound = signature.bind(*(example if isinstance(example, tuple) else (example,)))
    except TypeError as error:
        raise TypeError(f"to_onnx: the example does not fit the model's arguments {signature}: {error}") from error
    if any(
        [p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for n, p in signature.parameters.items() if n in bound.arguments]
    ):
        raise TypeError("to_onnx: the model takes *args; pass the example as a dict of arguments by name")
    return dict(bound.arguments), lambda arguments, run=net: run(*arguments.values())


# --- the file --------------------------------------------------------------------------------------------------------


def _model(
    net: Any, calls: Calls, axes: Axes, names: list[str], outputs: Any, mask: bool, opset: int, operators: Any
) -> Any:
    onnx = package()
    paths = {id(part): path for path, part in _walk(net, "", set()) if path} if isinstance(net, Module) else {}
    g = Graph(axes, paths)
    g.masked = _has_minus_infinity(calls)
    inputs = []
    for name, ref in zip(names, calls.arguments):
        g.names[ref] = g.new(name)
        inputs.append(g.info(name, ref.dtype, ref.shape))
    results = list(_leaves(calls.results, "output"))
    if outputs is not None:
        fitting = not isinstance(outputs, str) and all([isinstance(name, str) and name for name in outputs])
        if not fitting or len(outputs) != len(results) or len({*outputs, *names}) < len(outputs) + len(names):
            raise ValueError(f"to_onnx: outputs must be {len(results)} names of their own, in place of "
                             f"{', '.join(name for name, _ in results)}; got {outputs!r}")  # fmt: skip
        results = list(zip(outputs, [ref for _, ref in results]))
    results = [(g.new(name), ref) for name, ref in results]  # before any node takes the name
    writer = Written(calls, mask, operators)
    for call in calls.calls:
        writer(g, call)
    infos = []
    for name, ref in results:
        if not isinstance(ref, (Ref, np.ndarray)):
            raise TypeError(f"to_onnx: the model returns {ref!r} among its results, which must be arrays or Tensors")
        g.nodes.append(onnx.helper.make_node("Identity", [g.name(ref)], [name]))
        infos.append(g.info(name, ref.dtype, ref.shape))
    nodes = _needed(g.nodes, {name for name, _ in results})
    read = {name for node in nodes for name in _reads(node)}
    weights = [onnx.numpy_helper.from_array(a, name) for name, a in g.weights.items() if name in read]
    graph = onnx.helper.make_graph(nodes, type(net).__name__, inputs, infos, weights)
    domain = onnx.helper.make_opsetid("", opset)
    return onnx.helper.make_model(
        graph, opset_imports=[domain], producer_name="minigrad", producer_version=mg.__version__,
        ir_version=onnx.helper.find_min_ir_version_for([domain]),
    ), [name for name, _ in results]  # fmt: skip


def _has_minus_infinity(calls: Calls) -> bool:
    found = [x for call in calls.calls for x in mg.tree_leaves((call.inputs, call.static))]
    return any([isinstance(x, float) and x == -np.inf for x in found])


def _leaves(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, (dict, tuple, list)):
        for key, part in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _leaves(part, f"{path}.{key}")
    else:
        yield path, tree


def _reads(node: Any) -> set[str]:
    """The names that a node reads, in the bodies of its attributes as well."""
    inner = [n for attribute in node.attribute if attribute.HasField("g") for n in attribute.g.node]
    outer = {o.name for a in node.attribute if a.HasField("g") for o in a.g.output}
    return {*node.input, *outer, *[name for n in inner for name in _reads(n)]}


def _needed(nodes: list[Any], wanted: set[str]) -> list[Any]:
    """The nodes that a result depends on."""
    kept = []
    for node in reversed(nodes):
        if wanted & set(node.output):
            wanted |= _reads(node)
            kept.append(node)
    return kept[::-1]


def _told(values: Any) -> dict[str, str]:
    helper, told = package().helper, {}
    for v in values:
        kind = np.dtype(helper.tensor_dtype_to_np_dtype(v.type.tensor_type.elem_type)).name
        sizes = ", ".join(
            d.dim_param or str(d.dim_value) if d.WhichOneof("value") else "?" for d in v.type.tensor_type.shape.dim
        )
        told[v.name] = f"{kind} ({sizes})"
    return told


def names_of(tree: Any, name: str) -> list[str]:
    """The names of the arrays of a tree, `name.0.1`: as inputs have them, for outputs that are to match."""
    return [path for path, _ in _leaves(tree, name)]


def _counted(graph: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for node in graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return counts
